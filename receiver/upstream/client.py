"""The client of record-info: one call, and its failures by name. `transport` limits time, head and body."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3.exceptions

from receiver.core.payloads import Trouble, classify_response
from receiver.core.upstream_health import MAX_RETRY_AFTER_S
from receiver.upstream.transport import MAX_RESPONSE_BYTES, TooLargeError, new_session

RECORD_INFO = "/api/v1/generate/record-info"
CHUNK = 64 * 1024
TOO_LARGE = "too slow or too large"


@dataclass(frozen=True, kw_only=True, slots=True)
class PollResponse:
    """A response about the task: its body is an envelope with a record, or with a code that says why not."""

    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PollFailure:
    """The call brought no response about the task; `detail` is a few words for people."""

    trouble: Trouble
    detail: str
    retry_after_s: float | None = None


class UpstreamClient:
    """Calls record-info at `url` with `api_key`. Safe for threads; it pools `concurrency` connections."""

    def __init__(self, *, url: str, api_key: str, timeout_s: float, concurrency: int) -> None:
        self._url = url.rstrip("/") + RECORD_INFO
        self._session = new_session(timeout_s=timeout_s, connections=concurrency)
        self._session.headers.update({"Authorization": f"Bearer {api_key}", "Accept": "application/json"})

    def fetch(self, task_id: str, *, now: datetime) -> PollResponse | PollFailure:
        """Fetch one task's record; takes at most the timeout and reads at most `MAX_RESPONSE_BYTES`."""
        try:
            return self._fetch(task_id, now)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return PollFailure(trouble=Trouble.NETWORK, detail=_why(error))

    def close(self) -> None:
        self._session.close()

    def _fetch(self, task_id: str, now: datetime) -> PollResponse | PollFailure:
        with self._session.get(self._url, params={"taskId": task_id}, allow_redirects=False) as response:
            body = _read(response)
            if body is None:
                return PollFailure(trouble=Trouble.NETWORK, detail=TOO_LARGE)
            trouble = classify_response(response.status_code, body)
            if trouble is None:
                return PollResponse(body=body)
            redirect = ", a redirect" if response.is_redirect else ""
            wait_s = retry_after_s(response.headers.get("Retry-After"), now)
            return PollFailure(
                trouble=trouble, detail=f"HTTP {response.status_code}{redirect}", retry_after_s=wait_s
            )


def _why(error: BaseException) -> str:
    if any(isinstance(cause, TooLargeError) for cause in _chain(error)):
        return TOO_LARGE
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS certificate not accepted"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return "an answer that is not HTTP"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that the libraries have wrapped in it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _read(response: requests.Response) -> bytes | None:
    """The body, unless it is too large; what is compressed is bounded before and after."""
    parts, size = [], 0
    while part := response.raw.read1(CHUNK, decode_content=True):
        parts.append(part)
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            return None
    return b"".join(parts)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """`Retry-After` in seconds: a number of them, or an HTTP date; None when absent or neither."""
    if header is None:
        return None
    try:
        seconds = float(int(header))
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    except OverflowError:
        seconds = MAX_RETRY_AFTER_S
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
