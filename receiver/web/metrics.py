"""`/metrics` for Prometheus: how long requests and commits take on this machine, and what the database knows.

What comes from the database is equal on all machines: over them `max without (instance)`, never `sum`.
The histograms are each machine's own, whichever of its workers answers: over machines `sum`.
"""

import ipaddress
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from receiver.clock import utc_now
from receiver.core.alarms import find_alarms
from receiver.core.system_state import FAILED
from receiver.runtime import Runtime
from receiver.store.database import StoreUnavailableError
from receiver.web.api_errors import ApiError
from receiver.web.current import current_runtime
from receiver.web.database_metrics import alarm_metrics, disk_metrics, metric_families, read_database_metrics
from receiver.web.error_types import ErrorType
from receiver.web.read_system_state import system_state_of, unreadable
from receiver.web.secrets import has_bearer_token
from receiver.web.storage_health import write_probe

blueprint = Blueprint("metrics", __name__)

METHODS = {"GET", "POST"}
STATUSES = ("2xx", "4xx", "5xx")
# What a program on this machine sends when it asks. Any other header may be a proxy's: every CDN has names of its own.
LOCAL_HEADERS = {
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "host",
    "pragma",
    "user-agent",
    "x-prometheus-scrape-timeout-seconds",
    "x-request-id",
}


def measure_requests(app: Flask, runtime: Runtime) -> None:
    """Time every request. Call it before registering anything that may respond to one."""
    requests = runtime.metrics.requests
    for status in STATUSES:  # there from the start, so that the first one that fails is an increase
        requests.labels("callbacks.receive", "POST", status)

    @app.before_request
    def _begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def _measure(response: Response) -> Response:
        labels = (
            request.endpoint or "none",
            request.method if request.method in METHODS else "other",
            f"{response.status_code // 100}xx",
        )
        requests.labels(*labels).observe(time.perf_counter() - g.began)
        if labels[0].startswith("callbacks.") and response.status_code >= 500:
            runtime.intake.failures.note(FAILED, now=utc_now())
            write_probe().callback_failed()
        return response


@blueprint.get("/metrics")
def read_metrics() -> Response:
    if not (_is_local_request() or has_bearer_token(current_runtime().settings.api_tokens)):
        detail = "Ask from this machine, or send Authorization: Bearer <one of RECEIVER_API_TOKENS>."
        raise ApiError(ErrorType.UNAUTHORIZED, detail)
    collected = [*_database_metrics(), *current_runtime().metrics.collect(), _info_metric()]
    return Response(generate_latest(_Collected(collected)), content_type=CONTENT_TYPE_LATEST)


def _is_local_request() -> bool:
    """Whether the request comes from this machine: by loopback, or by a unix socket, which has no address.

    A proxy on this machine forwards requests from anywhere, and not every proxy says that it is one. So no proxy may be
    configured, no header may be there that a proxy adds, and the host must be this machine's.
    """
    headers = {name.lower() for name, _ in request.headers}
    if current_runtime().settings.trusted_proxies or headers - LOCAL_HEADERS:
        return False
    if request.remote_addr and not ipaddress.ip_address(request.remote_addr).is_loopback:
        return False
    return _is_local_host(request.headers.get("Host", ""))


def _is_local_host(address: str) -> bool:
    try:
        host = urlsplit(f"//{address}").hostname or ""
    except ValueError:  # such as a bracket alone
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")


def _database_metrics() -> Iterator[Metric]:
    runtime = current_runtime()
    try:
        stored = read_database_metrics(runtime)
        condition = system_state_of(runtime, stored.overview, stored.poller, stored.lockout, now=stored.now)
        yield from metric_families(stored)
    except StoreUnavailableError as error:  # still a response: silence would look like a dead receiver
        condition = unreadable(error)
    text = (
        "1: the database takes writes and can be read. 0: it does not, and what it knows may be missing here."
    )
    yield GaugeMetricFamily("receiver_database_up", text, int(condition.storage.problem is None))
    yield from alarm_metrics(find_alarms(condition))
    yield from disk_metrics(condition.storage.disks)


def _info_metric() -> Metric:
    info = GaugeMetricFamily("receiver_info", "Always 1; tells the version.", labels=["version"])
    info.add_metric([version("receiver")], 1)
    return info


@dataclass(frozen=True, slots=True)
class _Collected:
    """Metrics in the form in which `generate_latest` takes them."""

    metrics: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics
