"""Figures of chapter 4 on the estimators that look at few images: bias, the best correction, scatter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.chapters.loss_floor.estimator_readings import PAPER_RULE, WIDE, Study
from diffnotes.show.style import (
    INK,
    OCHRE,
    OPTIMUM,
    PINK,
    TEAL,
    BookFigure,
    Role,
    book_figure,
    log_ticks,
    ramp,
)
from diffnotes.store import Record

LOOKS = (
    Role("DOL", TEAL, "--", "o"),
    Role(f"cDOL, C = {PAPER_RULE:g} N/L", PINK, "--", "s"),
    Role("SNIS", OCHRE, "--", "^"),
    Role("neighbours", INK, "--", "D"),
)
SHARED, FRESH = Role("one subset for all draws", PINK, "-", "o"), Role("fresh subsets", TEAL, "-", "^")
BEST = ((TEAL, "o", "●"), (PINK, "s", "■"), (OCHRE, "^", "▲"))


def _columns(
    draw: Callable[[Axes, Study], None], records: tuple[Record, ...], height: float, **caption: Any
) -> BookFigure:
    """A column for each study."""
    figure = BookFigure(*records, size=(3.4 * len(records), height), **caption)
    for axes, record in zip(np.ravel(figure.subplots(1, len(records))), records, strict=True):
        draw(axes, Study(record))
        axes.grid(True)
    return figure


@book_figure
def bias_curves(*records: Record) -> BookFigure:
    """The optimal loss by full data, DOL, cDOL with 4 N/L, SNIS, and neighbours with a tail."""
    return _columns(
        _estimates, records, 3.0, finding=" ".join(map(_worst, records)),
        shows="The loss over the data variance by each estimator; bars are two standard errors over repeats.",
        key={"all N images": OPTIMUM, **{look.word: look for look in LOOKS}},
    )  # fmt: skip


def _worst(record: Record) -> str:
    study = Study(record)
    worst = {one.word: 100 * one.worst for one in study.estimates(study.middle)}
    each = ", ".join(f"{value:.1f} % for {word}" for word, value in worst.items())
    at = f"On {study.dataset} at N/L = {study.ratios[study.middle]}"
    return f"{at}, the largest bias in parts of the variance is {each}."


def _estimates(axes: Axes, study: Study) -> None:
    truth = study.truth / study.variance
    axes.plot(study.sigma, truth, **OPTIMUM.curve(lw=1.4))
    for one, look in zip(study.estimates(study.middle), LOOKS, strict=False):
        style = look.curve(marker=look.marker, lw=0.9, ms=4, capsize=2)
        axes.errorbar(study.sigma, truth + one.bias, 2 * one.error, **style)
    axes.set(xscale="log", xlabel="noise level σ", ylabel="loss / data variance", ylim=(-0.02, 1.02))
    axes.minorticks_off()
    axes.set_title(f"{study.dataset}, N/L = {study.ratios[study.middle]}")
    log_ticks(axes.xaxis, *((0.5, 1, 2, 4) if study.sigma[0] < 1 else (3, 5, 10, 20)))


@book_figure
def correction(*records: Record) -> BookFigure:
    """Bias against C at the noise level of the paper's figure 1(c), for several N/L."""
    ratios = Study(records[0]).ratios
    return _columns(
        _against_c, records, 3.1, finding=" ".join(map(_crosses, records)),
        shows="Bias over the optimal loss at one noise level against C; bands are one standard error. "
        "Below zero the source counts too much. The dotted line is the paper's 4 N/L.",
        key={f"N/L = {ratio}": ramp(k, len(ratios)) for k, ratio in enumerate(ratios)},
    )  # fmt: skip


def _crosses(record: Record) -> str:
    study = Study(record)
    found = study.crossing().texts()
    return (
        f"On {study.dataset} the bias at σ = {study.sigma[study.level]:.2f} is zero at C = "
        f"{', '.join(found)} times N/L for N/L = {', '.join(map(str, study.ratios))}."
    )


def _against_c(axes: Axes, study: Study) -> None:
    bias, error = study.relative_bias()
    for k in range(len(study.ratios)):
        style: Any = {"color": ramp(k, len(study.ratios))}
        axes.fill_between(study.tried, bias[k] - error[k], bias[k] + error[k], alpha=0.2, lw=0, **style)
        axes.plot(study.tried, bias[k], **style)
    axes.axhline(0, color=INK, lw=0.8)
    axes.axvline(PAPER_RULE, color=INK, ls=":", lw=1.2)
    axes.set(xscale="log", xlabel="C in units of N/L", ylabel="bias / optimal loss", ylim=(-1.05, 1.05))
    axes.minorticks_off()
    axes.set_title(f"{study.dataset}, σ = {study.sigma[study.level]:.2f}")
    log_ticks(axes.xaxis, 1, 4, 16, 64, 256)


