"""`/metrics` for Prometheus: how long requests and commits take on this machine, and what the database knows.

What comes from the database is equal on all machines: over them `max without (instance)`, never `sum`.
The histograms are each machine's own, whichever of its workers answers: over machines `sum`.
"""

import ipaddress
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from receiver.core.alarms import find_alarms
from receiver.metrics import Metrics
from receiver.store.database import StoreUnavailableError
from receiver.web.api_errors import ApiError
from receiver.web.current import current_runtime
from receiver.web.database_metrics import alarm_metrics, disk_metrics, metric_families, read_database_metrics
from receiver.web.error_types import ErrorType
from receiver.web.read_system_state import system_state_of, unreadable
from receiver.web.secrets import has_bearer_token

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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


def with_measured_requests(application: "WSGIApplication", metrics: Metrics) -> "WSGIApplication":
    """Time every request up to the start of its response."""
    timer = cache(metrics.requests.labels)
    for status in STATUSES:  # there from the start, so that the first one that fails is an increase
        timer("callbacks.receive", "POST", status)

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            method = environ["REQUEST_METHOD"]
            route = environ["werkzeug.request"].endpoint or "none"
            measured = timer(route, method if method in METHODS else "other", f"{status[0]}xx")
            measured.observe(time.perf_counter() - began)
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return call


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
