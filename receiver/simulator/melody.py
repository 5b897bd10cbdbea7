"""Plays the melody of a track: five seconds over three soft chords, the same for the same id."""

from __future__ import annotations

import io
import math
import operator
import random
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass

RATE_HZ = 11_025
BEAT_S = 0.35
BEATS = 12
LENGTH_S = 5.5
LOUDEST = 24_000
# A smaller table would be heard as a hiss.
PERIOD = 4096
OCTAVE = 5  # steps of a scale that has five notes
TONE = tuple(
    math.sin(angle) + 0.3 * math.sin(2 * angle) + 0.08 * math.sin(3 * angle)
    for angle in (math.tau * step / PERIOD for step in range(PERIOD))
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Semitones above the key note; the chords are those of the first and the fourth degree."""

    steps: tuple[int, ...]
    first: tuple[int, ...]
    fourth: tuple[int, ...]


MAJOR = Scale(steps=(0, 2, 4, 7, 9, 12, 14, 16, 19), first=(0, 4, 7), fourth=(0, 5, 9))
MINOR = Scale(steps=(0, 3, 5, 7, 10, 12, 15, 17, 19), first=(0, 3, 7), fourth=(0, 5, 8))
HIGHEST = len(MAJOR.steps) - 1


@dataclass(frozen=True, kw_only=True)
class Note:
    at_s: float
    lasts_s: float
    swells_s: float
    frequency_hz: float
    loudness: float


def play_melody(track_id: str) -> bytes:
    """A WAV file, mono, 16 bits a sample."""
    return _wav(_mixed(draw_notes(random.Random(f"melody:{track_id}"))))


def draw_notes(rng: random.Random) -> list[Note]:
    key_hz = 220 * 2 ** (rng.randrange(-3, 5) / 12)
    scale = rng.choice((MAJOR, MINOR))
    chords = enumerate((scale.first, scale.fourth, scale.first))
    return [
        *(_chord_note(4 * bar, key_hz, semitone) for bar, chord in chords for semitone in chord),
        *(_melody_note(beat, key_hz, scale.steps[step]) for beat, step in enumerate(_walk(rng))),
    ]


def _walk(rng: random.Random) -> list[int]:
    """Steps of the scale, each near the one before; it ends on the key note."""
    steps = [rng.choice((2, 3, 5))]
    while len(steps) < BEATS - 1:
        step = steps[-1] + rng.choice((-2, -1, -1, 1, 1, 2))
        steps.append(min(max(step, 0), HIGHEST))
    return [*steps, OCTAVE if steps[-1] > OCTAVE // 2 else 0]


def _chord_note(beat: int, key_hz: float, semitone: int) -> Note:
    frequency_hz = key_hz * 2 ** (semitone / 12)
    return Note(at_s=beat * BEAT_S, lasts_s=2.6, swells_s=0.25, frequency_hz=frequency_hz, loudness=0.35)


def _melody_note(beat: int, key_hz: float, semitone: int) -> Note:
    frequency_hz = 2 * key_hz * 2 ** (semitone / 12)
    return Note(at_s=beat * BEAT_S, lasts_s=1.4, swells_s=0.012, frequency_hz=frequency_hz, loudness=0.8)


def _mixed(notes: Sequence[Note]) -> list[float]:
    mixed = [0.0] * int(LENGTH_S * RATE_HZ)
    for note in notes:
        start, sound = int(note.at_s * RATE_HZ), _sound(note)
        end = min(start + len(sound), len(mixed))
        mixed[start:end] = map(operator.add, mixed[start:end], sound)
    return mixed


def _sound(note: Note) -> list[float]:
    """Swells, then dies away to nothing, so that no note clicks."""
    length, swell = int(note.lasts_s * RATE_HZ), note.swells_s * RATE_HZ
    step = note.frequency_hz * PERIOD / RATE_HZ
    return [
        note.loudness * min(1.0, at / swell) * (1 - at / length) ** 2 * TONE[int(at * step) % PERIOD]
        for at in range(length)
    ]


def _wav(samples: Sequence[float]) -> bytes:
    scale = LOUDEST / max(map(abs, samples))
    frames = struct.pack(f"<{len(samples)}h", *(int(sample * scale) for sample in samples))
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE_HZ)
        written.writeframes(frames)
    return file.getvalue()
