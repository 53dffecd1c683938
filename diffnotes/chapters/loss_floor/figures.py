"""Figures of chapter 4: the optimal loss at every noise level, and the area under it."""

from __future__ import annotations

import math

import numpy as np

from diffnotes.show.style import (
    BLUE,
    INK,
    ORANGE,
    PALETTE,
    RAMP,
    BookFigure,
    BookTable,
    Finding,
    book_figure,
    log_ticks,
    plus_minus,
)
from diffnotes.store import Record

NAMES = {
    "digits": "digits", "cifar10": "CIFAR-10", "imagenet64": "Tiny ImageNet",
    "specimens": "specimens", "specimens64": "specimens, 64 × 64",
}  # fmt: skip


def name(record: Record) -> str:
    """'CIFAR-10, N = 50,000'."""
    return f"{NAMES[record.spec['dataset']]}, N = {int(record['n']):,}"


@book_figure
def loss_curves(*records: Record) -> BookFigure:
    """J*(sigma) as a share of the data variance, with the Gaussian of the same covariance and sigma*."""
    figure = BookFigure(*records, alt="Optimal loss against noise level, as a share of the data variance.")
    axes = figure.add_subplot()
    for record, colour in zip(records, (BLUE, ORANGE, *PALETTE[2:]), strict=False):
        _curve(axes, record, colour)
    axes.plot([], [], color=INK, ls=":", label="Gaussian with the same covariance")
    axes.plot([], [], color=INK, marker="o", ls="", ms=5, label="critical σ*: 1 % of the variance")
    axes.set(
        xscale="log",
        xlabel="noise level σ (pixels in [−1, 1])",
        ylabel="J*(σ) / data variance",
        ylim=(-0.02, 1.04),
    )
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure


def _curve(axes, record: Record, colour: str) -> None:  # type: ignore[no-untyped-def]
    sigma, variance = record["sigma"], float(record["variance"])
    share, spread = record["mean"] / variance, record["stderr"] / variance
    axes.fill_between(sigma, share - 2 * spread, share + 2 * spread, color=colour, alpha=0.25, lw=0)
    axes.plot(sigma, share, color=colour, label=name(record))
    axes.plot(sigma, record["gaussian"] / variance, color=colour, ls=":", lw=1.2)
    axes.plot(record["critical"][0], record["critical_share"][0], "o", color=colour, ms=5)


@book_figure
def area(*records: Record) -> BookFigure:
    """J*/sigma^2 against ln sigma: the area under each curve is ln N."""
    figure = BookFigure(
        *records, alt="Optimal loss over sigma squared against noise level, with the area filled."
    )
    axes = figure.add_subplot()
    for record, colour in zip(records, (BLUE, ORANGE, *PALETTE[2:]), strict=False):
        sigma = record["sigma"]
        height, spread = record["mean"] / sigma**2, record["stderr"] / sigma**2
        axes.fill_between(sigma, 0, height, color=colour, alpha=0.15, lw=0)
        axes.fill_between(sigma, height - 2 * spread, height + 2 * spread, color=colour, alpha=0.35, lw=0)
        axes.plot(sigma, height, color=colour, label=name(record))
        axes.axvline(float(record["gaussian_sigma"]), color=colour, ls=":", lw=1.2)
    axes.plot([], [], color=INK, ls=":", lw=1.2, label="a Gaussian: ln N nats")
    axes.set(
        xscale="log", xlabel="noise level σ (pixels in [−1, 1])", ylabel="J*(σ) / σ²  (nats per unit of ln σ)"
    )
    axes.set_xlim(0.02, 60)
    axes.set_ylim(bottom=0)
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure


def sum_rule(*records: Record) -> BookTable:
    """The area under every curve against ln N."""
    header = ("training set", "N", "dimensions", "sources", "area", "standard error", "ln N", "difference")
    return BookTable(
        *records, header=header, rows=[_sum_row(r) for r in records], note="Area under the curves, in nats"
    )


def _sum_row(record: Record) -> tuple[str, ...]:
    n, found, spread = int(record["n"]), float(record["area"]), float(record["area_stderr"])
    expected = math.log(n)
    counts = (f"{n:,}", f"{int(record['dimension']):,}", f"{int(record['sources']):,}")
    numbers = (f"{found:.4f}", f"{spread:.4f}", f"{expected:.4f}", f"{100 * (found / expected - 1):+.2f} %")
    return NAMES[record.spec["dataset"]], *counts, *numbers


def critical(*records: Record) -> BookTable:
    """Where J* passes 1 %, 10 % and 50 % of the data variance, and the Gaussian prediction."""
    shares = [f"σ at {100 * share:.0f}\u00a0%" for share in records[0]["critical_share"]]
    header = ("training set", "data variance", *shares, "Gaussian prediction")
    rows = [
        (
            name(record),
            f"{float(record['variance']):.2f}",
            *(f"{sigma:.3f}" for sigma in record["critical"]),
            f"{float(record['gaussian_sigma']):.3f}",
        )
        for record in records
    ]
    return BookTable(
        *records, header=header, rows=rows, note="Noise levels where the optimal loss becomes visible"
    )


