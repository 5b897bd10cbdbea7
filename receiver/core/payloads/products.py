"""The family's other products, which share the callback URL: one table of how each is recognized.

Sources: the family's "... Callbacks" pages and captured bodies. Marks are fields that no music body has.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from receiver.core.observation import OtherJob, status_of_word
from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.fields import folded, is_blank
from receiver.core.payloads.row_locations import AUDIO, RowLocation
from receiver.core.payloads.tracks import MAX_ROWS, readable_rows


class Spot(StrEnum):
    """Where a mark may stand."""

    DATA = "data"
    RESPONSE = "data.response"
    INFO = "data.info"


RowTest = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One row of the table; every name is folded.

    `results` are there when it succeeded and `failures` when it failed. Where `empties_results`, a failed job
    has its result's field, and nothing in it. `states` are words of a state field that only this product has.
    `rows` tells its rows from those of music.
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

# The first that is recognized counts: what is told apart by more stands before what is told apart by less.
PRODUCTS = (
    Product(name="recovery", rows=_is_recovered),
    Product(
        name="lyrics",
        results=("lyricsdata",),
        states={"status": ("generate_lyrics_failed",), "type": ("lyrics",)},
        rows=_is_lyric,
    ),
    Product(
        name="wav",
        results=("audiowavurl",),
        empties_results=True,
        states={"status": ("generate_wav_failed",), "successflag": ("generate_wav_failed",)},
    ),
    Product(
        name="vocal_removal",
        results=("vocalremovalinfo", "origindata", *(f"{stem}url" for stem in STEMS)),
        empties_results=True,
    ),
    Product(name="cover_image", results=("images",), empties_results=True),
    Product(name="midi", results=("instruments", "mididata"), empties_results=True),
    Product(name="voice", results=("voiceid",), empties_results=True),
    Product(
        name="voice_phrase",
        results=("validateinfo",),
        empties_results=True,
        states={"status": PHRASE_STATES},
    ),
    Product(name="video", results=("fallbackflag", "hasaudiolist"), spots=(Spot.DATA, Spot.INFO)),
    Product(name="video", results=("resolution", "originurls", "mediaids"), spots=(Spot.INFO,)),
    Product(
        name="image",
        results=("resultimageurl", "originimageurl", "resulturls", "resulturl"),
        spots=(Spot.INFO,),
        empties_results=True,
    ),
    Product(
        name="mp4",
        results=("videourl",),
        empties_results=True,
        states={"status": ("generate_mp4_failed",), "successflag": ("generate_mp4_failed",)},
    ),
    Product(
        name="market",
        results=("resultjson",),
        failures=("failcode", "failmsg"),
        spots=(Spot.DATA,),
        states={"state": ("waiting", "queuing", "generating", "success", "fail")},
    ),
)
# A state field of several products. Music has `status`.
STATE = "successflag"
OTHER = Product(name="other")


def find_product(envelope: Envelope, place: RowLocation) -> Product | None:
    """The sister product that this body is about; None when it is music, or nothing that is known.

    A mark that is null or empty is none, and music's rows beside a mark make it music.
    """
    for product in PRODUCTS:
        if product.rows and _are_rows_of(product.rows, place, envelope):
            return product
    if place.has_music:
        return None
    signs = [_has_mark, _has_state] if _says_music(envelope) else [_has_mark, _has_empty_result, _has_state]
    named = (product for sign in signs for product in PRODUCTS if sign(product, envelope))
    return next(named, None if _says_music(envelope) or is_blank(envelope.fields.get(STATE)) else OTHER)


def find_end(envelope: Envelope, product: Product) -> OtherJob:
    """How the job ended: it failed where a code, a failure's field or a state says so, or where nothing came of it."""
    code = envelope.root.get("code")
    words = [envelope.fields.get(name) for name in ("status", "state", STATE)]
    refused = not is_blank(code) and str(code)[:20].strip() not in ("0", "200", "200.0")
    failed = any("fail" in word[:64].lower() for word in words if isinstance(word, str))
    empty = product.empties_results and not _has_mark(product, envelope)
    return OtherJob.FAILED if refused or failed or empty else OtherJob.SUCCEEDED


def _are_rows_of(test: RowTest, place: RowLocation, envelope: Envelope) -> bool:
    rows = [] if place.flat else readable_rows(place.rows)
    if not rows or len(rows) < len(place.rows[:MAX_ROWS]) or not all(test(row) for row in rows):
        return False
    return test is not _is_recovered or not _says_music(envelope)


def _spots(product: Product, envelope: Envelope) -> Iterable[Mapping[str, Any]]:
    info = envelope.fields.get("info")
    found = {
        Spot.DATA: envelope.fields,
        Spot.RESPONSE: envelope.response,
        Spot.INFO: folded(info) if isinstance(info, Mapping) else None,
    }
    return [spot for name in product.spots if isinstance(spot := found[name], Mapping)]


def _has_mark(product: Product, envelope: Envelope) -> bool:
    return any(
        any(not is_blank(spot.get(mark)) for mark in product.results)
        or any(not is_blank(spot.get(mark)) and spot[mark] not in (0, "0") for mark in product.failures)
        for spot in _spots(product, envelope)
    )


def _has_state(product: Product, envelope: Envelope) -> bool:
    told = ((envelope.fields.get(name), words) for name, words in product.states.items())
    return any(isinstance(word, str) and word[:64].strip().lower() in words for word, words in told)


def _has_empty_result(product: Product, envelope: Envelope) -> bool:
    return product.empties_results and any(
        mark in spot for spot in _spots(product, envelope) for mark in product.results
    )


def _says_music(envelope: Envelope) -> bool:
    """Whether something else than rows says that this is about music: a stage, or a status of music's."""
    known, status = envelope.fields, envelope.fields.get("status")
    if not is_blank(known.get("callbacktype") or envelope.root.get("callbacktype")):
        return True
    return isinstance(status, str) and status_of_word(status[:64]) is not None
