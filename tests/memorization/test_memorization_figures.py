"""Figures, slider and tables of chapter 3, drawn from smoke records."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from diffnotes import store
from diffnotes.chapters.memorization import (
    cifar,
    digits,
    figures,
    findings,
    halves_findings,
    readings,
    sample_figures,
    slider,
    tables,
)
from diffnotes.chapters.memorization import halves as disjoint_halves
from diffnotes.chapters.memorization.onsets import DEFINITIONS
from diffnotes.show import style, widgets
from diffnotes.show.style import BookFigure
from diffnotes.store import Record

SWEEPS = ("n", "width", "batch", "rate")
SPLIT = DEFINITIONS.index("split")


def changed(record: Record, spec: dict[str, Any] | None = None, **arrays: Any) -> Record:
    """The record with other settings and arrays."""
    found = replace(record, meta={**record.meta, "spec": {**record.spec, **(spec or {})}})
    found.__dict__["arrays"] = record.arrays | {name: np.asarray(a) for name, a in arrays.items()}
    return found


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The smoke profile of every sweep over digits, and of the halves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFNOTES_ROOT", str(tmp_path_factory.mktemp("memorization")))
        found = {"n": store.run(digits.EXPERIMENT, "smoke")}
        for sweep in SWEEPS[1:]:
            found[sweep] = store.run(digits.EXPERIMENT, "smoke", sweep=sweep, epochs=6.0, samples=16)
        found["halves"] = store.run(disjoint_halves.EXPERIMENT, "smoke")
    return {name: replace(record, state="valid") for name, record in found.items()}


@pytest.fixture(scope="module")
def copied(records: dict[str, Record]) -> Record:
    """A record of digits as long training gives it: onsets by every definition, and powers."""
    base = records["n"]
    onset = np.empty(base["onset"].shape)
    onset[:] = [20, 40, 60, 80, 160]
    onset *= np.array([1.0, 1.5])[:, None, None, None] * np.array([1.0, 1.1])[:, None, None]
    powers = np.array([[p, p - 0.1, p + 0.2, 2] for p in (0.9, 1.0, 1.2, 1.5, 1.6)])
    share = np.linspace(0, 0.95, 3)[:, None, None] * np.ones(base["copies"].shape)
    rate = np.full(base["rate"].shape, 0.4)
    return changed(base, onset=onset, exponent=np.stack([powers, powers]), copies=share, rate=rate)


@pytest.fixture(scope="module")
def images(copied: Record) -> Record:
    """The same as if it were CIFAR-10 with one seed."""
    one = {
        name: copied[name][:, :1] for name in copied.arrays
        if copied[name].shape[:2] == (2, 2) and name != "exponent"
    }  # fmt: skip
    spec = {"dataset": "cifar10", "side": 16, "network": "unet", "seeds": [0]}
    exponent = copied["exponent"].copy()
    exponent[..., :3] = np.nan
    return changed(copied, spec, **one, exponent=exponent)


@pytest.fixture(scope="module")
def every(records: dict[str, Record], copied: Record, images: Record) -> dict[str, BookFigure]:
    """Every figure of the chapter by its name."""
    one, pairs = records["n"], records["halves"]
    return {
        "through_training": figures.through_training(copied, images), "size_sweep": figures.size_sweep(one),
        "factor_sweeps": figures.factor_sweeps(one, *(records[sweep] for sweep in SWEEPS[1:])),
        "onset": figures.onset(copied, one), "averages": figures.averages(one, records["batch"]),
        "sheets": sample_figures.sheets(one), "halves": sample_figures.halves(pairs),
    }  # fmt: skip


FIGURES = {  # what each must say
    "through_training": ["digits\nN = 16", "CIFAR-10, 16 × 16\nN = 16", "training step τ", "loss", "training",
                         "memorized share", "sliced Wasserstein", "held-out"],
    "size_sweep": ["digits", "steps per image, τ/N", "N = 16", "N = 24", "memorized share"],
    "factor_sweeps": ["digits\nwidth of the network", "training step τ", "width = 8", "width = 16",
                      "digits\nbatch size B", "images seen, τB", "B = 8", "B = 16",
                      "digits\nlearning rate η", "steps times rate, τη", "η = 0.0003", "η = 0.001"],
    "onset": ["digits", "training images N", "training step τ", "losses part by 20 %, power 1.00",
              "5 % memorized, power 1.00", "50 % memorized", "16", "24"],
    "sheets": ["N = 16\nstep 20", "N = 24\nstep 30"],
    "averages": ["training images N", "batch size B", "weights as they are", "averaged over 4 steps",
                 "least distance", "8", "16", "24"],
    "halves": ["ratio or share", "same noise, two networks", "same half, another start",
               "memorized share", "own nearest / other half’s",
               "N = 8", "N = 12"],
}  # fmt: skip


def texts(figure: BookFigure) -> list[tuple[str, Bbox]]:
    """What the figure writes, with its boxes in pixels."""
    found: list[tuple[str, Bbox]] = []
    draw = Text.draw

    def note(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **kwargs)

    figure.canvas.draw()  # the layout is found in the first drawing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", note)
        figure.canvas.draw()
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_figures_say_what_they_show_and_texts_lie_apart(name: str, every: dict[str, BookFigure]) -> None:
    boxes, frame = texts(every[name]), every[name].bbox.padded(1)
    assert set(FIGURES[name]) <= {text for text, _ in boxes}
    outside = [t for t, box in boxes if not (frame.contains(*box.p0) and frame.contains(*box.p1))]
    assert outside == []
    touching = []
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        shared = Bbox.intersection(a, b)
        if shared is not None and shared.width * shared.height > 0:
            touching.append((one, two))
    assert touching == []


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_inline_svg_with_their_provenance(name: str, every: dict[str, BookFigure]) -> None:
    figure = every[name]
    page, svg = figure._repr_html_(), figure.svg()
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == figure.alt
    assert float(root.get("width") or 0) <= 700
    assert "currentColor" in svg
    assert style.INK not in svg
    assert all(record.key in page for record in figure.records)
    assert figure.name.split("-")[0] == name
    assert f'<figure class="dn-figure" id="{figure.name}">' in page
    assert figure.caption.finding
    assert figure.caption.shows
    assert "nan" not in figure.caption.finding


def test_figures_of_a_record_with_no_onset(records: dict[str, Record]) -> None:
    record = never(records["n"])
    for figure in (figures.through_training(record), figures.onset(record), sample_figures.sheets(record)):
        assert "<svg" in figure._repr_html_()
        assert "nan" not in figure.caption.finding


def never(record: Record) -> Record:
    """The record as if nothing ever set in: both losses are the same, and fall."""
    falling = -np.arange(record["step"].shape[2])[:, None] + np.zeros(record["test_loss"].shape)
    onset = np.full(record["onset"].shape, np.nan)
    return changed(record, onset=onset, test_loss=10.0 + falling, train_loss=10.0 + falling)


def test_one_seed_has_no_error_bar(images: Record) -> None:
    """A warning about degrees of freedom would fail the build."""
    axes = figures.averages(images).axes[0]
    assert len(axes.containers) == 2
    assert [container.has_yerr for container in axes.containers] == [False, False]
    assert not any("–" in row[-1] for row in tables.sweep_table(images).rows)


def lines(axis: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axis.get_lines()}


def test_curves_are_those_of_the_record(copied: Record) -> None:
    loss, share, far = figures.through_training(copied).axes
    step = copied["step"][0, 0]
    train_loss = lines(loss)["training"]
    assert train_loss.get_xdata().tolist() == step.tolist()
    assert np.allclose(train_loss.get_ydata(), copied["train_loss"][0, :, :, -1].mean(0))
    assert np.allclose(lines(share)["training"].get_ydata(), [0, 0.475, 0.95])
    assert np.allclose(lines(far)["held-out"].get_ydata(), copied["wasserstein_few"][0, :, :, -1].mean(0))
    marks = [line for axis in (loss, share, far) for line in axis.get_lines() if line.get_ls() == ":"]
    assert [line.get_xdata()[0] for line in marks] == [42, 42, 42]  # the median of 40 and 44


def test_one_thing_looks_the_same_in_all_panels(copied: Record) -> None:
    for axis in figures.through_training(copied).axes:
        found = lines(axis)
        for role in (style.TRAIN, style.HELD_OUT):
            assert found[role.word].get_color() == role.color
            assert found[role.word].get_linestyle() == role.line


def test_sweeps_are_scaled_and_hold_the_default_run(records: dict[str, Record]) -> None:
    base = records["n"]
    start = {n: lines(figures.size_sweep(base).axes[1])[f"N = {n}"].get_xdata()[0] for n in (16, 24)}
    assert start == pytest.approx({16: 5 / 16, 24: 5 / 24})
    names = {"width": ("width = 16", 1), "batch": ("B = 16", 16), "rate": ("η = 0.001", 1e-3)}
    axes = figures.factor_sweeps(base, *(records[sweep] for sweep in names)).axes
    for row, (name, factor) in enumerate(names.values()):
        far = lines(axes[3 * row + 2])[name]
        assert np.allclose(far.get_xdata(), base["step"][0, 0] * factor)
        assert np.allclose(far.get_ydata(), base["wasserstein"][0, :, :, -1].mean(0))


def test_short_runs_end_where_they_end(copied: Record) -> None:
    """A run with fewer evaluations, filled up with -1 and NaN, is drawn up to its last."""
    arrays = {}
    for name in ("train_loss", "test_loss", "copies", "copies_baseline", "wasserstein"):
        arrays[name] = copied[name].copy()
        arrays[name][0, :, 2:] = np.nan
    arrays["step"] = copied["step"].copy()
    arrays["step"][0, :, 2:] = -1
    record = changed(copied, **arrays)
    assert len(lines(figures.size_sweep(record).axes[1])["N = 16"].get_xdata()) == 2
    assert readings.last(record, 0) == 1
    assert slider.Scrubber(record).steps == copied["step"][0, 0, :2].tolist()
    assert tables.sweep_table(record).rows[0][-1] == "48 ± 0 %"  # the share at the second, 0.475
    assert "<svg" in figures.through_training(record)._repr_html_()


def test_averages_hold_the_default_run_and_stand_side_by_side(records: dict[str, Record]) -> None:
    axes = figures.averages(records["n"], records["batch"]).axes
    raw, mean = (container.lines[0] for container in axes[1].containers)
    assert (raw.get_xdata() * mean.get_xdata()).tolist() == pytest.approx([64, 256])
    assert (raw.get_xdata() < mean.get_xdata()).all()
    assert raw.get_ydata()[1] == pytest.approx(records["n"]["best"][0, :, 0].mean())
    floor = [line for line in axes[0].get_lines() if line.get_linestyle() == ":"]
    assert floor[0].get_ydata()[0] == records["n"]["wasserstein_floor"]


def test_halves_show_ratios_beside_their_pictures(records: dict[str, Record]) -> None:
    record = records["halves"]
    *rows, right = sample_figures.halves(record).axes
    assert [axis.get_ylabel() for axis in rows] == ["N = 8", "N = 12"]
    shown = right.containers[0].lines[0].get_xdata()
    assert np.allclose(shown, (record["apart"] / record["unrelated"]).mean(1))
    for place, (above, below) in enumerate((("again", "unrelated"), ("own", "other")), start=1):
        ratio = (record[above] / record[below]).mean(1)
        assert np.allclose(right.containers[place].lines[0].get_xdata(), ratio)
    assert np.round(right.containers[0].lines[0].get_ydata()).tolist() == [0, 1]
    low, high = right.get_ylim()
    assert low > high  # as the rows, from above


def test_pictures_are_put_together_with_gaps() -> None:
    grey = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 1, 2, 2)
    found = sample_figures.mosaic(grey)
    assert found.shape == (5, 8, 4)
    assert found[:2, 3:5, 0].tolist() == grey[0, 1, 0].tolist()
    assert found[3:, 6:, 2].tolist() == grey[1, 2, 0].tolist()
    assert not found[2].any()
    assert not found[:, 2].any()
    assert (found[:2, :2, 3] == 255).all()
    colour = np.zeros((1, 1, 3, 1, 2), np.uint8)
    colour[0, 0, 1, 0, 1] = 7
    assert sample_figures.mosaic(colour).tolist() == [[[0, 0, 0, 255], [0, 7, 0, 255]]]


def test_evaluations_of_the_sheets(copied: Record) -> None:
    assert copied["step"][0, 0].tolist() == [5, 10, 20]
    assert readings.before_split(copied, 0) == 2
    onset = copied["onset"].copy()
    for split, evaluation in ((3, 0), (5, 0), (12, 1), (np.nan, 2)):
        onset[0, 0, -1, SPLIT] = split
        assert readings.before_split(changed(copied, onset=onset), 0) == evaluation


# --- sliders ---


def test_scrubber_shows_the_nearest_evaluation(records: dict[str, Record]) -> None:
    scrubber = slider.Scrubber(records["n"])
    assert scrubber.steps == [5, 10, 20]
    heads = [scrubber(step).axes[0].get_title() for step in (5, 12, 15, 1000)]
    assert [re.search(r"step (\d+)", head)[1] for head in heads] == ["5", "10", "20", "20"]  # type: ignore[index]
    assert slider.Scrubber(records["n"], 1).steps == [5, 12, 30]


def test_scrubber_draws_samples_above_their_neighbours(records: dict[str, Record]) -> None:
    record = records["n"]
    pictures, loss, share = slider.Scrubber(record)(step=10).axes
    shown = pictures.images[0].get_array()
    assert np.array_equal(shown[:8, :8, 0], record["sheet"][0, 1, 0, 0])
    assert np.array_equal(shown[9:, :8, 0], record["near"][0, 1, 0, 0])
    marks = [line.get_xdata()[0] for axis in (loss, share) for line in axis.get_lines()[-1:]]
    assert marks == [10, 10]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "held-out"]
    assert (loss.get_ylabel(), share.get_ylabel(), share.get_xlabel()) == (
        "loss", "memorized", "training step τ"
    )  # fmt: skip


def test_the_legend_of_the_scrubber_covers_no_curve(records: dict[str, Record]) -> None:
    figure = slider.Scrubber(records["n"])(step=10)
    widgets.webp(figure)
    _, loss, _ = figure.axes
    assert loss.get_legend().get_window_extent().y0 >= loss.get_window_extent().y1


def test_scrubber_is_a_slider_with_few_frames(records: dict[str, Record]) -> None:
    scrubber = slider.Scrubber(records["n"])
    explorer = widgets.explore(scrubber, panels=2, step=scrubber.steps)
    assert explorer.values == {"step": [5, 10, 20]}
    assert scrubber.records == (records["n"],)
    assert scrubber.caption.finding.startswith("digits, N = 16: from step 5 to 20, the memorized share ")
    page = explorer.html()
    assert page.count('type="range"') == 1
    assert "training step τ = 10" in page
    shown = [slider.Scrubber(store.load(one.EXPERIMENT, sweep="n")) for one in (digits, cifar)]
    assert max(len(scrubber.steps) for scrubber in shown) <= 24


# --- tables and sentences ---


def cells(table: Any) -> list[list[str]]:
    """Header and rows as the page shows them."""
    soup = BeautifulSoup(table._repr_html_(), "html.parser")
    assert not re.search(r"\bnan\b", soup.get_text())
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in soup.find_all("tr")]


def test_table_of_onsets(copied: Record, images: Record) -> None:
    header, *rows = cells(tables.onset_table(copied, images))
    assert header[1] == "power of N"
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert first.pop(0) == ["digits", "", "", ""]
    assert second.pop(0) == ["CIFAR-10, 16 × 16", "", "", ""]
    names = [row[0].strip().replace("\u00a0", " ") for row in first]
    assert [row[0] for row in first] == [row[0] for row in second]
    assert all(whole.endswith(name) for whole, name in zip(readings.thresholds(copied), names, strict=True))
    assert [f"part by {100 * share:.0f} %" for share in readings.SCAN] == names[1:-3]
    tenth = names.index("10 % memorized")  # the larger set is 1.5 times as large, and 1.5 times as late
    assert first[tenth][1:] == ["1.00 (1.00 to 1.00)".replace(" ", "\u00a0"), "1.00", "–"]
    assert second[tenth][1:] == ["one seed, no fit", "1.00", ""]
    assert cells(tables.onset_table(never(copied)))[-1][1:] == ["not reached", "", ""]


def test_table_of_sweeps(copied: Record, records: dict[str, Record]) -> None:
    header, *rows = cells(tables.sweep_table(copied, *(records[sweep] for sweep in SWEEPS[1:])))
    assert len(header) == len(rows[0]) == 6
    names = [row[0].replace("\u00a0", " ") for row in rows]
    assert names == ["N = 16", "N = 24", "width = 8", "B = 8", "η = 0.0003"]
    assert rows[0][1:4] == ["42 ± 2", "84 ± 4", "0.40 ± 0.00"]
    assert rows[0][5] == "95 ± 0 %"
    best = copied["best"][0, :, -1]
    assert rows[0][4] == f"{best.mean():.3f} ± {np.ptp(best) / 2:.3f}"
    assert rows[2][1:4] == ["–", "–", "–"]  # six passes are too few for anything


def test_no_column_is_all_dashes(records: dict[str, Record]) -> None:
    table = tables.sweep_table(*(records[sweep] for sweep in SWEEPS))
    assert "rate" not in table.header
    assert "“rate”" in table.caption.shows
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_runs_that_break_down_are_marked_and_cut(copied: Record) -> None:
    share = copied["copies"].copy()
    share[0, :, 1, -1], share[0, :, 2, -1] = 0.5, 0.1
    onset = copied["onset"].copy()
    onset[0, :, -1, SPLIT] = [171, 7932]
    table = tables.sweep_table(changed(copied, copies=share, onset=onset))
    assert table.rows[0][:2] == ["N\u00a0=\u00a016\u00a0†", "–"]  # within what is left they do not part
    assert "the run breaks down, in 2 of 2 seeds at N = 16. What comes from there on" in table.caption.shows
    assert "† : " in table.caption.shows.replace("†:", "† :")


def test_table_of_deviations(copied: Record, images: Record, records: dict[str, Record]) -> None:
    header, *rows = cells(tables.deviations([copied, *(records[sweep] for sweep in SWEEPS[1:])], [images]))
    assert header == ["", "Marion & Wu", "digits", "CIFAR-10, 16 × 16"]
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() == tables.THEIRS.keys()
    assert found["training set"][1:] == ["digits, 8 × 8, no classes", "CIFAR-10, 16 × 16, no classes"]
    assert found["N"][1] == "16, 24"
    assert found["batch size"][1:] == ["16 (8)", "16 (not varied)"]
    assert found["learning rate (Adam)"][1:] == ["0.001 (0.0003)", "0.001 (not varied)"]
    assert found["width"][1:] == ["16 (8)", "16 (not varied)"]
    at_24 = changed(records["batch"], {"n": 24, "seeds": [0, 1, 2]})
    other = {row[0]: row[2] for row in tables.deviations([copied, at_24]).rows}
    assert (other["batch size"], other["seeds"]) == ("16 (8 at N = 24)", "2 to 3")
    assert found["longest run"][1] == "30 steps"
    assert found["average of the weights"][1] == "4 steps, and none"
    assert found["network"][1].startswith("residual MLP, ")
    assert found["network"][2].startswith("U-Net, ")
    assert found["seeds"][1:] == ["2", "1"]


@pytest.mark.parametrize(("experiment", "space"), [("digits", "pixels"), ("cifar", "features")])
def test_the_experiment_says_where_distances_are_taken(experiment: str, space: str, copied: Record) -> None:
    """Not the data set: the small profile of `cifar` has digits. Whole images have a side too."""
    record = changed(copied, {"dataset": "cifar10"})
    record.meta["experiment"] = experiment
    found = {row[0]: row[2] for row in tables.deviations([record]).rows}
    assert found["distances"].startswith(space)
    assert found["training set"] == "CIFAR-10, 8 × 8, no classes"


@pytest.mark.parametrize(
    ("dataset", "side", "title"),
    [("digits", 0, "digits"), ("cifar10", 0, "CIFAR-10"), ("cifar10", 16, "CIFAR-10, 16 × 16"),
     ("cifar10", 8, "CIFAR-10, 8 × 8")],
)  # fmt: skip
def test_titles(dataset: str, side: int, title: str, copied: Record) -> None:
    assert readings.title(changed(copied, {"dataset": dataset, "side": side})) == title


def test_onsets_in_sentences(copied: Record, images: Record, records: dict[str, Record]) -> None:
    assert findings.powers(images).endswith(" none on CIFAR-10, 16 × 16.")
    assert findings.power_range(images).endswith(" not known at each on CIFAR-10, 16 × 16.")
    assert f"the power is {readings.THEIR_SPLIT:.2f}" in str(findings.their_powers())
    assert findings.collapse(never(copied)).endswith("in every seed at fewer than two sizes on digits.")
    later = copied["onset"][..., -1, DEFINITIONS.index(readings.TENTH)].mean(1) / copied["value"]
    ends = [f"N = {copied['value'][k]:,}" for k in (-1, 0)]
    text = f" comes {later[-1] / later[0]:.2f} times as late at {ends[0]} as at {ends[1]} on digits."
    assert text in findings.collapse(copied)
    for record in (copied, records["n"], never(records["n"])):
        assert "nan" not in findings.power_range(record) + findings.collapse(record)


def test_halves_in_a_sentence(records: dict[str, Record]) -> None:
    record = records["halves"]
    share = (record["apart"] / record["unrelated"]).mean(1)
    text = halves_findings.halves(record)
    assert f"With 8 images in a half, two samples from the same noise are {share[0]:.2f} times" in text
    assert f"with 12 images these are {share[1]:.2f} and {100 * record['copies'][1].mean():.0f} %." in text
