"""Figures of the random-feature law: the two bulks, the two phases of training, when memorizing begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffnotes.chapters.random_features import readings
from diffnotes.chapters.random_features.readings import MAIN, THEIR_ERROR
from diffnotes.show.labels import minus
from diffnotes.show.style import (
    GREY,
    HELD_OUT,
    INK,
    OCHRE,
    PINK,
    TEAL,
    TRAIN,
    BookFigure,
    Sentence,
    book_figure,
    log_ticks,
    ramp,
)
from diffnotes.store import Record

BINS = 60


def _name(record: Record, place: int) -> str:
    return f"ψₙ = {int(readings.sizes(record)[place])}"


# ------------------------------------------------------------------------------------------------- spectrum


@book_figure
def spectrum(record: Record) -> BookFigure:
    """The eigenvalues of U for each number of points, and where theory puts the memorizing ones."""
    figure = BookFigure(
        record, finding=_bulks(record),
        shows=(
            "Eigenvalues λ of U, the covariance of the features over the training points and the noise, for "
            "several numbers ψₙ of points per dimension. The bulk on the right belongs to the linear part of "
            "the features, which all points share: it generalizes. The curve is what theory says of the n "
            "eigenvalues that memorize; the dotted line is s², where theory puts all others: the part of a "
            "feature that comes from the noise alone."
        ),
        key={"eigenvalues of U": TEAL, "theory: the n that memorize": PINK, "theory: s²": INK},
        size=(6.8, 4.6),
    )  # fmt: skip
    count = len(readings.sizes(record))
    axes = figure.subplots((count + 1) // 2, 2, sharex=True, sharey=True, squeeze=False)
    for place, axis in enumerate(axes.flat[:count]):
        _histogram(axis, record, place)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("eigenvalue λ of U")
    for row in axes:
        row[0].set_ylabel("eigenvalues per bin")
    axes[0, 0].set_ylim(bottom=0.6)
    return figure


def _bulks(record: Record) -> str:
    """How the edges of the memorizing bulk move."""
    (low, top), (far_low, far_top) = (readings.edges(record, place) for place in (0, -1))
    return (
        f"From {_name(record, 0)} to {_name(record, -1).removeprefix('ψₙ = ')}, theory moves the memorizing "
        f"bulk from λ = {low:.3f}–{top:.3f} to {far_low:.3f}–{far_top:.3f}: it is learned later."
    )


def _histogram(axis: Any, record: Record, place: int) -> None:
    """Equal bins in ln λ; the curve is the law of Marchenko and Pastur for n of the p eigenvalues."""
    low, high = readings.range_of_eigenvalues(record)
    edges = np.geomspace(low / 1.2, high * 1.2, BINS + 1)
    axis.hist(readings.eigenvalues(record, place), edges, color=TEAL, alpha=0.7, label="of U")
    grid, density = readings.memorizing_density(record, place)
    per_bin = density * np.log(edges[1] / edges[0])
    axis.plot(grid, per_bin, color=PINK, label="theory: n that memorize")
    axis.axvline(readings.noise_part(record), color=INK, ls=":", lw=1.1, label="theory: s², all others")
    axis.set(xscale="log", yscale="log", title=_name(record, place))
    axis.grid(True)


# --------------------------------------------------------------------------------------------------- curves


@book_figure
def flow_curves(record: Record) -> BookFigure:
    """Losses and score error against training time; the score is best between the two phases."""
    figure = BookFigure(
        record, finding=_best(record),
        shows=(
            "Left, the denoising loss of training points (solid) and of new ones (dashed); the dotted line "
            "is what the true score would have, 1 − Δ, where Δ is the variance of the noise. Right, the "
            "error of the score on new points, with a dot at its least. Lines are the closed form, means "
            "over the seeds; open circles are gradient descent at the smallest ψₙ, which knows nothing of "
            "it. Training time τ is in the paper’s clock."
        ),
        size=(6.8, 3.7),
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    for place in range(len(readings.sizes(record))):
        _curves(left, right, record, place)
    _descent(left, record, "descent_train")
    _descent(right, record, "descent_error")
    left.plot([], [], **HELD_OUT.curve(color=INK, label="new points"))
    left.plot([], [], **TRAIN.curve(color=INK, label="training points"))
    left.axhline(readings.true_loss(record), color=INK, ls=":", lw=1.1, label="true score")
    left.set(xscale="log", xlabel="training time τ", ylabel="denoising loss", ylim=(0, None))
    right.set(xscale="log", yscale="log", xlabel="training time τ", ylabel="score error")
    right.plot([], [], "o", color=INK, mfc="none", ms=3.5, label="gradient descent")
    for axis in (left, right):
        axis.grid(True)
    left.legend(loc="upper left", fontsize=8)
    right.legend(loc="upper left", fontsize=8)
    return figure


def _best(record: Record) -> str:
    """When the score is best, and how much worse it ends."""
    first, *_, last = (readings.best_error(record, place) for place in range(len(readings.sizes(record))))
    return (
        f"The score is best at τ = {first[0]:.0f} for {_name(record, 0)} and {last[0]:.0f} for "
        f"{_name(record, -1)}; at the end its error is {first[1]:.0f} and {last[1]:.0f} times as large."
    )


def _curves(left: Any, right: Any, record: Record, place: int) -> None:
    color, tau = ramp(place, len(readings.sizes(record))), readings.times(record)
    test, train, error = (
        readings.curves(record, place, name) for name in ("test_loss", "train_loss", "score_error")
    )
    left.plot(tau, test, **HELD_OUT.curve(color=color, label=""))
    left.plot(tau, train, **TRAIN.curve(color=color, label=""))
    right.plot(tau, error, color=color, label=_name(record, place))
    right.plot(tau[error.argmin()], error.min(), "o", color=color, ms=5)


def _descent(axis: Any, record: Record, name: str) -> None:
    axis.plot(*readings.descent(record, name), "o", color=INK, mfc="none", ms=3.5, mew=0.9, lw=0)


# --------------------------------------------------------------------------------------------------- onsets


@book_figure
def flow_onset(record: Record) -> BookFigure:
    """When the gap opens, and the least score error, against the number of points."""
    figure = BookFigure(
        record, finding=_opens(record),
        shows=(
            "Left, the training time at which the gap between the losses on new and on training points has "
            "risen above its plateau, the gap that is left when the upper bulk is learned and nothing of "
            "the lower; and the time at which half of the final rise is reached. Dashed: ψₚ/(Δ λₘᵢₙ), the "
            "time that the smallest eigenvalue λₘᵢₙ of the memorizing bulk sets. Right, the least score "
            "error, and the power that the paper has. Dots are seeds."
        ),
        size=(6.8, 3.9),
    )  # fmt: skip
    left, right = figure.subplots(1, 2)
    psi_n, levels = readings.sizes(record), readings.thresholds(record)
    for k, level in enumerate(levels):
        text = f"gap {level:g} above its plateau"
        _line(left, psi_n, readings.onset(record, k), ramp(k, len(levels)), "o^s"[k], text)
    _line(left, psi_n, readings.half(record), GREY, "D", "half of the final rise")
    theory = readings.theory_times(record)
    left.plot(psi_n, theory, color=INK, ls="--", label=r"theory: $\psi_p/(\Delta\,\lambda_{\min})$")
    _errors(right, record)
    left.set(yscale="log", ylabel="training time τ")
    for axis in (left, right):
        axis.set(xscale="log", xlabel="points per dimension ψₙ")
        log_ticks(axis.xaxis, *psi_n)
        axis.grid(True)
    left.set_ylim(top=300 * left.get_ylim()[1])
    left.legend(loc="upper left", fontsize=8)
    right.legend(loc="upper right", fontsize=8)
    return figure


def _errors(axis: Any, record: Record) -> None:
    """The least score error, and a line with the paper's power through its first point."""
    psi_n, least = readings.sizes(record), readings.least_error(record)
    _line(axis, psi_n, least, OCHRE, "P", "least score error")
    guide = least.mean(1)[0] * (psi_n / psi_n[0]) ** THEIR_ERROR
    axis.plot(psi_n, guide, color=INK, ls=":", label=minus(f"power {THEIR_ERROR:g} (paper)"))
    axis.set(yscale="log", ylabel="score error")
    log_ticks(axis.yaxis, 0.02, 0.03, 0.05, 0.07, 0.1)


