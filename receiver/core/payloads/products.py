"""The family's other products, which share the callback URL: one table of how each is recognized.

Sources: the family's "... Callbacks" pages and captured bodies. Signature fields are those that no music body has.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from receiver.core.observation import UnsupportedEnd, status_of_word
from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.fields import folded, is_blank
from receiver.core.payloads.row_locations import AUDIO, RowLocation
from receiver.core.payloads.tracks import MAX_ROWS


class Spot(StrEnum):
    """Where a signature field may be."""

    DATA = "data"
    RESPONSE = "data.response"
    INFO = "data.info"


RowTest = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsupportedProduct:
    """One row of the table; every name is folded.

    `results` are there when it succeeded and `failures` when it failed. Where `empties_results`, a failed job
    has its result's field, and nothing in it. `states` are words of a state field that only this product has.
    `rows` distinguishes its rows from those of music.
    """

    name: str
    results: Sequence[str] = ()
    failures: Sequence[str] = ()
    spots: Sequence[Spot] = (Spot.DATA, Spot.RESPONSE)
    empties_results: bool = False
    states: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: RowTest | None = None


def _is_lyric(row: Mapping[str, Any]) -> bool:
    return "text" in row and AUDIO.isdisjoint(row)


def _is_recovered(row: Mapping[str, Any]) -> bool:
    return "status" in row and "error" in row


STEMS = (
    "backingvocals",
    "bass",
    "brass",
    "drums",
    "fx",
    "guitar",
    "instrumental",
    "keyboard",
    "percussion",
    "piano",
    "strings",
    "synth",
    "vocal",
    "woodwinds",
)
PHRASE_STATES = ("wait_processing", "processing_validate", "processing_validate_fail", "wait_validating")

# The first that is recognized counts: the more specific ones come first.
PRODUCTS = (
    UnsupportedProduct(name="recovery", rows=_is_recovered),
    UnsupportedProduct(
        name="lyrics",
        results=("lyricsdata",),
        states={"status": ("generate_lyrics_failed",), "type": ("lyrics",)},
        rows=_is_lyric,
    ),
    UnsupportedProduct(
        name="wav",
        results=("audiowavurl",),
        empties_results=True,
        states={"status": ("generate_wav_failed",), "successflag": ("generate_wav_failed",)},
    ),
    UnsupportedProduct(
        name="vocal_removal",
        results=("vocalremovalinfo", "origindata", *(f"{stem}url" for stem in STEMS)),
        empties_results=True,
    ),
    UnsupportedProduct(name="cover_image", results=("images",), empties_results=True),
    UnsupportedProduct(name="midi", results=("instruments", "mididata"), empties_results=True),
    UnsupportedProduct(name="voice", results=("voiceid",), empties_results=True),
    UnsupportedProduct(
        name="voice_phrase",
        results=("validateinfo",),
        empties_results=True,
        states={"status": PHRASE_STATES},
    ),
    UnsupportedProduct(name="video", results=("fallbackflag", "hasaudiolist"), spots=(Spot.DATA, Spot.INFO)),
    UnsupportedProduct(name="video", results=("resolution", "originurls", "mediaids"), spots=(Spot.INFO,)),
    UnsupportedProduct(
        name="image",
        results=("resultimageurl", "originimageurl", "resulturls", "resulturl"),
        spots=(Spot.INFO,),
        empties_results=True,
    ),
    UnsupportedProduct(
        name="mp4",
        results=("videourl",),
        empties_results=True,
        states={"status": ("generate_mp4_failed",), "successflag": ("generate_mp4_failed",)},
    ),
    UnsupportedProduct(
        name="market",
        results=("resultjson",),
        failures=("failcode", "failmsg"),
        spots=(Spot.DATA,),
        states={"state": ("waiting", "queuing", "generating", "success", "fail")},
    ),
)
# A state field of several products. Music has `status`.
STATE = "successflag"
OTHER = UnsupportedProduct(name="other")


def find_product(envelope: Envelope, place: RowLocation) -> UnsupportedProduct | None:
    """The other product that this body is about; None when it is music, or nothing known.

    A signature field that is null or empty does not count, and rows of music make it music.
    """
    for product in PRODUCTS:
        if product.rows and _are_rows_of(product.rows, place, envelope):
            return product
    if place.has_music:
        return None
    tests = [_has_signature, _has_state]
    if not _says_music(envelope):
        tests.insert(1, _has_empty_result)
    matches = (product for test in tests for product in PRODUCTS if test(product, envelope))
    return next(matches, None if _says_music(envelope) or is_blank(envelope.fields.get(STATE)) else OTHER)


def find_end(envelope: Envelope, product: UnsupportedProduct) -> UnsupportedEnd:
    """How the job ended: it failed where a code, a field of failures or a state says so, or the result is empty."""
    code = envelope.root.get("code")
    states = [envelope.fields.get(name) for name in ("status", "state", STATE)]
    refused = not is_blank(code) and str(code)[:20].strip() not in ("0", "200", "200.0")
    failed = any("fail" in state[:64].lower() for state in states if isinstance(state, str))
    empty = product.empties_results and not _has_signature(product, envelope)
    return UnsupportedEnd.FAILED if refused or failed or empty else UnsupportedEnd.SUCCEEDED


def _are_rows_of(test: RowTest, place: RowLocation, envelope: Envelope) -> bool:
    rows = [] if place.flat else place.readable
    if not rows or len(rows) < len(place.rows[:MAX_ROWS]) or not all(test(row) for row in rows):
        return False
    return test is not _is_recovered or not _says_music(envelope)


def _spots(product: UnsupportedProduct, envelope: Envelope) -> Iterable[Mapping[str, Any]]:
    info = envelope.fields.get("info")
    found = {
        Spot.DATA: envelope.fields,
        Spot.RESPONSE: envelope.response,
        Spot.INFO: folded(info) if isinstance(info, dict) else None,
    }
    return [spot for name in product.spots if isinstance(spot := found[name], dict)]


def _has_signature(product: UnsupportedProduct, envelope: Envelope) -> bool:
    return any(
        any(not is_blank(spot.get(name)) for name in product.results)
        or any(not is_blank(spot.get(name)) and spot[name] not in (0, "0") for name in product.failures)
        for spot in _spots(product, envelope)
    )


def _has_state(product: UnsupportedProduct, envelope: Envelope) -> bool:
    states = ((envelope.fields.get(name), words) for name, words in product.states.items())
    return any(isinstance(word, str) and word[:64].strip().lower() in words for word, words in states)


def _has_empty_result(product: UnsupportedProduct, envelope: Envelope) -> bool:
    return product.empties_results and any(
        name in spot for spot in _spots(product, envelope) for name in product.results
    )


def _says_music(envelope: Envelope) -> bool:
    """Whether a stage or a status says that this is about music, whatever the rows."""
    status = envelope.fields.get("status")
    if not is_blank(envelope.fields.get("callbacktype") or envelope.root.get("callbacktype")):
        return True
    return isinstance(status, str) and status_of_word(status[:64]) is not None
