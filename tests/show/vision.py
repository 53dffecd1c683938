"""Colours as people see them: contrast, lightness, and differences under colour-vision deficiencies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

# Full deficiencies, for linear RGB: Machado, Oliveira & Fernandes, A Physiologically-based Model for
# Simulation of Color Vision Deficiency, IEEE TVCG 15 (2009), table 1, severity 1.0.
VISIONS = {
    "normal": np.eye(3),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanope": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(  # of sRGB's primaries, D65
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(color: object) -> np.ndarray:
    """Linear RGB [3] of a colour."""
    rgb = np.array(to_rgb(color))  # type: ignore[arg-type]
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(color: object) -> float:
    """Relative luminance of WCAG 2."""
    return float(linear(color) @ (0.2126, 0.7152, 0.0722))


def contrast(one: object, two: object) -> float:
    """Contrast of WCAG 2."""
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def lab(color: object, vision: str = "normal") -> np.ndarray:
    """CIE L*a*b* [3] of a colour as somebody sees it."""
    seen = np.clip(VISIONS[vision] @ linear(color), 0, 1)
    share = XYZ @ seen / XYZ.sum(1)
    f = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def lightness(color: object, vision: str = "normal") -> float:
    """L* of a colour, from 0 to 100."""
    return float(lab(color, vision)[0])


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """CIEDE2000 between two colours in L*a*b*: Sharma, Wu & Dalal, Color Research & Application 30 (2005)."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25.0**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    light, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, np.radians((h1 + turn / 2) % 360)
    tone = 1 - 0.17 * np.cos(hue - np.radians(30)) + 0.24 * np.cos(2 * hue)
    tone += 0.32 * np.cos(3 * hue + np.radians(6)) - 0.20 * np.cos(4 * hue - np.radians(63))
    of_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    of_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    of_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * tone)
    blue = np.exp(-(((np.degrees(hue) - 275) / 25) ** 2))
    twist = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(60 * blue))
    return float(np.sqrt(of_light**2 + of_chroma**2 + of_hue**2 + twist * of_chroma * of_hue))


def closest(colours: Sequence[str], pairs: Sequence[tuple[int, int]] | None = None) -> dict[str, float]:
    """The smallest difference between any two (or those `pairs`) of the colours, for each kind of vision."""
    pairs = pairs or list(itertools.combinations(range(len(colours)), 2))
    seen = {vision: [lab(color, vision) for color in colours] for vision in VISIONS}
    return {vision: min(difference(found[i], found[j]) for i, j in pairs) for vision, found in seen.items()}
