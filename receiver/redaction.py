"""Secrets taken out of what comes back to us, before anything is stored.

The upstream sends the callback URL back in `param`, with our token in its path and whatever its owner put in its
query. Both stand there in any escaping: plain, as JSON in JSON, or percent-encoded.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from itertools import count
from urllib.parse import unquote

REMOVED = "[removed]"
LONGEST_QUERY = 2000  # characters that are kept of a query
LONGEST_NAME = 100  # of a parameter, as far as it is judged
LONGEST_JUDGED = (
    4 * LONGEST_QUERY
)  # bytes of a query in a body: a longer one is no owner's, and goes as a whole
MOST_JUDGED = 100  # URLs in a body: of any more, all behind `/callbacks/` goes

# A character in each of its escapings; several rounds of percent-encoding write `%25` for each `%`.
SLASH = rb"(?:\\*/|%(?:25)*2[Ff]|\\+u002[Ff])"
QUESTION = rb"(?:\?|%(?:25)*3[Ff]|\\+u003[Ff])"
AND = rb"(?:&(?:amp;)?|;|%(?:25)*26|%(?:25)*3[Bb]|\\+u0026)"
EQUALS = rb"(?:=|%(?:25)*3[Dd]|\\+u003[Dd])"
# Up to what no URL holds, or what ends the text around it: a quote, behind backslashes where it is JSON in JSON.
OWN_URL = re.compile(
    rb"(callbacks" + SLASH + rb"++)((?:[^\s\"'<>#`\x00-\x1f\\]++|\\++(?:/|u00[0-9A-Fa-f]{2}))*+)"
)
TOKEN_END = re.compile(SLASH + rb"|" + QUESTION + rb"|" + AND)
PARTS = re.compile(rb"(" + AND + rb"|" + QUESTION + rb")")
PAIR = re.compile(rb"(.*?)(" + EQUALS + rb")(.*)", re.DOTALL)

SECRET_WORDS = frozenset(
    [
        "access",
        "apikey",
        "auth",
        "authorization",
        "bearer",
        "code",
        "cookie",
        "credential",
        "credentials",
        "csrf",
        "hash",
        "hmac",
        "jwt",
        "key",
        "nonce",
        "otp",
        "pass",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "pin",
        "private",
        "pwd",
        "salt",
        "secret",
        "secrets",
        "sess",
        "session",
        "sid",
        "sig",
        "sign",
        "signature",
        "signed",
        "token",
        "tokens",
        "verify",
        "verification",
        "xsrf",
    ]
)
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
ID_WORDS = frozenset(
    [
        "id",
        "ids",
        "uuid",
        "guid",
        "no",
        "nr",
        "num",
        "number",
        "ref",
        "reference",
        "order",
        "song",
        "task",
        "track",
        "job",
        "user",
    ]
)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

TOKEN_SIGNS = re.compile(r"[\w+/=.~-]{20,}")
KNOWN_TOKENS = re.compile(
    r"(?:eyJ[\w-]{8,}\.|sk[-_]|pk[-_]|rk[-_]|gh[opsur]_|github_pat_|xox[abprs]-|whsec_|AKIA|AIza|glpat-|Bearer\b|Basic\b)"
)
UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
PLAIN_ID = re.compile(r"[0-9._-]+|[0-9a-f]{24}|[0-9A-HJKMNP-TV-Z]{26}|c[a-z0-9]{24}")
RANDOM_BITS = 3.2  # a sign, in the mean; words and counted ids have less


def without_secrets(body: bytes, secrets: Iterable[str]) -> bytes:
    """The body without our callback tokens, and without the secrets in the query of any callback URL of ours.

    Tokens are made of characters that neither JSON nor a URL escapes, so they are found as they are; one that
    is no longer accepted is found by its place after `/callbacks/`.
    """
    body = _in_utf8(body)
    for secret in secrets:
        body = body.replace(secret.encode(), REMOVED.encode())
    if b"callbacks" not in body:
        return body
    judged = count()
    return OWN_URL.sub(lambda found: found[1] + _own_address(found[2], next(judged)), body)


def redacted_query(query: bytes, secrets: Iterable[str]) -> str:
    """A callback's own query, as it may be kept: without secrets, at most `LONGEST_QUERY` characters."""
    for secret in secrets:
        query = query.replace(secret.encode(), REMOVED.encode())
    text = _without_secret_values(query[:LONGEST_JUDGED]).decode(errors="replace")
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)[
        :LONGEST_QUERY
    ]


def _in_utf8(body: bytes) -> bytes:
    """JSON may come as UTF-16 or UTF-32, in which nothing would be found; what cannot be read so stays as it is."""
    encoding = json.detect_encoding(body[:4])
    if encoding.startswith("utf-8"):
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        return body


def _own_address(address: bytes, number: int) -> bytes:
    """What follows `/callbacks/`, without the token and without the secrets in its query."""
    if number >= MOST_JUDGED or len(address) > LONGEST_JUDGED:
        return REMOVED.encode()
    end = TOKEN_END.search(address)
    token, rest = (address[: end.start()], address[end.start() :]) if end else (address, b"")
    return (REMOVED.encode() if token else b"") + _without_secret_values(rest)


def _without_secret_values(query: bytes) -> bytes:
    parts = PARTS.split(query)
    parts[::2] = [_without_secret_value(part) for part in parts[::2]]
    return b"".join(parts)


def _without_secret_value(part: bytes) -> bytes:
    """`name=value`, or a value alone."""
    pair = PAIR.fullmatch(part)
    name, equals, value = pair.groups() if pair else (b"", b"", part)
    secret = is_secret_name(_plain(name)) or looks_secret(_plain(value), named_as_id=_names_id(_plain(name)))
    return name + equals + REMOVED.encode() if value and secret else part


def _plain(escaped: bytes) -> str:
    """The text without its escapes, as far as it is needed to judge it."""
    text = escaped[:1000].decode(errors="replace").replace("\\", "")
    for _ in range(3):
        text = unquote(text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name holds a secret: `token`, `api_key`, `userPassword`, `webhooksecret`."""
    words = _words(name)
    return not SECRET_WORDS.isdisjoint(words) or "".join(words).endswith(SECRET_ENDINGS)


def _names_id(name: str) -> bool:
    return not ID_WORDS.isdisjoint(_words(name)) or name.lower().endswith(("id", "uuid"))


def _words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name[:LONGEST_NAME])]


def looks_secret(value: str, *, named_as_id: bool = False) -> bool:
    """Whether a value is a token by its looks: long and random, and no id of a usual kind.

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
