"""Tables of chapter 5: the ladder, rank correlations of lenses, and what each lens is worth."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.four_lenses import findings, readings, watch_readings
from diffnotes.chapters.four_lenses.readings import LENSES, WAYS, Lens, title
from diffnotes.show.labels import bounds
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record

MAIN = ("relative", "gap", "supervised", "extrapolated", "inside_left", "agreement", "memorized")
PAPERS = {0: "–", 5: "ours"}


@book_figure
def lens_settings(*records: Record) -> BookTable:
    """What was trained, and how long."""
    header = ("ladder", "N", "widths", "parameters", "steps", "batch", "checkpoints", "minutes")
    precisions = " and ".join(f"{record.spec['precision']} ({title(record)})" for record in records)
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        shows=f"Settings, with {records[0]['frechet'].shape[2]} seeds each. Every run is trained twice, on "
        f"disjoint halves of 2 N images, in {precisions}. Minutes are those of everything, with what is "
        "measured.",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec, counts, step = record.spec, record["parameters"][0], record["step"][:, -1]
    return (
        title(record), ", ".join(map(str, record["n"])), ", ".join(map(str, record["width"])),
        f"{int(counts[0]):,} to {int(counts[-1]):,}", f"{int(step[0]):,} to {int(step[-1]):,}",
        str(spec["batch"]), f"{readings.checkpoints(record):,}", f"{record.meta.get('seconds', 0) / 60:.0f}",
    )  # fmt: skip


@book_figure
def lens_correlations(record: Record) -> BookTable:
    """How every lens goes with memorized samples."""
    found = [readings.correlations(record, way) for way in WAYS]
    rows = [
        (_word(lens), *(findings.spoken(readings.pair(one, lens.name, "memorized")) for one in found))
        for lens in LENSES
        if lens.name != "memorized"
    ]
    return BookTable(
        record, header=("lens", *WAYS), rows=rows, finding=findings.correlation_text(record),
        shows="Spearman's rank correlation with the share of memorized samples: over all checkpoints; over "
        "those with copies; in the mean within the runs in which both change, where only time differs; and "
        "over all, given the number of passes. In brackets 95 % intervals that resample whole runs, whose "
        "checkpoints are not independent.",
    )  # fmt: skip


def _word(lens: Lens) -> str:
    """'loss gap, left of σ* (paper 4)'."""
    paper = PAPERS.get(lens.paper, f"paper {lens.paper}")
    return lens.word if paper == "–" else f"{lens.word} ({paper})"


@book_figure
def lens_matrix(record: Record) -> BookTable:
    """Rank correlations between the main lenses."""
    found = readings.correlations(record, WAYS[0])
    words = [readings.lens(name).word for name in MAIN]
    rows = [
        (readings.lens(one).word, *(_entry(found, one, other, row <= column)
                                    for column, other in enumerate(MAIN[:-1])))
        for row, one in enumerate(MAIN) if row
    ]  # fmt: skip
    return BookTable(
        record, header=("", *words[:-1]), rows=rows,
        shows=f"Spearman's rank correlations between lenses over all checkpoints of {title(record)}. Their "
        f"95 % intervals, which resample whole runs, reach at most {_widest(found):.2f} from them.",
    )  # fmt: skip


def _entry(found: np.ndarray, one: str, other: str, blank: bool) -> str:
    return "" if blank else findings.spoken(readings.pair(found, one, other)[:1])


def _widest(found: np.ndarray) -> float:
    """The largest distance from a correlation to an end of its interval, of the main lenses."""
    names = [lens.name for lens in LENSES]
    chosen = found[np.ix_(range(3), *[[names.index(name) for name in MAIN]] * 2)]
    return float(np.nanmax(np.abs(chosen[1:] - chosen[0])))


@book_figure
def lens_watch(record: Record) -> BookTable:
    """What each lens is worth, best first."""
    header = ("number", "needs", "images seen by networks", "balanced error", "interval", "by size left out",
              "AUC")  # fmt: skip
    return BookTable(
        record, header=header, rows=[_watch(watch) for watch in watch_readings.watched(record)],
        finding=findings.watch_text(record),
        shows="How well one number tells checkpoints with more than 5 % memorized samples: with the "
        "threshold that is best on the other sizes of training set, the mean of the shares of wrong answers "
        "among those that memorize and among the others; and the area under the curve over all checkpoints. "
        "Images seen by networks at one checkpoint, as measured here; the agreement of halves needs a second "
        "training, too. Thresholds are geometric middles; intervals resample the runs of each size.",
    )  # fmt: skip


def _watch(watch: watch_readings.Watch) -> tuple[str, ...]:
    sizes = ", ".join(f"{100 * error:.0f}" for error in watch.errors)
    return (
        _word(watch.lens), _needs(watch.lens), f"{watch.cost:,.0f}", f"{100 * watch.error:.1f} %",
        _percents(watch.interval), f"{sizes} %", f"{watch.auc:.3f}",
    )  # fmt: skip


def _percents(interval: np.ndarray) -> str:
    low, high = 100 * interval[1:]
    return bounds(low, high, 1, " %")


def _needs(lens: Lens) -> str:
    words = {
        "": "nothing", "held out": "held-out images", "error": "training and held-out images",
        "supervised": "training images", "gap": "training images", "sampler": "samples",
        "agreement": "samples, a second network",
    }  # fmt: skip
    return words[lens.source] if lens.name != "frechet" else "samples, held-out images"
