"""Whether a callback is signed with the shared key.

The family's one scheme (kie.ai, "Webhook Verification"): `X-Webhook-Timestamp` in Unix seconds and
`X-Webhook-Signature` = base64(HMAC-SHA256(key, taskId + "." + timestamp)). It does not cover the body, so it
proves the sender for a task, never the content: a claim stays a claim.
"""

import base64
import hmac
from datetime import datetime


def sign(key: str, *, task_id: str, timestamp: str) -> str:
    digest = hmac.digest(key.encode(), f"{task_id}.{timestamp}".encode(), "sha256")
    return base64.b64encode(digest).decode()


def problem_with_signature(
    key: str, *, task_id: str, timestamp: str, signature: str, now: datetime, tolerance_s: float
) -> str | None:
    """What is wrong with the signature, in a sentence for the sender; None when it is valid."""
    if not timestamp or not signature:
        return "X-Webhook-Timestamp and X-Webhook-Signature are required here."
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 15:
        return "X-Webhook-Timestamp must be Unix seconds."
    if not hmac.compare_digest(sign(key, task_id=task_id, timestamp=timestamp).encode(), signature.encode()):
        return "X-Webhook-Signature does not match this task id and timestamp."
    if abs(now.timestamp() - int(timestamp)) > tolerance_s:
        return f"X-Webhook-Timestamp is more than {tolerance_s:g} seconds away from now."
    return None
