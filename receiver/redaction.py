"""Removes secrets from bodies and queries before anything is stored. `logs.redact_line` does it for log lines.

The upstream sends the callback URL back in `param`, with our token in its path and its owner's data in its query.
Both may be escaped in any way: plain, as JSON in JSON, or percent-encoded.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

REMOVED = "[removed]"
MAX_QUERY_CHARS = 2000
MAX_NAME_CHARS = 100  # of a parameter; a longer one counts as a secret's
MAX_SCANNED_BYTES = 16 * 1024  # behind the URLs in a body
MAX_PARAMETERS = 200  # of all these URLs


def _escaped(sign: str) -> bytes:
    r"""A pattern of this sign in each of its escapings: `\/`, `\\u002f`, `%2F`, `%25252F`.

    It takes a run of backslashes whole and begins only where one does, or a search would be quadratic in them.
    """
    plain = re.escape(sign.encode())
    code = b"".join(
        rb"[%c%c]" % (digit, digit ^ 32) if digit > 57 else b"%c" % digit for digit in b"%02x" % ord(sign)
    )
    return (
        rb"(?:" + plain + rb"|\\(?<!\\\\)\\*+(?:" + plain + rb"|u00" + code + rb")|%(?:25)*+" + code + rb")"
    )


SLASH, QUESTION, EQUALS = map(_escaped, "/?=")
AND = rb"(?:" + _escaped("&") + rb"(?:amp;)?|" + _escaped(";") + rb")"
# Up to what no URL holds, or what ends the text around it: a quote, behind backslashes where it is JSON in JSON.
OWN_URL = re.compile(
    rb"(callbacks" + SLASH + rb"++)((?:[^\s\"'<>#`\x00-\x1f\\]++|\\++(?:[/?&;=]|u[0-9A-Fa-f]{4}))++)"
)
TOKEN_END = re.compile(SLASH + rb"|" + QUESTION + rb"|" + AND)
PARTS = re.compile(rb"(" + AND + rb"|" + QUESTION + rb")")
EQUALS_SIGN = re.compile(EQUALS)
UNICODE_ESCAPE = re.compile(r"(?<!\\)\\++u([0-9A-Fa-f]{4})")
PERCENT_AGAIN = re.compile(r"%(?:25)+")

OF_SECRETS = """
    access apikey auth authorization bearer code cookie credential credentials csrf hash hmac jwt key nonce
    otp pass passcode passphrase passwd password pin private pwd salt secret secrets sess session sid sig
    sign signature signed token tokens verify verification xsrf
"""
SECRET_ENDINGS = (
    "apikey",
    "accesskey",
    "secretkey",
    "token",
    "secret",
    "password",
    "passwd",
    "signature",
    "hmac",
    "jwt",
    "sessionid",
)
OF_IDS = "id ids uuid guid no nr num number ref reference order song task track job user"
SECRET_WORDS, ID_WORDS = frozenset(OF_SECRETS.split()), frozenset(OF_IDS.split())
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

TOKEN_SIGNS = re.compile(r"[\w+/=.~-]{20,}")
KNOWN_TOKENS = re.compile(
    r"(?:eyJ[\w-]{8,}\.|sk[-_]|pk[-_]|rk[-_]|gh[opsur]_|github_pat_|xox[abprs]-|whsec_|AKIA|AIza|glpat-|Bearer\b|Basic\b)"
)
UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
PLAIN_ID = re.compile(r"[0-9._-]+|[0-9a-f]{24}|[0-9A-HJKMNP-TV-Z]{26}|c[a-z0-9]{24}")
RANDOM_BITS = 3.2  # a sign, in the mean; words and counted ids have less


@dataclass(kw_only=True, slots=True)
class _Budget:
    """How much of one body or query is still examined; the rest is removed as a whole, however large."""

    size: int = MAX_SCANNED_BYTES
    parameters: int = MAX_PARAMETERS


def redact(body: bytes, secrets: Iterable[str]) -> bytes:
    """The body without our callback tokens, and without the secrets in the query of any callback URL of ours.

    A token that is no longer accepted is found by its place after `/callbacks/`.
    """
    body = _without(secrets, _in_utf8(body))
    if b"callbacks" not in body:
        return body
    budget = _Budget()
    return OWN_URL.sub(lambda found: found[1] + _own_address(found[2], budget), body)


def redact_query(query: bytes, secrets: Iterable[str]) -> str:
    """A callback's own query without secrets, at most `MAX_QUERY_CHARS` characters."""
    if not query:
        return ""
    examined = _without(secrets, query)[:MAX_SCANNED_BYTES]
    text = _without_secret_values(examined, _Budget()).decode(errors="replace")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)[
        :MAX_QUERY_CHARS
    ]


