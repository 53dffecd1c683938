"""Figures of the random-feature law: the two bulks, the two phases of training, when memorizing begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffnotes.show.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    RAMP,
    BookFigure,
    Finding,
    book_figure,
    log_ticks,
)
from diffnotes.store import Record

BINS = 60
MAIN = 1  # which of the thresholds the text speaks of
PAPER_EXPONENT = -0.59  # of the least score error (arXiv 2505.17638, figure 5)


def _colours(record: Record) -> list[Any]:
    return [RAMP(place / (len(record["psi_n"]) - 1)) for place in range(len(record["psi_n"]))]


# ------------------------------------------------------------------------------------------------- spectrum


@book_figure
def spectrum(record: Record) -> BookFigure:
    """The eigenvalues of U for each number of points, and where theory puts the memorizing ones."""
    figure = BookFigure(
        record,
        alt="Histograms of eigenvalues: one bulk far right, one that moves left as points are added.",
        size=(6.7, 4.8),
    )
    count = len(record["psi_n"])
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
    _legend(figure, 3, axes[0, 0])
    return figure


def _legend(figure: BookFigure, columns: int, *axes: Any) -> None:
    """One legend above the panels, where it hides no line."""
    lines = [line for axis in axes for line in axis.get_legend_handles_labels()[0]]
    figure.legend(handles=lines, loc="outside upper center", ncols=columns, columnspacing=1.6)


def _histogram(axis: Any, record: Record, place: int) -> None:
    """Equal bins in ln λ; the curve is the law of Marchenko and Pastur for n of the p eigenvalues."""
    values = record["eigenvalues"][place]
    low, high = (float(end) for end in (record["eigenvalues"].min() / 1.2, record["eigenvalues"].max() * 1.2))
    edges = np.geomspace(low, high, BINS + 1)
    axis.hist(values, edges, color=BLUE, alpha=0.75, label="of U")
    grid, density = memorizing_density(record, place)
    axis.plot(grid, density * np.log(high / low) / BINS, color=ORANGE, label="theory: n that memorize")
    axis.axvline(float(record["s2"]), color=INK, ls=":", lw=1.1, label="theory: s², all others")
    axis.set(xscale="log", yscale="log", title=f"ψₙ = {int(record['psi_n'][place])}")
    axis.grid(True)


def memorizing_density(record: Record, place: int) -> tuple[np.ndarray, np.ndarray]:
    """(λ, number of eigenvalues per unit of ln λ) of the law that theory gives the memorizing bulk.

    With y = λ - s² between y_- and y_+ = v² (1 -+ sqrt(ψ_p/ψ_n))², n eigenvalues have the density
    sqrt((y_+ - y)(y - y_-))/(2π v² y) n/ψ per unit of λ, for ψ = 1 when p > n (Marchenko and Pastur 1967).
    """
    low, high = (float(record[name][place] - record["s2"]) for name in ("lower_edge", "upper_edge"))
    n = int(record["psi_n"][place]) * record.spec["dimension"]
    y = np.linspace(low, high, 402)[1:-1]
    density = n * np.sqrt((high - y) * (y - low)) / (2 * np.pi * float(record["v2"]) * y)
    grid = y + float(record["s2"])
    return grid, density * grid


# --------------------------------------------------------------------------------------------------- curves


@book_figure
def flow_curves(record: Record) -> BookFigure:
    """Losses and score error against training time; the score is best between the two phases."""
    figure = BookFigure(
        record,
        alt="Train and test loss, and the error of the score, against training time for four sizes.",
        size=(6.7, 3.7),
    )
    left, right = figure.subplots(1, 2)
    tau = record["tau"]
    for place, colour in enumerate(_colours(record)):
        test, train, error = (
            record[name][place].mean(0) for name in ("test_loss", "train_loss", "score_error")
        )
        left.plot(tau, test, color=colour)
        left.plot(tau, train, color=colour, ls="--")
        right.plot(tau, error, color=colour, label=f"ψₙ = {int(record['psi_n'][place])}")
        right.plot(tau[error.argmin()], error.min(), "o", color=colour, ms=5)
    _descent(left, record, "descent_train")
    _descent(right, record, "descent_error")
    left.plot([], [], color=INK, label="test")
    left.plot([], [], color=INK, ls="--", label="train")
    best = 1 - float(record["delta"])
    left.axhline(best, color=INK, ls=":", lw=1.1, label="true score")
    left.set(xscale="log", xlabel="training time τ", ylabel="denoising loss", ylim=(0, None))
    right.set(xscale="log", yscale="log", xlabel="training time τ", ylabel="score error")
    right.plot([], [], "o", color=INK, mfc="none", ms=3.5, label="gradient descent")
    for axis in (left, right):
        axis.grid(True)
    _legend(figure, 4, right, left)
    return figure


def _descent(axis: Any, record: Record, name: str) -> None:
    axis.plot(record["descent_tau"], record[name], "o", color=INK, mfc="none", ms=3.5, mew=0.9, lw=0)


# --------------------------------------------------------------------------------------------------- onsets


@book_figure
def flow_onset(record: Record) -> BookFigure:
    """When the gap opens, and the least score error, against the number of points."""
    figure = BookFigure(
        record,
        alt="Onset of memorization and the least score error against points per dimension, straight lines.",
        size=(6.7, 3.9),
    )
    left, right = figure.subplots(1, 2)
    psi_n = record["psi_n"]
    for k, level in enumerate(record["threshold"]):
        _line(left, psi_n, record["onset"][..., k], RAMP(k / 2), f"gap {level:g} above its plateau")
    _line(left, psi_n, record["half"], GREY, "half of the final rise")
    left.plot(
        psi_n, record["tau_memorize"], color=INK, ls="--", label=r"theory: $\psi_p/(\Delta\,\lambda_{\min})$"
    )
    _line(right, psi_n, record["least_error"], BLUE, "least score error")
    guide = record["least_error"].mean(1)[0] * (psi_n / psi_n[0]) ** PAPER_EXPONENT
    right.plot(
        psi_n, guide, color=INK, ls="--", label=f"exponent {PAPER_EXPONENT:g} (paper)".replace("-", "−")
    )
    left.set(yscale="log", ylabel="training time τ")
    right.set(yscale="log", ylabel="score error")
    for axis in (left, right):
        axis.set(xscale="log", xlabel="points per dimension ψₙ")
        log_ticks(axis.xaxis, *psi_n)
        axis.grid(True)
    log_ticks(right.yaxis, 0.02, 0.03, 0.05, 0.07, 0.1)
    _legend(figure, 3, left, right)
    return figure


def _line(axis: Any, psi_n: np.ndarray, values: np.ndarray, colour: Any, text: str) -> None:
    """The geometric mean over seeds, and every seed as a dot."""
    axis.plot(psi_n, np.exp(np.log(values).mean(1)), color=colour, label=text)
    axis.plot(psi_n, values, "o", color=colour, ms=3)


def flow_found(record: Record) -> Finding:
    """The exponents with their intervals, and what theory says."""
    level, psi_n = record["threshold"], record["psi_n"]
    start, *_, end = np.exp(np.log(record["onset"][..., MAIN]).mean(1))
    power = _power(record["onset_exponent"][MAIN])
    return Finding(record, text=(
        f"From ψₙ = {psi_n[0]} to {psi_n[-1]}, the gap between test and train loss rises {level[MAIN]:g} "
        f"above its plateau at τ = {start:.0f} to {end:.0f}, a power of {power} "
        f"of the number of points, and {_power(record['onset_exponent'][0])} for a rise of {level[0]:g}. The "
        f"time set by the lower edge of the spectrum has the power {float(record['tau_exponent']):.2f}. The "
        f"law is one of the beginning: half of the final rise has the power "
        f"{_power(record['half_exponent'])}. Without taking off the plateau, a gap of {level[0]:g} has the "
        f"power {_power(record['raw_onset_exponent'][0])}. The least score error falls with the power "
        f"{_power(record['least_error_exponent'])} (paper: {_minus(PAPER_EXPONENT)})."
    ))  # fmt: skip


def _power(found: np.ndarray) -> str:
    """'1.17 (1.05 to 1.29)'; the interval is left out where there is only one seed."""
    value, low, high = (_minus(float(x)) for x in found)
    return value if np.isnan(found[1]) else f"{value} ({low} to {high})"


def _minus(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
