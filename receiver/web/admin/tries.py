"""How often somebody may try the password."""

import ipaddress
import math
import threading
from collections import OrderedDict

ALLOWED = 5
PERIOD_S = 300.0
REMEMBERED = 1000


class Tries:
    """Counts the failures of each address in this process; beyond `REMEMBERED` the longest silent go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed_at: OrderedDict[str, list[float]] = OrderedDict()

    def begin(self, address: str, *, now: float) -> int:
        """Count a try as failed until it is forgiven; else the seconds to wait.

        Counted before the password is looked at, so that many tries at once are not more than one by one.
        """
        key = _network(address)
        with self._lock:
            recent = [moment for moment in self._failed_at.pop(key, []) if now - moment < PERIOD_S]
            blocked = len(recent) >= ALLOWED
            self._failed_at[key] = recent if blocked else [*recent, now]
            if len(self._failed_at) > REMEMBERED:
                self._failed_at.popitem(last=False)
            return math.ceil(recent[0] + PERIOD_S - now) if blocked else 0

    def forgive(self, address: str) -> None:
        with self._lock:
            self._failed_at.pop(_network(address), None)


def _network(address: str) -> str:
    """One person has as many IPv6 addresses as he likes, but only one network of them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
