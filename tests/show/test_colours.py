"""The colour contract, measured: on light and dark pages, for every kind of colour vision, and in grey."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from vision import VISIONS, closest, contrast, difference, lab, lightness

from diffnotes.show import colours
from diffnotes.show.colours import FADE, INK, INKS, ON_PAGES, PALETTE, RAMP, ROLES, STEPS

GROUNDS = {"light": "#ffffff", "dark": "#121212"}
MODES = [(mode, place) for place, mode in enumerate(GROUNDS)]
# CIEDE2000: 1 is just seen between large patches side by side; thin lines and small marks, which lie apart,
# need several times that. 15 between roles keeps a wide margin; 10 between neighbours of the palette, which
# always come with a second cue, a smaller one.
APART, NEIGHBOURS = 15, 10
# Of L*, out of 100: a step that a photocopy keeps.
GREY_STEP = 8


def values(place: int, chosen: tuple[str, ...]) -> list[str]:
    """What these colours are on light (0) or dark (1) pages."""
    return [INKS[place] if color == INK else ON_PAGES[color][1 + place] for color in chosen]


def roles(place: int) -> list[str]:
    return values(place, tuple(role.color for role in ROLES))


def test_difference_is_ciede2000():
    """Pairs 1, 7, 17 and 25 of the test data of Sharma, Wu & Dalal."""
    for one, two, expected in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ):
        assert difference(np.array(one), np.array(two)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("mode", "place"), MODES)
def test_roles_differ_for_everybody(mode, place):
    assert all(least >= APART for least in closest(roles(place)).values()), closest(roles(place))


@pytest.mark.parametrize(("mode", "place"), MODES)
def test_roles_differ_in_grey(mode, place):
    """By lightness; and by line and by marker, where that is not seen."""
    shades = sorted(map(lightness, roles(place)))
    assert min(np.diff(shades)) >= GREY_STEP, shades
    for cue in ("line", "marker", "word"):
        assert len({getattr(role, cue) for role in ROLES}) == len(ROLES)


def test_similar_colours_are_found():
    """What this book once had: blue and purple side by side."""
    assert closest(["#3280dd", "#9065d0"])["protanope"] < NEIGHBOURS


@pytest.mark.parametrize(("mode", "place"), MODES)
def test_neighbours_in_the_palette_differ_for_everybody(mode, place):
    pairs = list(itertools.pairwise(range(len(PALETTE))))
    found = closest(values(place, PALETTE), pairs)
    assert all(least >= NEIGHBOURS for least in found.values()), found
    assert ("purple" in (ON_PAGES[PALETTE[1]][0], ON_PAGES[PALETTE[-1]][0])) is False


@pytest.mark.parametrize(("mode", "place"), MODES)
def test_lines_and_text_are_seen(mode, place):
    ground = GROUNDS[mode]
    faint = {name: contrast(pair[place], ground) for name, *pair in ON_PAGES.values()}
    assert {name: found for name, found in faint.items() if found < 3} == {}
    assert contrast(INKS[place], ground) >= 7
    assert contrast(ON_PAGES[colours.GREY][1 + place], ground) >= 4.5


def test_colours_of_no_page_are_seen_on_any_ground():
    """In JupyterLab, light or dark, where our style sheet is unknown."""
    for color in ON_PAGES:
        assert min(contrast(color, "#ffffff"), contrast(color, "#121212")) >= 2.95, color
    assert min(closest([role.color for role in ROLES if role.color != INK]).values()) >= NEIGHBOURS


@pytest.mark.parametrize("ramp", [RAMP, colours.LIGHT_RAMP, colours.DARK_RAMP])
@pytest.mark.parametrize("vision", VISIONS)
def test_ramp_rises_in_lightness(ramp, vision):
    steps = np.diff([lightness(ramp(step)[:3], vision) for step in range(STEPS)])
    assert (steps > 0).all()
    if ramp is not RAMP:
        assert steps.sum() >= 28


def test_ramp_goes_from_end_to_end():
    assert [colours.ramp(place, 2) for place in (0, 1)] == [to_hex(RAMP(0)), to_hex(RAMP(STEPS - 1))]
    assert colours.ramp(0, 1) == colours.ramp(0, 5)
    assert len({colours.ramp(place, 8) for place in range(8)}) == 8


@pytest.mark.parametrize("ground", GROUNDS.values())
@pytest.mark.parametrize("vision", VISIONS)
def test_fields_fade_into_the_page(ground, vision):
    """What lies on the page's ground is the farther from it in lightness, the higher the value."""
    shades = FADE(np.linspace(0, 1, 50))
    under = np.array([int(ground[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    seen = [lightness(shade[3] * shade[:3] + (1 - shade[3]) * under, vision) for shade in shades]
    steps = np.diff(seen) * np.sign(seen[-1] - seen[0])
    assert shades[0, 3] == 0
    assert (steps > 0).all()
    assert abs(seen[-1] - seen[0]) > 20


def test_no_role_hides_in_a_field():
    end = to_hex(FADE(1.0))
    for role in ROLES:
        for place in (0, 1):
            assert difference(lab(end), lab(values(place, (role.color,))[0])) >= APART


def test_style_sheet_is_the_one_of_the_book():
    sheet = Path(colours.__file__).parents[2] / "book" / "static" / "colours.css"
    assert sheet.read_text(encoding="utf-8") == colours.style_sheet(), (
        "run `python -m diffnotes.show.colours`"
    )


def test_paint_leaves_strangers_alone():
    assert colours.paint(INK) == "currentColor"
    assert colours.paint("#123456") == "#123456"
    assert colours.painted("stroke:#2a86e0;fill:#ffffff") == "stroke:var(--dn-blue,#2a86e0);fill:#ffffff"
