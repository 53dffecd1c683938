"""Figures of chapter 3: training, sweeps, onsets, sheets, averages and halves, drawn from smoke records."""

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
from diffnotes.chapters.memorization import digits, figures
from diffnotes.chapters.memorization import halves as disjoint_halves
from diffnotes.chapters.memorization import sample_figures as copies
from diffnotes.chapters.memorization.onsets import DEFINITIONS
from diffnotes.show import style, widgets
from diffnotes.show.style import BookFigure
from diffnotes.store import Record

SWEEPS = ("n", "width", "batch", "rate")


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


def drawn(records: dict[str, Record], copied: Record, images: Record) -> dict[str, BookFigure]:
    """Every figure of the chapter by a name."""
    one, pairs = records["n"], records["halves"]
    made = {
        "through_training": figures.through_training(copied, images), "size_sweep": figures.size_sweep(one),
        "onset": figures.onset(copied, one), "sheets": copies.sheets(one),
        "averages": copies.averages(one, records["batch"]), "halves": copies.halves(pairs),
        "halves_sheet": copies.halves_sheet(pairs),
    }  # fmt: skip
    return made | {sweep: figures.factor_sweep(one, records[sweep]) for sweep in SWEEPS[1:]}


@pytest.fixture(scope="module")
def every(records: dict[str, Record], copied: Record, images: Record) -> dict[str, BookFigure]:
    return drawn(records, copied, images)


