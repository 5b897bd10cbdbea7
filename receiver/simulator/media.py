"""The files of a track: a gradient as its cover and a tone as its audio, the same for the same track id."""

import array
import io
import math
import random
import wave
from collections.abc import Mapping
from types import MappingProxyType

from receiver.simulator.responses import HttpResponse

EXAMPLE_FILES_URL = "https://files.simulator.example"  # where nothing is
FILE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "audioUrl": "audio.wav",
        "sourceAudioUrl": "source-audio.wav",
        "streamAudioUrl": "stream.wav",
        "sourceStreamAudioUrl": "source-stream.wav",
        "imageUrl": "cover.svg",
        "sourceImageUrl": "source-cover.svg",
    }
)
COVER = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512" width="512" height="512">
<defs><linearGradient id="cover" x2="1" y2="1">\
<stop offset="0" stop-color="hsl({hue}, 55%, 35%)"/><stop offset="1" stop-color="hsl({end}, 65%, 65%)"/>\
</linearGradient></defs>
<rect width="512" height="512" fill="url(#cover)"/>
</svg>
"""
SAMPLE_RATE_HZ = 11_025
TONE_S = 4
PEAK = 24_000  # of 32,767


def media_urls(track_id: str, files_url: str) -> dict[str, object]:
    """The URL fields of a row, below `files_url`."""
    return {field: f"{files_url}/{track_id}/{name}" for field, name in FILE_NAMES.items()}


def media_response(track_id: str, name: str) -> HttpResponse | None:
    """The file of this name, None if a track has no such file."""
    if name not in FILE_NAMES.values():
        return None
    if name.endswith(".svg"):
        return HttpResponse(body=_cover(track_id), content_type="image/svg+xml")
    return HttpResponse(body=_tone(track_id), content_type="audio/wav")


def _cover(track_id: str) -> bytes:
    hue = random.Random(track_id).uniform(0, 360)
    return COVER.format(hue=round(hue, 2), end=round(hue + 50, 2)).encode()


def _tone(track_id: str) -> bytes:
    """A WAV file, mono, 16 bits a sample; it fades in and out, so that it does not click."""
    step = math.tau * random.Random(track_id).uniform(220, 440) / SAMPLE_RATE_HZ
    length = TONE_S * SAMPLE_RATE_HZ
    samples = (PEAK * math.sin(math.pi * at / length) * math.sin(step * at) for at in range(length))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE_HZ)
        sound.writeframes(array.array("h", map(int, samples)).tobytes())
    return file.getvalue()
