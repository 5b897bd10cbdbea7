"""Sister products that share the callback URL: recognized by their own fields, stored, never read as music."""

from collections.abc import Mapping

from receiver.core.payloads.envelope import Envelope
from receiver.core.payloads.fields import folded

# A field that only this product has, in `data` or in `data.response`, by its folded name.
MARKS = {
    "vocalremovalinfo": "vocal-removal",
    "vocalurl": "vocal-removal",
    "instrumentalurl": "vocal-removal",
    "audiowavurl": "wav",
    "videourl": "mp4",
    "images": "cover-image",
    "instruments": "midi",
    "mididata": "midi",
    "lyricsdata": "lyrics",
    "resultjson": "market",
    "failcode": "market",
    "successflag": "other",
}


def product_of(envelope: Envelope) -> str | None:
    """The sister product this body is about; None when it is music."""
    response = envelope.response if isinstance(envelope.response, Mapping) else {}
    for mark, product in MARKS.items():
        if mark in envelope.fields or mark in response:
            return product
    if envelope.fields.get("type") == "LYRICS" or _are_lyrics(
        envelope.fields.get("data") or response.get("data")
    ):
        return "lyrics"
    return None


def _are_lyrics(rows: object) -> bool:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        return False
    known = [folded(row) for row in rows]
    return all("text" in row and not row.keys() & {"audiourl", "streamaudiourl"} for row in known)
