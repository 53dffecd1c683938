"""Figures, tables and findings on extrapolation, from small records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import cases, record
from layout import collisions, texts

from diffnotes import chapters, store
from diffnotes.chapters import checks
from diffnotes.chapters.checks import Nothing
from diffnotes.chapters.extrapolation import claims, figures, findings, paper_values, readings, tables, values
from diffnotes.store import Record

FREEDOM = ("freedom_gaussian", "freedom_circle", "freedom_digits", "freedom_cifar")
SHOWN = {  # figure: the experiments whose records it takes
    "freedom_curves": FREEDOM, "closeness_curves": FREEDOM, "shell_curves": FREEDOM,
    "freedom_sheet": ("freedom_digits",),
    "perception_samples": ("perception",), "scale_values": ("paper_values",), "fid_lines": ("paper_values",),
    "repa_values": ("paper_values",),
}  # fmt: skip
LISTED = {
    "limit_table": FREEDOM, "control_table": FREEDOM, "forms_table": ("two_forms",),
    "perception_table": ("perception",), "line_table": ("paper_values",),
}  # fmt: skip
SENTENCES = {
    "baseline_found": FREEDOM, "later": FREEDOM[2:], "limits_found": FREEDOM, "reach": FREEDOM,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The smoke record of every experiment of the room: the pinned one, else made in a folder of its own."""
    names = dict.fromkeys(name for some in (SHOWN | LISTED).values() for name in some)
    pinned = {name: store.best(chapters.find(name), {}, profile="smoke") for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("extrapolation")))
        found = {name: pinned[name] or store.run(chapters.find(name), "smoke") for name in names}
    return {name: replace(record, state="valid", pinned=False) for name, record in found.items()}


def test_figures(made: dict[str, Record]) -> None:
    for name, experiments in SHOWN.items():
        figure = getattr(figures, name)(*(made[one] for one in experiments))
        page = figure._repr_html_()
        assert f'id="{name}"' in page
        assert made[experiments[0]].key in page
        assert figure.get_figwidth() <= 6.9
        boxes = texts(figure)
        assert collisions(boxes) == [], name


def test_tables(made: dict[str, Record]) -> None:
    for name, experiments in LISTED.items():
        table = getattr(tables, name)(*(made[one] for one in experiments))
        assert all(len(row) == len(table.header) for row in table.rows), name
        assert f'id="{name}"' in table._repr_html_()


def test_captions_begin_with_findings_on_these_records(made: dict[str, Record]) -> None:
    for room, known in ((figures, SHOWN), (tables, LISTED)):
        for name, experiments in known.items():
            caption = getattr(room, name)(*(made[one] for one in experiments)).caption
            assert re.search(r"\d", caption.finding), name
            assert caption.shows
            assert not re.search(r"\bnan\b", f"{caption.finding} {caption.shows}"), name


def test_sentences(made: dict[str, Record]) -> None:
    for name, experiments in SENTENCES.items():
        text = str(getattr(findings, name)(*(made[one] for one in experiments)))
        assert re.search(r"\d", text)
        assert "nan" not in text


def test_the_papers_values_are_labelled(made: dict[str, Record]) -> None:
    for name in ("scale_values", "fid_lines", "repa_values"):
        shows = getattr(figures, name)(made["paper_values"]).caption.shows
        assert shows.startswith("Values measured from the paper’s figures, not ours.")


def test_findings_follow_the_record() -> None:
    room = cases("extrapolation")
    rising, level = room.freedom(), room.freedom(networks=room.LEVEL)
    assert "from 0 % to 90 % (MLP)" in findings.rising(rising)
    assert "from 50 % to 50 % (MLP, its interval holds 0)" in findings.rising(level)


# --- readings ---


def test_shares_by_hand() -> None:
    found = cases("extrapolation").freedom()
    rise = readings.rise(found, "unet")
    assert np.allclose(rise.share[1], [0.09, 0.10, 0.11])
    assert np.allclose(rise.growth, [0.44, 0.45, 0.45], atol=0.011)
    control = readings.control(found, "shell")
    assert np.allclose(control.share - control.alone, [0.49, 0.50, 0.50], atol=0.011)
    assert readings.limit(found) == 1 / 9
    factor, share = readings.shells(found)
    assert factor.tolist() == [1, 2, 4]
    assert np.allclose(share.mean(1), [0.0, 0.1, 0.5], atol=0.01)


def test_agreement_by_hand() -> None:
    found = cases("extrapolation").forms(0.1)
    agreement = readings.agreement(found)
    assert np.allclose(agreement.loss, 0.1 * 200**0.5, rtol=0.01)
    assert agreement.count == 3 * 2 * 3
    assert (agreement.variance == 4).all()


