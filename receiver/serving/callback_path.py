"""Whether a request's body is worth waiting for: not at a callback address that does not exist."""

import hmac
import re
from collections.abc import Callable, Collection
from urllib.parse import unquote_to_bytes

CALLBACK = re.compile(rb"[A-Z]+ /+callbacks/+([^/?# ]+)")


def wants_body_of(tokens: Collection[str]) -> Callable[[bytes], bool]:
    """A predicate on a request's head. It refuses nothing: a request handed on without its body gets a 404."""
    token_bytes = [token.encode() for token in tokens]

    def wants_body(head: bytes) -> bool:
        found = CALLBACK.match(head)
        if found is None:
            return True
        token = unquote_to_bytes(found[1])
        matches = [hmac.compare_digest(token, known_token) for known_token in token_bytes]
        return any(matches)

    return wants_body
