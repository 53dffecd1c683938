"""Charts as SVG and pictures as PNG, written into a page: no script, no network, no matplotlib.

Colours and strokes are classes of the page's style sheet, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

WIDE, HIGH = 420, 260  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 72, 12, 12, 42


@dataclass(frozen=True)
class Stroke:
    """A curve: its name, its style (a class of the page), values, and half the width of a band."""

    name: str
    style: str
    y: np.ndarray
    band: np.ndarray | None = None


@dataclass(frozen=True)
class Axis:
    """From values to places in a chart."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (self._of(value) - self._of(self.low)) / (self._of(self.high) - self._of(self.low))
        return self.start + min(1.05, max(-0.05, share)) * (self.end - self.start)

    def _of(self, value: float) -> float:
        return math.log(max(value, 1e-300)) if self.log else value

    def ticks(self) -> list[float]:
        """Round numbers within the ends, about four."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            step = max(1, len(decades) // 4)
            found = [10.0**k for k in decades if k % step == 0]
        else:
            unit = 10 ** math.floor(math.log10((self.high - self.low) / 3))
            unit *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (m * unit) <= 5)
            found = [unit * k for k in range(math.ceil(self.low / unit), math.floor(self.high / unit) + 1)]
        return [tick for tick in found if self.low - 1e-9 <= tick <= self.high * (1 + 1e-9)]


def chart(
    x: np.ndarray,
    lines: Sequence[Stroke],
    *,
    across: str,
    up: str,
    log: bool,
    alt: str,
    floor: float = 0.0,
    most: float = math.inf,
) -> str:
    """Curves over x, whose axis is logarithmic; `log`: so is the other one, from `floor` on. None is above
    `most`."""
    values = np.concatenate([np.r_[one.y - _half(one), one.y + _half(one)] for one in lines])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = float(values.min(initial=math.inf)), float(values.max(initial=-math.inf))
    if not low < high:
        low, high = (0.5 * low, 2 * low) if math.isfinite(low) and low > 0 else (0.0, 1.0)
    if log:
        low, high = max(low, floor, 1e-12) / 1.3, 1.3 * high
    else:
        low, high = min(0.0, low), min(most, high + 0.08 * (high - min(0.0, low)))
    right = Axis(float(x.min()), float(x.max()), True, LEFT, WIDE - RIGHT)
    upward = Axis(low, high, log, HIGH - BOTTOM, TOP)
    parts = [_band(x, one, right, upward) + _curve(x, one, right, upward) for one in lines]
    box = f'<rect x="{LEFT}" y="{TOP}" width="{WIDE - LEFT - RIGHT}" height="{HIGH - TOP - BOTTOM}"/>'
    clip = f'<clipPath id="frame">{box}</clipPath><g clip-path="url(#frame)">{"".join(parts)}</g>'
    body = _frame(right, upward, across, up) + clip
    key = "".join(f'<span class="k {one.style}">{html.escape(one.name)}</span>' for one in lines)
    return (
        f'<figure><svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{html.escape(alt)}">{body}</svg>'
        f'<figcaption class="key">{key}</figcaption></figure>'
    )


def _half(one: Stroke) -> np.ndarray:
    return np.zeros_like(one.y) if one.band is None else one.band


def _frame(right: Axis, upward: Axis, across: str, up: str) -> str:
    parts = []
    for tick in right.ticks():
        at = right(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HIGH - BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{HIGH - BOTTOM + 15}" class="mid">{tick:g}</text>')
    for tick in upward.ticks():
        at = upward(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" class="end">{tick:g}</text>')
    middle = (TOP + HIGH - BOTTOM) / 2
    centre, words = (LEFT + WIDE - RIGHT) / 2, (html.escape(across), html.escape(up))
    parts.append(f'<text x="{centre}" y="{HIGH - 8}" class="mid">{words[0]}</text>')
    parts.append(
        f'<text x="13" y="{middle}" class="mid" transform="rotate(-90 13 {middle})">{words[1]}</text>'
    )
    return "".join(parts)


def _curve(x: np.ndarray, one: Stroke, right: Axis, upward: Axis) -> str:
    known = np.isfinite(one.y) & ((one.y > 0) | (not upward.log))
    points = " ".join(f"{right(a):.1f},{upward(b):.1f}" for a, b in zip(x[known], one.y[known], strict=True))
    return f'<polyline class="{one.style}" points="{points}"/>'


def _band(x: np.ndarray, one: Stroke, right: Axis, upward: Axis) -> str:
    if one.band is None:
        return ""
    high = [(a, b) for a, b in zip(x, one.y + one.band, strict=True) if math.isfinite(b)]
    low = [(a, b) for a, b in zip(x, one.y - one.band, strict=True) if math.isfinite(b)]
    points = " ".join(f"{right(a):.1f},{upward(b):.1f}" for a, b in [*high, *reversed(low)])
    return f'<polygon class="{one.style}" points="{points}"/>'


def picture(images: np.ndarray, alt: str, side: int = 64) -> str:
    """Images [k, c, h, w] uint8 in a row, enlarged by a whole number without smoothing."""
    _, channels, height, width = images.shape
    times = max(1, side // max(height, width))
    shown = images if channels in (1, 3) else images[:, :1]
    tiles = [np.pad(one, ((0, 0), (0, 1), (0, 1)), constant_values=255) for one in shown]
    row = np.concatenate(tiles, 2)[:, :-1, :-1].repeat(times, 1).repeat(times, 2)
    pixels = row[0] if len(row) == 1 else row.transpose(1, 2, 0)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", optimize=True)
    content = base64.b64encode(out.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{content}">'
