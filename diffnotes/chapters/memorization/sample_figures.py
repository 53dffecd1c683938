"""More figures of chapter 3: samples with their neighbours, averages of the weights, and disjoint halves."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from diffnotes.chapters.memorization.figures import (
    SPLIT,
    default_place,
    label,
    looks,
    title,
    with_default,
)
from diffnotes.show.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    BookFigure,
    BookTable,
    Finding,
    book_figure,
    book_frame,
    picture,
)
from diffnotes.store import Record

DPI = 144
DASHED: dict[str, Any] = {"color": ORANGE, "ls": "--"}


def look_before_split(record: Record, place: int) -> int:
    """The last look of the first seed before its losses part."""
    step, split = record["step"][place, 0], record["onset"][place, 0, -1, SPLIT]
    known = np.flatnonzero((step > 0) & ~(step > split))
    return int(known[-1]) if len(known) else 0


def last_look(record: Record, place: int) -> int:
    """The last look of the runs at `place`."""
    return looks(record, place) - 1


@book_figure
def sheets(record: Record) -> BookFigure:
    """Samples and the training images nearest to them; every row starts from the same noise."""
    small, large = (int(record["value"].argmin()), int(record["value"].argmax()))
    columns = [
        (small, look_before_split(record, small)),
        (small, last_look(record, small)),
        (large, look_before_split(record, large)),
    ]
    rows = record["sheet"].shape[2]
    alt = "Samples beside their nearest training images, in three stages."
    figure = BookFigure(record, alt=alt, size=(6.7, 0.62 * rows + 0.7))
    cells = figure.subplots(rows, 2 * len(columns))
    for block, (place, look) in enumerate(columns):
        step = int(record["step"][place, 0, look])
        heads = (f"{label(record, place)}\nstep {step:,}", "nearest")
        for kind, name in enumerate(("sheet", "near")):
            for row in range(rows):
                head = heads[kind] if row == 0 else ""
                picture(cells[row, 2 * block + kind], record[name][place, look, row], "")
                cells[row, 2 * block + kind].set_title(head, fontsize=9)
    return figure


class Scrubber:
    """Samples, their nearest training images, losses and copies of one run, at any look."""

    def __init__(self, record: Record, place: int | None = None) -> None:
        self._record = record
        self._place = default_place(record) if place is None else place
        self.steps = [int(s) for s in record["step"][self._place, 0] if s > 0]

    @book_frame
    def __call__(self, step: int) -> Figure:
        """Samples above their nearest training images; beside them the losses and the share of copies."""
        record, place = self._record, self._place
        look = int(np.argmin(np.abs(np.log(np.array(self.steps) / step))))
        figure = Figure(figsize=(6.7, 2.7), dpi=DPI)
        parts: Any = figure.subfigures(1, 2, width_ratios=(1, 1))
        count = record["sheet"].shape[2]
        cells = parts[0].subplots(2, count, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
        for row, name in enumerate(("sheet", "near")):
            for column in range(count):
                picture(cells[row, column], record[name][place, look, column], "")
        head = f"samples at step {self.steps[look]:,}\nand the nearest training images"
        parts[0].suptitle(head, fontsize=10)
        self._curves(parts[1].subplots(2, 1, sharex=True), look)
        return figure

    def _curves(self, axes: Any, look: int) -> None:
        record, place = self._record, self._place
        for name, text, style in (("train", "training", {"color": BLUE}), ("test", "held out", DASHED)):
            curve = record[f"{name}_loss"][place, 0, : len(self.steps), -1]
            axes[0].plot(self.steps, curve, label=text, **style)
        copies = record["copies"][place, 0, : len(self.steps), -1, 0]
        axes[1].plot(self.steps, copies, color=BLUE)
        for axis, text in zip(axes, ("loss", "copies"), strict=True):
            axis.axvline(self.steps[look], color=GREY, lw=1)
            axis.set(xscale="log", ylabel=text)
            axis.set_ylim(bottom=0)
        axes[0].legend(fontsize=8, loc="upper right")
        axes[1].set(xlabel="training step τ", ylim=(-0.02, 1.02))


@book_figure
def averages(base: Record, *sweeps: Record) -> BookFigure:
    """Peak fidelity with weights as they are and averaged over several horizons, against each factor."""
    records = (base, *sweeps)
    figure = BookFigure(*records, alt="Peak fidelity for averaged and raw weights.", size=(6.7, 3.0))
    axes = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    names = {"n": "training images N", "batch": "batch size B", "width": "width", "rate": "learning rate η"}
    for axis, record in zip(axes, records, strict=True):
        factor = record.spec["sweep"]
        value, best = with_default(base, record, "best")
        for place, horizon in enumerate(base["average"]):
            text = f"averaged over {horizon:,} steps" if horizon else "weights as they are"
            _line(axis, value, best[:, :, place], PALETTE[place], text)
        axis.set(xscale="log", xlabel=names[factor])
        axis.set_xticks(value, [f"{v:g}" for v in value])
        axis.minorticks_off()
        axis.grid(True)
    axes[0].set_ylabel("least distance\nbefore the losses part")
    floor = float(base["wasserstein_floor"])
    axes[0].axhline(floor, color=INK, ls=":", lw=1, label="two sets of real images")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    axes[0].set_title(title(base), loc="left")
    return figure


def _line(axis: Any, x: np.ndarray, values: np.ndarray, colour: str, text: str) -> None:
    """Means over seeds [x, seed], with standard errors where there are several seeds."""
    seeds = values.shape[1]
    spread = values.std(1, ddof=1) / seeds**0.5 if seeds > 1 else None
    axis.errorbar(x, values.mean(1), spread, color=colour, marker="o", ms=4, capsize=2, label=text)


# ------------------------------------------------------------------------------------------- disjoint halves


@book_figure
def halves(record: Record) -> BookFigure:
    """How far apart the samples of two networks are, from the same noise, and how close to their images."""
    figure = BookFigure(record, alt="Agreement of two networks against the size of a half.", size=(6.9, 3.0))
    left, right = figure.subplots(1, 2)
    n = record["n"]
    share = record["apart"] / record["unrelated"]
    _line(left, n, share, BLUE, "same noise, two networks")
    left.axhline(1, color=INK, ls=":", lw=1, label="different noise")
    left.set_ylabel("distance of two samples\n(1: unrelated)")
    _line(right, n, record["copies"], ORANGE, "copies among the samples")
    _line(right, n, record["own"] / record["other"], BLUE, "own nearest image / other half's")
    for axis in (left, right):
        axis.set(xscale="log", xlabel="images in a half N", ylim=(0, 1.3))
        axis.set_xticks(n, [f"{v}" for v in n])
        axis.minorticks_off()
        axis.grid(True)
        axis.legend(fontsize=8, loc="upper right")
    return figure


@book_figure
def halves_sheet(record: Record) -> BookFigure:
    """Pictures that two networks make from the same noise, for the smallest and the largest halves."""
    figure = BookFigure(record, alt="Pairs of samples from the same noise.", size=(6.7, 2.6))
    parts: Any = figure.subfigures(1, 2)
    for part, place in zip(parts, (0, -1), strict=True):
        cells = part.subplots(2, record["sheet"].shape[3])
        for row in range(2):
            for column in range(record["sheet"].shape[3]):
                picture(cells[row, column], record["sheet"][place, 0, row, column], "")
        part.suptitle(f"N = {int(record['n'][place])}: first and second network", fontsize=10)
    return figure


def halves_found(record: Record) -> Finding:
    """Distances at the ends, in a sentence."""
    share = (record["apart"] / record["unrelated"]).mean(1)
    copies = record["copies"].mean(1)
    n = record["n"]
    return Finding(record, text=(
        f"With {n[0]} images in a half, two samples from the same noise are {share[0]:.2f} times as far "
        f"apart as unrelated ones, and {100 * copies[0]:.0f} % of the samples are copies. With {n[-1]} "
        f"images these are {share[-1]:.2f} and {100 * copies[-1]:.0f} %."
    ))  # fmt: skip


# ------------------------------------------------------------------------------------------------ deviations

THEIRS = {
    "training set": "CIFAR-10, 32 × 32, classes given",
    "N": "2,048; 4,096; 8,192; 16,384",
    "network": "U-Net, 2.9 to 201 million parameters",
    "width": "16, 32, 64, 128, 192 channels, by the parameters",
    "batch size": "16, 32, 64, 128",
    "learning rate (Adam)": "0.00001, 0.00005, 0.0001, 0.0004",
    "longest run": "810,000 steps",
    "average of the weights": "10,000 steps",
    "sampler": "250 steps, not named",
    "copies": "SSCD cosine above 0.6",
    "fidelity": "Inception features, 2,000 samples",
    "seeds": "not stated; single curves",
}


@book_figure
def deviations(*records: Record) -> BookTable:
    """The paper's setting next to ours, line by line."""
    columns = [_setting(record) for record in records]
    rows = [(name, theirs, *(column[name] for column in columns)) for name, theirs in THEIRS.items()]
    header = ("", "Marion & Wu", *(title(record) for record in records))
    note = "The paper’s settings beside ours; in brackets what else was tried"
    return BookTable(*records, header=header, rows=rows, note=note)


