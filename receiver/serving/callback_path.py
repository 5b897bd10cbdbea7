"""Whether a request's body is worth waiting for: not at a callback address that does not exist."""

import hmac
import re
from collections.abc import Callable, Collection
from urllib.parse import unquote_to_bytes

CALLBACK = re.compile(rb"[A-Z]+ /+callbacks/+([^/?# ]+)")


def body_wanted(tokens: Collection[str]) -> Callable[[bytes], bool]:
    """Says so by a request's head. It refuses nothing: who is handed on without a body is answered 404."""
    known = [token.encode() for token in tokens]

    def wanted(head: bytes) -> bool:
        found = CALLBACK.match(head)
        if found is None:
            return True
        token = unquote_to_bytes(found[1])
        matches = [hmac.compare_digest(token, one) for one in known]
        return any(matches)

    return wanted