FIGURES = {  # what each must say
    "through_training": ["digits, N = 16", "CIFAR-10, 16 × 16, N = 16", "training step τ", "loss", "training",
                         "share of copies", "sliced Wasserstein distance", "held out", "of training images",
                         "of held-out images", "to training set", "to held-out set"],
    "size_sweep": ["digits", "training step τ / N", "N = 16", "N = 24", "training loss", "share of copies"],
    "width": ["digits", "training step τ", "width = 8", "width = 16", "training loss", "loss"],
    "batch": ["digits", "images seen, τ B", "B = 8", "B = 16"],
    "rate": ["digits", "τ η", "η = 0.0003", "η = 0.001"],
    "onset": ["digits", "training images N", "training step τ", "held-out loss is least, power 0.90",
              "losses part by 20 %, power 1.00", "5 % copies, power 1.20", "10 % copies, power 1.50",
              "50 % copies, power 1.60", "50 % copies", "16", "24"],
    "sheets": ["nearest", "N = 16\nstep 20", "N = 24\nstep 30"],
    "averages": ["training images N", "batch size B", "weights as they are", "averaged over 4 steps",
                 "two sets of real images", "least distance\nbefore the losses part", "8", "16", "24"],
    "halves": ["images in a half N", "same noise, two networks", "different noise",
               "copies among the samples", "own nearest image / other half's", "8", "12"],
    "halves_sheet": ["N = 8: first and second network", "N = 12: first and second network"],
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
    anchor = "factor_sweep" if name in SWEEPS else name
    assert figure.name.split("-")[0] == anchor
    assert f'<figure class="dn-figure" id="{figure.name}">' in page


def test_figures_of_a_record_with_no_onset(records: dict[str, Record]) -> None:
    none = np.full(records["n"]["onset"].shape, np.nan)
    record = changed(records["n"], onset=none, exponent=np.full((2, 5, 4), np.nan))
    for figure in (figures.through_training(record), figures.onset(record), copies.sheets(record)):
        assert "<svg" in figure._repr_html_()


def test_one_seed_has_no_error_bar(images: Record) -> None:
    """A warning about degrees of freedom would fail the build."""
    axes = copies.averages(images).axes[0]
    assert len(axes.containers) == 2
    assert [container.has_yerr for container in axes.containers] == [False, False]
    assert "–" not in {row[-1] for row in figures.sweep_table(images).rows}


def lines(axis: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axis.get_lines()}


def test_curves_are_those_of_the_record(copied: Record, records: dict[str, Record]) -> None:
    loss, share, far = figures.through_training(copied).axes
    step = copied["step"][0, 0]
    train_loss = lines(loss)["training"]
    assert train_loss.get_xdata().tolist() == step.tolist()
    assert np.allclose(train_loss.get_ydata(), copied["train_loss"][0, :, :, -1].mean(0))
    assert np.allclose(lines(share)["of training images"].get_ydata(), [0, 0.475, 0.95])
    assert np.allclose(
        lines(far)["to held-out set"].get_ydata(), copied["wasserstein_few"][0, :, :, -1].mean(0)
    )
    marks = [line for axis in (loss, share, far) for line in axis.get_lines() if line.get_ls() == ":"]
    assert [line.get_xdata()[0] for line in marks] == [42, 42, 42]  # the median of 40 and 44


def test_sweeps_are_scaled_and_hold_the_default_run(records: dict[str, Record]) -> None:
    base = records["n"]
    start = {n: lines(figures.size_sweep(base).axes[0])[f"N = {n}"].get_xdata()[0] for n in (16, 24)}
    assert start == {16: 5 / 16, 24: 5 / 24}
    names = {"width": ("width = 16", 1), "batch": ("B = 16", 16), "rate": ("η = 0.001", 1e-3)}
    for sweep, (name, factor) in names.items():
        drawn_ = lines(figures.factor_sweep(base, records[sweep]).axes[0])[name]
        assert np.allclose(drawn_.get_xdata(), base["step"][0, 0] * factor)
        assert np.allclose(drawn_.get_ydata(), base["test_loss"][0, :, :, -1].mean(0))


def test_short_runs_end_where_they_end(copied: Record) -> None:
    """A run with fewer looks, filled up with -1 and NaN, is drawn up to its last look."""
    arrays = {}
    for name in ("train_loss", "test_loss", "copies", "copies_baseline", "wasserstein"):
        arrays[name] = copied[name].copy()
        arrays[name][0, :, 2:] = np.nan
    arrays["step"] = copied["step"].copy()
    arrays["step"][0, :, 2:] = -1
    record = changed(copied, **arrays)
    assert len(lines(figures.size_sweep(record).axes[0])["N = 16"].get_xdata()) == 2
    assert copies.last_look(record, 0) == 1
    assert copies.Scrubber(record).steps == copied["step"][0, 0, :2].tolist()
    assert figures.sweep_table(record).rows[0][-1] == "0.47 ± 0.00"  # the share at the second look, 0.475
    assert "<svg" in figures.through_training(record)._repr_html_()


def test_averages_hold_the_default_run(records: dict[str, Record]) -> None:
    axes = copies.averages(records["n"], records["batch"]).axes
    raw = axes[1].containers[0].lines[0]
    assert raw.get_xdata().tolist() == [8, 16]
    assert raw.get_ydata()[1] == pytest.approx(records["n"]["best"][0, :, 0].mean())
    floor = lines(axes[0])["two sets of real images"].get_ydata()[0]
    assert floor == records["n"]["wasserstein_floor"]


def test_halves_show_ratios(records: dict[str, Record]) -> None:
    record = records["halves"]
    left, right = copies.halves(record).axes
    shown = left.containers[0].lines[0].get_ydata()
    assert np.allclose(shown, (record["apart"] / record["unrelated"]).mean(1))
    assert np.allclose(right.containers[1].lines[0].get_ydata(), (record["own"] / record["other"]).mean(1))


def test_looks_of_the_sheets(copied: Record) -> None:
    step = copied["step"][0, 0].tolist()
    assert step == [5, 10, 20]
    assert copies.look_before_split(copied, 0) == 2
    onset = copied["onset"].copy()
    for split, look in ((3, 0), (5, 0), (12, 1), (np.nan, 2)):
        onset[0, 0, -1, figures.SPLIT] = split
        assert copies.look_before_split(changed(copied, onset=onset), 0) == look


# --- sliders ---


def test_scrubber_shows_the_nearest_look(records: dict[str, Record]) -> None:
    scrubber = copies.Scrubber(records["n"])
    assert scrubber.steps == [5, 10, 20]
    heads = [scrubber(step).subfigs[0]._suptitle.get_text() for step in (5, 12, 15, 1000)]
    assert [re.search(r"step (\d+)", head)[1] for head in heads] == ["5", "10", "20", "20"]  # type: ignore[index]
    assert copies.Scrubber(records["n"], 1).steps == [5, 12, 30]


def test_scrubber_draws_samples_above_their_neighbours(records: dict[str, Record]) -> None:
    record = records["n"]
    figure = copies.Scrubber(record)(step=10)
    cells, (loss, share) = figure.subfigs[0].axes, figure.subfigs[1].axes
    assert len(cells) == 12
    assert np.array_equal(cells[0].images[0].get_array(), record["sheet"][0, 1, 0, 0])
    assert np.array_equal(cells[6].images[0].get_array(), record["near"][0, 1, 0, 0])
    marks = [line.get_xdata()[0] for axis in (loss, share) for line in axis.get_lines()[-1:]]
    assert marks == [10, 10]
    assert {text.get_text() for text in loss.get_legend().get_texts()} == {"training", "held out"}
    assert (loss.get_ylabel(), share.get_ylabel(), share.get_xlabel()) == (
        "loss", "copies", "training step τ"
    )  # fmt: skip


def test_scrubber_is_a_slider(records: dict[str, Record]) -> None:
    scrubber = copies.Scrubber(records["n"])
    explorer = widgets.explore(scrubber, panels=2, step=scrubber.steps)
    assert explorer.values == {"step": [5, 10, 20]}
    page = explorer.html()
    assert page.count('type="range"') == 1
    assert "training step τ = 10" in page


# --- tables and sentences ---


def cells(table: Any) -> list[list[str]]:
    """Header and rows as the page shows them."""
    soup = BeautifulSoup(table._repr_html_(), "html.parser")
    assert not re.search(r"\bnan\b", soup.get_text())
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in soup.find_all("tr")]


