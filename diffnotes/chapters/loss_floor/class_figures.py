"""Figures, tables and sentences of chapter 4 about networks that know the class of an image.

All take records in pairs: one of `loss_classes`, then that of `loss_curve` for the same images.
"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.loss_floor import readings
from diffnotes.chapters.loss_floor.readings import Classes, Curve
from diffnotes.show.style import (
    OCHRE,
    PINK,
    TEAL,
    BookFigure,
    BookTable,
    Markup,
    Sentence,
    book_figure,
    log_ticks,
    plus_minus,
)
from diffnotes.store import Record

COLOURS = (TEAL, PINK, OCHRE)  # of the training sets, in the order in which they are given
SIGMA = "noise level σ (pixels in [−1, 1])"
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50)
LEAST = 0.1  # the least error that is printed, in %
PLACES = (0.01, 0.1, 0.5, 0.9)  # parts of the variance at which both floors are compared in the table


def _pairs(records: tuple[Record, ...]) -> list[Classes]:
    return [readings.classes(*pair) for pair in zip(records[::2], records[1::2], strict=True)]


@book_figure
def class_floors(*records: Record) -> BookFigure:
    """The optimal loss without and given the class, and how much lower the second is at every level."""
    found = _pairs(records)
    half = [f"{_lower(one, 0.5)} ({one.dataset})" for one in found]
    figure = BookFigure(
        *records,
        finding=f"Where the floor is half the variance, that given the class is lower by {', '.join(half)}.",
        shows="Left: the optimal loss over the data variance, solid without classes and dashed given the "
        "class. Right: by what fraction of it the second is lower, from 0.1 % of the variance on; the band "
        "is two standard errors.",
        key={one.whole.name: colour for one, colour in zip(found, COLOURS, strict=False)},
        size=(6.8, 3.1),
    )
    left, right = figure.subplots(1, 2)
    for one, colour in zip(found, COLOURS, strict=False):
        unit, sigma = one.whole.variance, one.whole.sigma
        left.plot(sigma, one.whole.share, color=colour)
        left.plot(sigma, one.given.mean / unit, color=colour, ls="--")
        levels = sigma[one.matters]
        lower, error = (100 * part for part in one.lower(levels))
        right.fill_between(levels, lower - 2 * error, lower + 2 * error, color=colour, alpha=0.25, lw=0)
        right.plot(levels, lower, color=colour)
    low, high = min(one.whole.at(1e-4) for one in found), max(one.whole.at(0.97) for one in found)
    left.set(xscale="log", xlabel=SIGMA, ylabel="optimal loss / data variance", ylim=(-0.02, 1.04))
    right.set(xscale="log", xlabel=SIGMA, ylabel="lower given the class (%)", ylim=(0, 100))
    for axes in (left, right):
        axes.set_xlim(low, high)
        axes.minorticks_off()
        log_ticks(axes.xaxis, *(tick for tick in TICKS if low <= tick <= high))
        axes.grid(True)
    return figure


def _lower(one: Classes, share: float) -> str:
    """'12.3 ± 0.2 %': by how much the floor is lower where the one without classes is this share."""
    value, error = one.lower(np.array([one.whole.at(share)]))
    return f"{100 * value[0]:.1f} ± {max(100 * error[0], LEAST):.1f} %"


@book_figure
def class_table(*records: Record) -> BookTable:
    """Areas and critical noise levels without and given the class."""
    found = _pairs(records)
    ratios = (one.given.critical[0] / one.whole.critical[0] for one in found)
    each = ", ".join(f"{ratio:.2f} ({one.dataset})" for ratio, one in zip(ratios, found, strict=True))
    rows = [
        (
            one.dataset,
            f"{len(one.sizes)} classes of {_sizes(one)} images",
            plus_minus(one.given.area, one.given.area_stderr),
            f"{one.entropy:.3f}",
            _critical(one.whole),
            _critical(one.given),
            _equal(one),
        )
        for one in found
    ]
    header = ("training set", "classes", "area", "mean ln N", "critical σ", "given class", "at equal loss")
    return BookTable(
        *records, header=header, rows=rows,
        finding=f"The critical σ given the class, over that without classes, is {each}.",
        shows="Area under the floor given the class and the mean of ln N of the classes, in nats; critical σ "
        "without classes, and given the class, where 1 % are those of the variance within classes. Last: "
        "where the floor given the class is 1 % of the variance of all images. ± is one standard error.",
    )  # fmt: skip


@book_figure
def which_floor(*floors: Record) -> BookTable:
    """Which floor a network is to be held against, by what it is told."""
    whole, given = "<i>J</i>*", "<i>J</i>*<sub><i>c</i></sub>"
    rows = {
        "does not know the class, as all networks of this chapter": whole,
        "is given the class": f"{given}; for samples of one class, the floor of that class",
        "is given it in a part of its training only, for guidance": (
            f"{given} where it is given the class, {whole} where it is not"
        ),
        "is trained on flipped or shifted copies, too": (
            "that of the larger set; if the network is told which shift or flip, the floor given it"
        ),
    }
    return BookTable(
        *floors, header=("network", "its floor"),
        rows=[[Markup(one), Markup(its)] for one, its in rows.items()],
        finding="What a network is told decides which floor counts for it.",
        shows="J* is the optimal loss without classes; with the index c, the optimal loss given the class.",
    )  # fmt: skip


def _sizes(one: Classes) -> str:
    """'5,000', or '111 to 129'."""
    return " to ".join(f"{size:,}" for size in sorted({int(one.sizes.min()), int(one.sizes.max())}))


def _critical(one: Curve) -> str:
    return plus_minus(float(one.critical[0]), one.critical_error)


def _equal(one: Classes) -> str:
    """Where the floor given the class is as high as that without classes is at its critical sigma."""
    sigma = one.given.at(0.01 * one.whole.variance / one.given.variance)
    return plus_minus(sigma, one.given.error_at(sigma))


@book_figure
def class_gains(*records: Record) -> BookTable:
    """By how much the floor is lower given the class, where the floor without classes is so high."""
    found = _pairs(records)
    rows = [(one.dataset, *(_lower(one, share) for share in PLACES), _between(one)) for one in found]
    heads = (f"at {100 * share:g}\u00a0%" for share in PLACES)
    return BookTable(
        *records, header=("training set", *heads, "at large σ"), rows=rows,
        finding=_told(found),
        shows=f"By what fraction the floor is lower given the class, with one standard error ({LEAST} stands "
        "for anything less), where the floor without classes is this part of the variance. At large σ it is "
        "the part of the variance that lies between classes.",
    )  # fmt: skip


def _between(one: Classes) -> str:
    return f"{100 * (1 - one.given.variance / one.whole.variance):.1f} %"


def _told(found: list[Classes]) -> str:
    each = ", ".join(f"{one.told_half():.1f} ({one.dataset})" for one in found)
    return (
        f"Half of the information on the class is told at noise above σ = {each}: half of the area between "
        "the two optimal losses over σ², over ln σ, lies there."
    )


def part_found(classes: Record, whole: Record, sizes: Record) -> Sentence:
    """The critical noise level of a class beside that of as many images of all classes."""
    one = readings.classes(classes, whole)
    part = readings.part_of(sizes, round(one.sizes.mean()))
    if part is None:
        return Sentence(
            classes, whole, sizes, text="There is no random part with as many images as a class has."
        )
    return Sentence(classes, whole, sizes, text=(
        f"{one.dataset}: the critical σ is {one.whole.critical[0]:.2f} for all {one.whole.n:,} images, "
        f"{one.given.critical[0]:.2f} given the class, and {part.critical[0]:.2f} for {part.n:,} images "
        f"of all classes, which is as many as a class has. What there is to know is the same for the last "
        f"two, ln {part.n:,} = {part.entropy:.2f} nats."
    ))  # fmt: skip