def _setting(record: Record) -> dict[str, str]:
    spec, shape = record.spec, record["sheet"].shape
    parameters = record["parameters"]
    kind = "U-Net" if spec["network"] == "unet" else "residual MLP"
    factors = ("sizes", "widths", "batches", "rates")
    listed = {name: ", ".join(f"{v:g}" for v in sorted(spec[name])) for name in factors}
    pixels = spec["dataset"] == "digits"
    classes = "classes given" if spec["conditional"] else "no classes"
    return {
        "training set": f"{title(record)}, {shape[-1]} × {shape[-1]}, {classes}" if pixels
        else f"{title(record)}, {classes}",
        "N": listed["sizes"],
        "network": f"{kind}, {int(parameters[default_place(record), 0]):,} parameters",
        "width": f"{spec['width']} ({listed['widths']})",
        "batch size": f"{spec['batch']} ({listed['batches']})",
        "learning rate (Adam)": f"{spec['rate']:g} ({listed['rates']})",
        "longest run": f"{int(record['step'].max()):,} steps",
        "average of the weights": ", ".join(f"{h:,}" for h in record["average"] if h) + " steps, and none",
        "sampler": f"Euler, {spec['sampler_steps']} steps",
        "copies": "pixels, nearest three times nearer than the next",
        "fidelity": f"{'pixels' if pixels else 'features of our classifier'}, {spec['samples']} samples",
        "seeds": f"{len(spec['seeds'])}",
    }  # fmt: skip
