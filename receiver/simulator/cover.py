"""Draws the cover of a track: a gradient and a few shapes, the same for the same id."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

SIZE = 512
MIDDLE = SIZE // 2
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}">
<defs><linearGradient id="sky" x1="0" y1="0" x2="{slant}" y2="1">\
<stop offset="0" stop-color="{top}"/><stop offset="1" stop-color="{bottom}"/></linearGradient></defs>
<rect width="{size}" height="{size}" fill="url(#sky)"/>
{shapes}
</svg>
"""


@dataclass(frozen=True, kw_only=True)
class Palette:
    top: str
    bottom: str
    accent: str
    shade: str


def draw_cover(track_id: str) -> bytes:
    rng = random.Random(f"cover:{track_id}")
    palette = draw_palette(rng)
    shapes = "\n".join(rng.choice(MOTIFS)(palette, rng))
    svg = SVG.format(
        size=SIZE, slant=round(rng.random(), 2), top=palette.top, bottom=palette.bottom, shapes=shapes
    )
    return svg.encode()


def draw_palette(rng: random.Random) -> Palette:
    # From teal over violet to orange: a dark yellow is a mud.
    hue = rng.uniform(0.48, 1.06)
    away = rng.choice((-1, 1)) * rng.uniform(0.07, 0.16)
    return Palette(
        top=_colour(hue, 0.32, 0.55),
        bottom=_colour(hue + away, 0.62, 0.65),
        accent=_colour(hue + 2.5 * away, 0.84, 0.85),
        shade=_colour(hue - away / 2, 0.17, 0.5),
    )


def _colour(hue: float, lightness: float, saturation: float) -> str:
    parts = colorsys.hls_to_rgb(hue % 1, lightness, saturation)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def _hills(palette: Palette, rng: random.Random) -> list[str]:
    x, y, radius = rng.randint(110, 400), rng.randint(120, 230), rng.randint(48, 84)
    glow = _circle(x, y, radius * 1.7, palette.accent, 0.18)
    hills = [_hill(level, palette.shade, rng) for level in (280, 345, 410)]
    return [glow, _circle(x, y, radius, palette.accent, 0.95), *hills]


def _hill(level: int, colour: str, rng: random.Random) -> str:
    height, phase, waves = rng.uniform(18, 46), rng.uniform(0, math.tau), rng.uniform(0.7, 1.6)
    points = " ".join(
        f"{x},{level + height * math.sin(phase + waves * math.tau * x / SIZE):.1f}"
        for x in range(0, SIZE + 1, 8)
    )
    return f'<polygon points="0,{SIZE} {points} {SIZE},{SIZE}" fill="{colour}" fill-opacity="0.42"/>'


def _orbits(palette: Palette, rng: random.Random) -> list[str]:
    gap = rng.randint(34, 42)
    radii = [64 + gap * step for step in range(1, 5)]
    rings = [
        f'<circle cx="{MIDDLE}" cy="{MIDDLE}" r="{radius}" fill="none" stroke="{palette.accent}"'
        ' stroke-opacity="0.45" stroke-width="2"/>'
        for radius in radii
    ]
    planets = [_planet(radius, rng.choice((palette.accent, palette.shade)), rng) for radius in radii]
    return [_circle(MIDDLE, MIDDLE, 62, palette.accent, 0.95), *rings, *planets]


def _planet(orbit: float, colour: str, rng: random.Random) -> str:
    angle = rng.uniform(0, math.tau)
    x, y = MIDDLE + orbit * math.cos(angle), MIDDLE + orbit * math.sin(angle)
    return _circle(x, y, rng.uniform(10, 26), colour, 1)


def _petals(palette: Palette, rng: random.Random) -> list[str]:
    count, length, width = rng.randint(6, 11), rng.randint(90, 112), rng.randint(30, 52)
    turn = rng.uniform(0, 360)
    petals = [
        f'<ellipse cx="{MIDDLE}" cy="{MIDDLE - length}" rx="{width}" ry="{length}" fill="{palette.accent}"'
        f' fill-opacity="0.38" transform="rotate({turn + 360 * petal / count:.1f} {MIDDLE} {MIDDLE})"/>'
        for petal in range(count)
    ]
    return [*petals, _circle(MIDDLE, MIDDLE, 34, palette.shade, 0.9)]


def _bars(palette: Palette, rng: random.Random) -> list[str]:
    phase, waves = rng.uniform(0, math.tau), rng.uniform(1, 2.5)
    heights = [60 + 130 * abs(math.sin(phase + waves * bar / 3)) + rng.uniform(0, 110) for bar in range(11)]
    return [
        f'<rect x="{65 + 36 * bar}" y="{MIDDLE - height / 2:.1f}" width="22" height="{height:.1f}" rx="11"'
        f' fill="{palette.accent}" fill-opacity="{0.55 + 0.4 * (bar % 2):.2f}"/>'
        for bar, height in enumerate(heights)
    ]


def _circle(x: float, y: float, radius: float, colour: str, opacity: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" fill-opacity="{opacity:g}"/>'


_Motif = Callable[[Palette, random.Random], list[str]]
MOTIFS: tuple[_Motif, ...] = (_hills, _orbits, _petals, _bars)
