"""Checks of secrets, in a time that does not depend on how much of one is right."""

import hmac

from flask import request


def same_secret(given: str, accepted: tuple[str, ...]) -> bool:
    """Whether `given` is one of `accepted`."""
    matches = [hmac.compare_digest(given.encode(errors="replace"), secret.encode()) for secret in accepted]
    return any(matches)


def has_bearer_token(accepted: tuple[str, ...]) -> bool:
    """Whether the request has one of these tokens in its `Authorization`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and same_secret(token.strip(), accepted)