def _line(axis: Any, psi_n: np.ndarray, values: np.ndarray, color: str, marker: str, text: str) -> None:
    """The geometric mean over seeds, and every seed as a dot."""
    axis.plot(psi_n, readings.typical(values), color=color, marker=marker, mfc="none", label=text)
    axis.plot(psi_n, values, ls="", marker=marker, color=color, ms=3)


def _opens(record: Record) -> str:
    """The powers of the onset beside that of theory, and how far apart the times are."""
    levels, powers = readings.thresholds(record), readings.powers(record)
    parts = [f"{_power(found)} for a rise of {level:g}" for level, found in zip(levels, powers, strict=True)]
    return (
        f"The gap opens with a power of N of {'; '.join(parts)}; the time of theory has "
        f"{readings.theory_power(record):.3f} at these sizes, and at {_name(record, 0)} it is "
        f"{readings.sooner(record):.0f} times later than the first opening."
    )


def flow_found(record: Record) -> Sentence:
    """When the gap opens, and what hangs on the reading."""
    level, psi_n = readings.thresholds(record), readings.sizes(record)
    start, *_, end = readings.typical(readings.onset(record, MAIN))
    return Sentence(record, text=(
        f"From ψₙ = {psi_n[0]} to {psi_n[-1]}, the gap rises {level[MAIN]:g} above its plateau at τ = "
        f"{start:.0f} to {end:.0f}. Half of the final rise has the power "
        f"{_power(readings.power(record, 'half'))}: the law is one of the beginning. Without taking off the "
        f"plateau, a gap of {level[0]:g} has the power {_power(readings.raw_power(record, 0))}. The least "
        f"score error falls with the power {_power(readings.power(record, 'least_error'))} (paper: "
        f"{minus(f'{THEIR_ERROR:g}')})."
    ))  # fmt: skip


def _power(found: tuple[float, float, float]) -> str:
    """'1.17 (1.05 to 1.29)'; the interval is left out where there is only one seed."""
    value, low, high = (minus(f"{x:.2f}") for x in found)
    return value if np.isnan(found[1]) else f"{value} ({low} to {high})"