# --- the paper's values ---


def test_lines_go_through_the_papers_own_fid(tmp_path: Path) -> None:
    """The lines drawn in the paper, at a loss of 0.720; within what measuring a drawing allows."""
    found = paper_values.compute(paper_values.RefitSpec(), store.Work(tmp_path))
    theirs = {
        "transformer": 46.8, "U-Net": 36.0, "U-Net, no attention": 31.7, "REPA 0": 45.9, "REPA 0.25": 37.5,
        "REPA 0.5": 33.9, "REPA 1": 31.7,
    }  # fmt: skip
    for name, fid in zip(found["recipe"], found["fid"][:, 0], strict=True):
        assert abs(fid - theirs[str(name)]) < 0.6, name


def test_fits_against_plain_formulas() -> None:
    x, y = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 2.0, 2.5, 6.0])
    slope = np.cov(x, y)[0, 1] / x.var(ddof=1)
    rest = y - y.mean() - slope * (x - x.mean())
    error = (rest @ rest / 2 / ((x - x.mean()) ** 2).sum()) ** 0.5
    found = paper_values.fitted(paper_values.polynomial(x, 1), y, np.array([0.0, 1.0]), 0.95)
    assert np.allclose(found, [slope, slope - 4.302653 * error, slope + 4.302653 * error])
    alone = paper_values.fitted(paper_values.polynomial(x[:2], 1), y[:2], np.array([0.0, 1.0]), 0.95)
    assert np.isclose(alone[0], 1)
    assert np.isnan(alone[1:]).all()


def test_repa_raises_the_loss_and_lowers_the_fid_of_the_papers_values(tmp_path: Path) -> None:
    made = paper_values.compute(paper_values.RefitSpec(), store.Work(tmp_path))
    found = readings.repa_changes(record(made))
    assert np.allclose(found["REPA 1"][-1], [0.7182 - 0.7150, 29.4 - 36.9])
    slightly = claims.CHECKS["song-repa-loss"](record(made))
    assert slightly.verdict == checks.REPRODUCED
    rules = {claim.id: claim.rule for claim in checks.claims()}
    assert f"at most {100 * claims.SLIGHTLY:g} %" in rules["song-repa-loss"]


def test_shares_and_ratios_of_the_paper_are_shares() -> None:
    assert all(0.9 < sum(one) < 1.01 for one in values.PERCEPTION.values())
    assert set(values.PERCEPTION) == set(readings.VARIANTS)
    sizes = {len(values.COMPUTE), len(values.SUPERVISED), len(values.EXTRAPOLATED)}
    assert sizes == {10}


def test_controls_without_an_effect_are_not_judged() -> None:
    room = cases("extrapolation")
    for kind in ("shell", "balanced", "perturbed", "drawn"):
        with pytest.raises(Nothing, match="no more copies than D_score alone"):
            claims.CHECKS[f"ours-{kind}-digits"](room.freedom(networks=room.LEVEL))
    few = room.freedom()
    few.arrays["distinct"][:] = 60
    with pytest.raises(Nothing, match="60 % of its centres are distinct"):
        claims.CHECKS["ours-balanced-digits"](few)
    with pytest.raises(Nothing, match="own rise is not beyond its interval"):
        claims.CHECKS["song-later-digits"](room.freedom(networks=room.LEVEL))


def test_four_points_that_no_one_fits_are_not_judged() -> None:
    room = cases("extrapolation")
    with pytest.raises(Nothing, match="13 % of its samples are at a point"):
        claims.CHECKS["song-aligned-polar"](room.perception((0.13, 0.1, 0.7, 0.07)))


def test_rules_name_the_numbers_that_the_checks_use() -> None:
    rules = {claim.id: claim.rule for claim in checks.claims()}
    for name in ("gaussian", "circle", "digits", "cifar"):
        assert f"less than {100 * claims.DISTINCT:.0f} % of the centres" in rules[f"ours-balanced-{name}"]
        assert f"below {100 * claims.ROOM:.0f} %" in rules[f"song-freedom-{name}"]
        assert f"below {100 * claims.CLEAN:.0f} %" in rules[f"song-freedom-{name}"]
    assert claims.FITS == 0.5
    for pair in readings.ALIGNED:
        assert "less than half of the plain denoiser" in rules[f"song-aligned-{pair}"]
        assert ("good gaps rises" in rules[f"song-aligned-{pair}"]) == (pair in readings.FILLED)