@book_figure
def size_curves(sizes: Record, whole: Record) -> BookFigure:
    """J*(sigma) of parts of a training set beside that of the whole set."""
    figure = BookFigure(sizes, whole, alt="Optimal loss against noise level for parts of a training set.")
    axes = figure.add_subplot()
    curves = [(int(n), sizes["mean"][k] / sizes["variance"][k]) for k, n in enumerate(sizes["size"])]
    curves.append((int(whole["n"]), whole["mean"] / whole["variance"]))
    for k, (n, share) in enumerate(curves):
        sigma = sizes["sigma"] if k < len(sizes["size"]) else whole["sigma"]
        axes.plot(sigma, share, color=RAMP(k / (len(curves) - 1)), label=f"N = {n:,}")
    axes.set(xscale="log", xlabel="noise level σ (pixels in [−1, 1])", ylabel="J*(σ) / data variance")
    axes.set(
        xlim=(0.5, 60), ylim=(-0.02, 1.04), title=f"{NAMES[whole.spec['dataset']]} and random parts of it"
    )
    log_ticks(axes.xaxis, 1, 2, 5, 10, 20, 50)
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure


@book_figure
def size_table(sizes: Record, whole: Record) -> BookTable:
    """Critical noise level, Gaussian prediction and area for each size."""
    header = ("N", "σ at 1\u00a0%", "σ at 10\u00a0%", "σ at 50\u00a0%", "Gaussian prediction", "area", "ln N")
    parts = ("size", "critical", "gaussian_sigma", "area", "area_stderr")
    rows = list(zip(*(sizes[name] for name in parts), strict=True))
    rows.append(tuple(whole["n" if name == "size" else name] for name in parts))
    return BookTable(
        sizes, whole, header=header, rows=[_size_row(*row) for row in rows],
        note="Random parts of the training set, and all of it (last row)",
    )  # fmt: skip


def _size_row(
    n: np.ndarray, critical: np.ndarray, gaussian: np.ndarray, area: np.ndarray, error: np.ndarray
) -> list[str]:
    sigmas = [f"{sigma:.2f}" for sigma in (*critical, float(gaussian))]
    return [f"{int(n):,}", *sigmas, plus_minus(float(area), float(error)), f"{math.log(int(n)):.3f}"]


def order_found(sizes: Record, images: Record) -> Finding:
    """The critical noise levels of two training sets at equal N."""
    n = int(images["n"])
    if n not in sizes["size"]:
        return Finding(sizes, images, text=f"There is no curve for {n:,} images of the first set.")
    place = list(sizes["size"]).index(n)
    low, high = float(sizes["critical"][place][0]), float(images["critical"][0])
    first, second = (NAMES[r.spec["dataset"]] for r in (sizes, images))
    each = [low / math.sqrt(float(sizes["variance"][place])), high / math.sqrt(float(images["variance"]))]
    return Finding(sizes, images, text=(
        f"With N = {n:,} each, the critical σ is {low:.2f} for {first} and {high:.2f} for {second}, "
        f"{high / low:.2f} times as large. In units of the root of the data variance it is {each[0]:.3f} and "
        f"{each[1]:.3f}, {each[1] / each[0]:.2f} times as large."
    ))  # fmt: skip


def gaussian_found(*records: Record) -> Finding:
    """The Gaussian estimate over the critical noise level."""
    each = [f"{float(r['gaussian_sigma'] / r['critical'][0]):.2f} for {name(r)}" for r in records]
    return Finding(*records, text=f"The Gaussian estimate over the critical σ is {', '.join(each)}.")


def sizes_found(sizes: Record, whole: Record) -> Finding:
    """The powers of N by which the critical σ and its Gaussian estimate change, from parts to the whole."""
    n = np.append(sizes["size"], whole["n"])
    critical = np.append(sizes["critical"][:, 0], whole["critical"][0])
    gaussian = np.append(sizes["gaussian_sigma"], whole["gaussian_sigma"])
    powers = [np.polyfit(np.log(n), np.log(values), 1)[0] for values in (critical, gaussian)]
    said = [f"{power:.3f}".replace("-", "−") for power in powers]
    return Finding(sizes, whole, text=(
        f"From N = {int(n.min()):,} to {int(n.max()):,} the critical σ goes from {critical[n.argmin()]:.2f} "
        f"to {critical[n.argmax()]:.2f}, as a power {said[0]} of N. The Gaussian estimate goes as a power "
        f"{said[1]}."
    ))  # fmt: skip


def cost_found(*records: Record) -> Finding:
    """How long each curve took."""
    each = [f"{record.meta['seconds'] / 60:.1f} minutes for {name(record)}" for record in records]
    return Finding(*records, text=f"All {len(records[0]['sigma'])} levels took {', '.join(each)}.")


def found(*records: Record) -> Finding:
    """One sentence per training set: where the curve leaves zero, and how precise it is."""
    return Finding(*records, text=" ".join(map(_sentence, records)))


def _sentence(record: Record) -> str:
    worst = float((record["stderr"] / record["variance"]).max())
    low = float(record["critical"][0])
    rises = float(np.interp(0.5, record["mean"] / record["variance"], record["sigma"]))
    return (
        f"{name(record)}: the optimal loss stays below 1 % of the data variance up to σ = {low:.2f} "
        f"and reaches half of it at {rises:.2f}. No standard error exceeds {100 * worst:.2f} % "
        f"of the variance ({int(record['sources']):,} sources)."
    )