@book_figure
def best_corrections(*records: Record) -> BookFigure:
    """The best correction against N/L by three measures, with the paper's rule and the square."""
    others = [best.word for best in Study(records[0]).criteria()[1:]]
    words = ("zero bias at one level (the paper's)", *others)
    powers = [f"{Study(record).power()} of N/L on {Study(record).dataset}" for record in records]
    return _columns(
        _best, records, 3.2,
        finding=f"By the least relative bias, C grows as a power of {' and '.join(powers)}.",
        shows="The best C by three measures, against N/L. Solid: the paper's 4 N/L, with a factor 2 about it "
        "in grey; dotted: (N/L)². Bars: 90 % intervals of the relative bias, from repeats drawn again. "
        "Arrows: the best may lie beyond the largest C that was tried.",
        key={f"{word} ({sign})": colour for word, (colour, _, sign) in zip(words, BEST, strict=True)},
    )  # fmt: skip


def _best(axes: Axes, study: Study) -> None:
    ratio = np.array(study.ratios, float)
    line = np.array([ratio[0] / 1.3, ratio[-1] * 1.3])
    axes.fill_between(line, PAPER_RULE / 2 * line, 2 * PAPER_RULE * line, color=INK, alpha=0.1, lw=0)
    axes.plot(line, PAPER_RULE * line, color=INK, lw=1)
    axes.plot(line, line**2, color=INK, lw=1, ls=":")
    for shift, best, (colour, marker, _) in zip((0.9, 1.0, 1.1), study.criteria(), BEST, strict=True):
        x, y = shift * ratio, best.value * ratio
        axes.plot(x, y, marker, color=colour, ms=5)
        axes.plot(x[best.capped], 2.2 * y[best.capped], color=colour, marker="$↑$", ms=8, ls="")
    low, high = (end * ratio for end in study.relative_interval())
    axes.vlines(ratio, low, high, color=BEST[1][0], lw=1.2)
    axes.set(xscale="log", yscale="log", xlabel="N/L", ylabel="best C", title=study.dataset)
    axes.minorticks_off()
    log_ticks(axes.xaxis, *study.ratios)
    log_ticks(axes.yaxis, 1, 10, 100, 1000, 10_000)


@book_figure
def spread(*records: Record) -> BookFigure:
    """Standard deviation of the estimate against C: one subset for all draws of a repeat, or fresh ones."""
    return _columns(
        _scatter, records, 2.9, finding=" ".join(map(_wider, records)),
        shows="Standard deviation over repeats, that of DOL being 1; bars are one standard error.",
        key={look.word: look for look in (SHARED, FRESH)},
    )  # fmt: skip


def _wider(record: Record) -> str:
    study = Study(record)
    (shared, low), (fresh, _) = study.wider()
    return (
        f"On {study.dataset}, the scatter at C = {WIDE:g} N/L is {shared:.2f} times that of DOL with one "
        f"subset for all draws (above {low:.2f} within 2 errors), and {fresh:.2f} times with fresh ones."
    )


def _scatter(axes: Axes, study: Study) -> None:
    names, shared, fresh, error = study.scatter()
    x = np.arange(len(names))
    for values, look, shift in ((shared, SHARED, 0.05), (fresh, FRESH, -0.05)):
        axes.errorbar(x + shift, values, error * values, **look.curve(marker=look.marker, ms=4, capsize=2))
    axes.set_xticks(x, names)
    axes.set(xlabel="C in units of N/L", ylabel="scatter, DOL = 1", ylim=(0, None))
    axes.set_title(f"{study.dataset}, N/L = {study.shared_ratio}, σ = {study.sigma[study.level]:.2f}")


@book_figure
def dol_identity(*records: Record) -> BookFigure:
    """DOL with L points beside the optimal loss of random L-point subsets, as an area."""
    off = max(abs(one.dol - one.expected) for record in records for one in Study(record).areas())
    return _columns(
        _identity, records, 2.9, finding=f"The area of DOL with L images is ln L, to {off:.2f} nats at most.",
        shows="Line and area: the optimal loss of L random images, over σ². Dots: DOL with L images, with "
        "two standard errors.",
        key={"optimum of L images": OPTIMUM, "DOL (●)": TEAL},
    )  # fmt: skip


def _identity(axes: Axes, study: Study) -> None:
    grid, optimum, dol, error = study.dol_rate()
    axes.fill_between(grid, 0, optimum, color=INK, alpha=0.12, lw=0)
    axes.plot(grid, optimum, **OPTIMUM.curve())
    axes.errorbar(grid, dol, 2 * error, color=TEAL, marker=".", ls="", lw=1)
    axes.set(xscale="log", xlabel="noise level σ", ylabel="loss / σ²", ylim=(0, None))
    axes.minorticks_off()
    axes.set_title(f"{study.dataset}, L = {study.areas()[-1].size:,}")
    log_ticks(axes.xaxis, *(tick for tick in (0.1, 1, 10, 100) if grid[0] <= tick <= grid[-1]))