def _in_utf8(body: bytes) -> bytes:
    """The body as UTF-8, as nothing would be found in UTF-16 or UTF-32; unchanged where it is neither."""
    encoding = json.detect_encoding(body[:4])
    if encoding.startswith("utf-8"):
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        return body


def _without(secrets: Iterable[str], text: bytes) -> bytes:
    """The text without these secrets, however a sender escaped their characters."""
    for secret in secrets:
        text = text.replace(secret.encode(), REMOVED.encode())
        if _may_be_escaped(secret.encode(), text):
            text = _in_any_escaping(secret).sub(REMOVED.encode(), text)
    return text


def _may_be_escaped(secret: bytes, text: bytes) -> bool:
    """Whether a search for its escapings may find it: most texts have no escapes beside those of quotes and lines."""
    if b"%" in text:
        return True
    return b"\\" in text and (b"u00" in text or secret.replace(b"\\", b"") in text.replace(b"\\", b""))


@lru_cache
def _in_any_escaping(secret: str) -> re.Pattern[bytes]:
    return re.compile(b"".join(map(_escaped, secret)))


def _own_address(address: bytes, budget: _Budget) -> bytes:
    """What follows `/callbacks/`, without the token and without the secrets in its query."""
    if len(address) > budget.size:
        return REMOVED.encode()
    budget.size -= len(address)
    end = TOKEN_END.search(address)
    token, rest = (address[: end.start()], address[end.start() :]) if end else (address, b"")
    return (REMOVED.encode() if token else b"") + _without_secret_values(rest, budget)


def _without_secret_values(query: bytes, budget: _Budget) -> bytes:
    parts = PARTS.split(query, max(budget.parameters, 1))
    parts[::2] = [_without_secret_value(part, budget) for part in parts[::2]]
    return b"".join(parts)


def _without_secret_value(part: bytes, budget: _Budget) -> bytes:
    """`name=value`, or a value alone."""
    if not budget.parameters:
        return REMOVED.encode() if part else part
    budget.parameters -= 1  # for an empty one too: what is left where splitting ends has to find none
    found = EQUALS_SIGN.search(part)
    start, end = found.span() if found else (0, 0)
    name, value = _plain(part[:start]), part[end:]
    secret = is_secret_name(name) or looks_secret(_plain(value), named_as_id=_names_id(name))
    return part[:end] + REMOVED.encode() if value and secret else part


def _plain(escaped: bytes) -> str:
    """The text without its escapes, as far as it is examined."""
    text = escaped[:1000].decode(errors="replace")
    for _ in range(3):
        text = UNICODE_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
        text = unquote(PERCENT_AGAIN.sub("%", text))
    return text.replace("\\", "")


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name holds a secret: `token`, `api_key`, `userPassword`, `webhooksecret`."""
    words = _words(name)
    return (
        len(name) > MAX_NAME_CHARS
        or not SECRET_WORDS.isdisjoint(words)
        or "".join(words).endswith(SECRET_ENDINGS)
    )


def _names_id(name: str) -> bool:
    return not ID_WORDS.isdisjoint(_words(name)) or name.lower().endswith(("id", "uuid"))


def _words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name[:MAX_NAME_CHARS])]


def looks_secret(value: str, *, named_as_id: bool = False) -> bool:
    """Whether a value looks like a token: long and random, and no id of a usual kind.

    One that is named as an id is taken for a token only where it says so itself.
    """
    if KNOWN_TOKENS.match(value):
        return True
    if named_as_id or not TOKEN_SIGNS.fullmatch(value) or UUID.fullmatch(value) or PLAIN_ID.fullmatch(value):
        return False
    has_both = any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)
    return has_both and _bits_a_sign(value) >= RANDOM_BITS


def _bits_a_sign(value: str) -> float:
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())