def test_table_of_onsets(copied: Record, images: Record) -> None:
    header, *rows = cells(figures.onset_table(copied, images))
    assert header[2] == "exponent of N"
    assert len(rows) == 2 * len(DEFINITIONS)
    assert rows[1] == ["digits", "losses part by 20 %", "1.00", "0.90 to 1.20", "2"]
    assert rows[3] == ["digits", "10 % copies", "1.50", "1.40 to 1.70", "2"]
    assert rows[6] == ["CIFAR-10, 16 × 16", "losses part by 20 %", "one seed, no fit", "", "2"]
    same = copied["onset"][:, :1].repeat(2, 1)
    shown = cells(figures.onset_table(changed(copied, onset=same)))
    assert {row[3] for row in shown[1:]} == {"the same look for all seeds"}
    few = np.where(np.arange(4) < 3, np.nan, 1.0) * np.ones((2, 5, 1))
    assert cells(figures.onset_table(changed(copied, exponent=few)))[1][2:] == ["not reached", "", "1"]


def test_table_of_sweeps(copied: Record, records: dict[str, Record]) -> None:
    header, *rows = cells(figures.sweep_table(copied, *(records[sweep] for sweep in SWEEPS[1:])))
    assert len(header) == len(rows[0]) == 7
    assert [row[0] for row in rows] == ["N = 16", "N = 24", "width = 8", "B = 8", "η = 0.0003"]
    assert rows[0][2:5] == ["42 ± 2", "84 ± 4", "0.40 ± 0.00"]
    assert rows[0][6] == "0.95 ± 0.00"
    assert rows[0][1] == f"{int(copied['parameters'][0, 0]):,}"
    best = copied["best"][0, :, -1]
    assert rows[0][5] == f"{best.mean():.3f} ± {np.ptp(best) / 2:.3f}"
    assert rows[2][2:5] == ["–", "–", "–"]  # six passes are too few for anything


def test_table_of_deviations(copied: Record, images: Record) -> None:
    header, *rows = cells(copies.deviations(copied, images))
    assert header == ["", "Marion & Wu", "digits", "CIFAR-10, 16 × 16"]
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() == copies.THEIRS.keys()
    assert found["training set"][1:] == ["digits, 8 × 8, no classes", "CIFAR-10, 16 × 16, no classes"]
    assert found["N"][1] == "16, 24"
    assert found["batch size"][1:] == ["16 (8)", "16 (8)"]
    assert found["learning rate (Adam)"][1:] == ["0.001 (0.0003)", "0.001 (0.0003)"]
    assert found["width"][1:] == ["16 (8)", "16 (8)"]
    assert found["longest run"][1] == "30 steps"
    assert found["average of the weights"][1] == "4 steps, and none"
    assert found["network"][1].startswith("residual MLP, ")
    assert found["network"][2].startswith("U-Net, ")
    assert found["seeds"][1:] == ["2", "1"]


@pytest.mark.parametrize(
    ("dataset", "side", "title"),
    [("digits", 0, "digits"), ("cifar10", 0, "CIFAR-10"), ("cifar10", 16, "CIFAR-10, 16 × 16"),
     ("cifar10", 8, "CIFAR-10, 8 × 8")],
)  # fmt: skip
def test_titles(dataset: str, side: int, title: str, copied: Record) -> None:
    assert figures.title(changed(copied, {"dataset": dataset, "side": side})) == title


def test_onset_in_a_sentence(copied: Record, images: Record, records: dict[str, Record]) -> None:
    text = str(figures.onset_found(copied))
    assert text.startswith("digits: the step at which the losses part grows as N to the power 1.00")
    assert "(95 % interval 0.90 to 1.20)" in text
    assert "to the power 1.50 (1.40 to 1.70)" in text
    few = np.where(np.arange(4) < 3, np.nan, 1.0) * np.ones((2, 5, 1))
    assert "too few sizes" in str(figures.onset_found(changed(copied, exponent=few)))
    assert "one seed gives no interval" in str(figures.onset_found(images))
    for record in (copied, records["n"]):
        assert "nan" not in str(figures.onset_found(record))


def test_halves_in_a_sentence(records: dict[str, Record]) -> None:
    record = records["halves"]
    share = (record["apart"] / record["unrelated"]).mean(1)
    text = str(copies.halves_found(record))
    assert f"With 8 images in a half, two samples from the same noise are {share[0]:.2f} times" in text
    assert f"With 12 images these are {share[1]:.2f} and {100 * record['copies'][1].mean():.0f} %." in text
