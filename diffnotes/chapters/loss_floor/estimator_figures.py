"""Figures of chapter 4: bias and spread of the estimators that look at few images, and target conversions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffnotes.show.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RAMP,
    BookFigure,
    BookTable,
    Finding,
    book_figure,
    log_ticks,
    power_of_ten,
)
from diffnotes.store import Record

NAMES = {"digits": "digits", "cifar10": "CIFAR-10", "specimens": "specimens"}
PLAIN, MIDDLE = 4.0, 16  # the paper's correction, and the N/L that most figures show
SIGMA = "noise level σ (pixels in [−1, 1])"


def name(record: Record) -> str:
    """'CIFAR-10, N = 50,000'."""
    return f"{NAMES[record.spec['dataset']]}, N = {int(record['n']):,}"


def _reading(record: Record, label: str = "AB") -> int:
    return list(record["readings"]).index(label)


def _middle(record: Record) -> int:
    """Place of the N/L that figures show: 16, or the largest."""
    ratios = list(record["ratios"])
    return ratios.index(MIDDLE) if MIDDLE in ratios else len(ratios) - 1


def _plain(record: Record) -> int:
    return int(np.argmin(np.abs(record["multiples"] - PLAIN)))


def _level(record: Record) -> int:
    """The level nearest to ln sigma = 1.25, or for digits the one where the optimum is nearest to 6 % too."""
    if record.spec["dataset"] != "digits":
        return int(np.argmin(np.abs(np.log(record["sigma"]) - 1.25)))
    return int(np.argmin(np.abs(record["full_mean"][_reading(record)] / record["variance"] - 0.06)))


@book_figure
def bias_curves(*records: Record) -> BookFigure:
    """The optimal loss by full data, DOL, cDOL with 4 N/L, SNIS, and neighbours with a tail."""
    figure = BookFigure(*records, alt="Optimal loss against noise level by five estimators.", size=(6.7, 3.3))
    for axes, record in zip(np.ravel(figure.subplots(1, len(records))), records, strict=True):
        _estimates(axes, record)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _estimates(axes: Axes, record: Record) -> None:
    k, ab, variance = _middle(record), _reading(record), float(record["variance"])
    truth, bias, error = record["full_mean"][ab], record["bias_mean"][k], record["bias_stderr"][k]
    axes.plot(record["sigma"], truth / variance, color=INK, lw=1, label="all N images")
    shown = (
        (0, "DOL", BLUE, "o"),
        (_plain(record), "cDOL, C = 4 N/L", ORANGE, "s"),
        (-1, "SNIS", PURPLE, "^"),
    )
    style: Any = {"ls": "--", "lw": 1, "ms": 4, "capsize": 2}
    for place, label, colour, marker in shown:
        height, spread = (truth + bias[place, ab]) / variance, 2 * error[place, ab] / variance
        axes.errorbar(record["sigma"], height, spread, color=colour, marker=marker, label=label, **style)
    near = list(record["near_ratios"]).index(record["ratios"][k])
    height, spread = record["near_mean"][near, ab], 2 * record["near_stderr"][near, ab] / variance
    label = "L/2 neighbours and a tail"
    height = (truth + height) / variance
    axes.errorbar(record["sigma"], height, spread, color=GREEN, marker="x", label=label, **style)
    axes.set(xscale="log", xlabel="noise level σ", ylabel="loss / data variance", ylim=(-0.02, 1.02))
    axes.set_title(f"{name(record)}, L = {int(record['sizes'][k]):,}")
    log_ticks(axes.xaxis, *((0.5, 1, 2, 4) if record["sigma"][0] < 1 else (3, 5, 10, 20)))
    axes.grid(True)


@book_figure
def correction(*records: Record) -> BookFigure:
    """Bias against C at the noise level of the paper's figure 1(c), for several N/L."""
    figure = BookFigure(*records, alt="Bias against correction for several subset sizes.", size=(6.7, 3.4))
    for axes, record in zip(np.ravel(figure.subplots(1, len(records))), records, strict=True):
        _against_c(axes, record)
    figure.axes[0].set_ylabel("bias / optimal loss")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _against_c(axes: Axes, record: Record) -> None:
    level, ab = _level(record), _reading(record)
    truth = record["full_mean"][ab, level]
    for k, ratio in enumerate(record["ratios"]):
        colour = RAMP(k / max(1, len(record["ratios"]) - 1))
        bias, error = record["bias_mean"][k, 1:-1, ab, level], record["bias_stderr"][k, 1:-1, ab, level]
        x = record["multiples"][1:-1]
        axes.fill_between(x, (bias - error) / truth, (bias + error) / truth, color=colour, alpha=0.2, lw=0)
        axes.plot(x, bias / truth, color=colour, label=f"N/L = {ratio}")
    axes.axhline(0, color=INK, lw=0.8)
    axes.axvline(PLAIN, color=INK, ls=":", lw=1.2, label="4 N/L")
    axes.set(xscale="log", xlabel="C in units of N/L", ylim=(-1.05, 1.05))
    axes.set_title(f"{name(record)}, σ = {record['sigma'][level]:.2f}")
    log_ticks(axes.xaxis, 1, 4, 16, 64, 256)
    axes.grid(True)


@book_figure
def best_corrections(*records: Record) -> BookFigure:
    """The correction with the least RMS relative bias against N/L, with the paper's rule and the square."""
    figure = BookFigure(
        *records, alt="Best correction against the ratio of data set to subset.", size=(6.7, 3.4)
    )
    axes = figure.add_subplot()
    for shift, record, colour, marker in zip((0.96, 1.04), records, (BLUE, ORANGE), "os", strict=False):
        ratio = record["ratios"].astype(float)
        best, low, high = (record[key] * ratio for key in ("best", "best_low", "best_high"))
        edge = _at_edge(record)
        whole = np.stack([np.maximum(best - low, 0), np.where(edge, 0, np.maximum(high - best, 0))])
        axes.errorbar(
            shift * ratio,
            best,
            whole,
            color=colour,
            marker=marker,
            ms=5,
            ls="",
            capsize=3,
            label=name(record),
        )
        axes.plot(shift * ratio[edge], 1.9 * best[edge], color=colour, marker="$↑$", ms=9, ls="")
    line = np.array([1.6, 80.0])
    axes.plot(line, 4 * line, color=INK, lw=1, label="the paper’s 4 N/L")
    axes.plot(line, line**2, color=INK, lw=1, ls=":", label="(N/L)²")
    axes.set(xscale="log", yscale="log", xlabel="N/L", ylabel="best C")
    log_ticks(axes.xaxis, 2, 4, 8, 16, 32, 64)
    log_ticks(axes.yaxis, 1, 10, 100, 1000, 10_000)
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure


@book_figure
def accuracy(*records: Record) -> BookTable:
    """RMS relative bias of each choice at each N/L."""
    header = ("data", "N/L", "DOL", "C = N/L", "C = 4 N/L", "best C", "at best C", "SNIS", "neighbours")
    rows = [row for record in records for row in _accuracy_rows(record)]
    note = "RMS relative bias over noise levels, in %; best C in units of N/L"
    return BookTable(*records, header=header, rows=rows, note=note)


def _accuracy_rows(record: Record) -> list[list[str]]:
    rms, multiples = 100 * record["rms"], list(record["multiples"])
    near = dict(zip(record["near_ratios"].tolist(), 100 * near_rms(record), strict=True))
    rows = []
    for k, ratio in enumerate(record["ratios"].tolist()):
        found = [rms[k, 0], rms[k, multiples.index(1.0)], rms[k, multiples.index(PLAIN)]]
        cells = [f"{value:.1f}" for value in found] + [
            _best(record)[k],
            f"{rms[k, 1:-1].min():.1f}",
        ]
        last = f"{near[ratio]:.2f}" if ratio in near else "–"
        rows.append([NAMES[record.spec["dataset"]], str(ratio), *cells, f"{rms[k, -1]:.0f}", last])
    return rows


def near_rms(record: Record) -> np.ndarray:
    """RMS relative bias of neighbours with a tail, for each of their N/L."""
    ab = _reading(record)
    relative = record["near_mean"][:, ab] / record["full_mean"][ab]
    return np.sqrt(np.square(relative[:, record["counts"]]).mean(1))


@book_figure
def readouts(record: Record) -> BookTable:
    """Scatter of the full-data value by read-out."""
    order = ["A-B", "AB", "PV", "IP", "RES"]
    header = ("σ", "optimal loss", "A − B, exact A", "A − B, same draws", "PV", "IP", "RES")
    rows = [
        [
            f"{sigma:.2f}",
            f"{record['full_mean'][_reading(record, 'IP'), k]:.3g}",
            *(f"{record['full_sd'][_reading(record, label), k]:.2g}" for label in order),
        ]
        for k, sigma in enumerate(record["sigma"])
    ]
    draws, repeats = int(record.spec["draws"]), int(record.spec["repeats"])
    note = f"Standard deviation over {repeats} repeats of {draws} draws; all N images; {name(record)}"
    return BookTable(record, header=header, rows=rows, note=note)


@book_figure
def spread(*records: Record) -> BookFigure:
    """Standard deviation of the estimate against C: one subset for all draws of a repeat, or fresh ones."""
    figure = BookFigure(*records, alt="Scatter of the estimate against the correction.", size=(6.7, 3.2))
    for axes, record in zip(np.ravel(figure.subplots(1, len(records))), records, strict=True):
        _scatter(axes, record)
    figure.axes[0].set_ylabel("scatter, DOL = 1")
    figure.axes[0].legend(loc="upper left")
    return figure


def _scatter(axes: Axes, record: Record) -> None:
    level, k = _level(record), list(record["ratios"]).index(int(record["shared_ratios"][0]))
    wide = int(np.argmin(np.abs(np.log(record["grid"] / record["sigma"][level]))))
    shared = record["shared_repeats"][:, 0, :, wide].std(0, ddof=1)
    fresh = record["fresh_sd"][k, :, _reading(record), level]
    places = [int(np.argmin(np.abs(record["multiples"] - c))) for c in record["coarse"][:-1]]
    fresh = fresh[[*places, -1]]
    error = 1 / np.sqrt(2 * (int(record.spec["repeats"]) - 1))
    x = np.arange(len(shared))
    for values, label, colour, shift in (
        (shared, "shared subset", ORANGE, 0.05),
        (fresh, "fresh", BLUE, -0.05),
    ):
        ratio = values / values[0]
        axes.errorbar(x + shift, ratio, error * ratio, color=colour, marker="o", ms=4, capsize=2, label=label)
    axes.set_xticks(x, ["DOL", *(f"{c:g}" for c in record["coarse"][1:-1]), "SNIS"])
    axes.set(xlabel="C in units of N/L", ylim=(0, None))
    label = NAMES[record.spec["dataset"]]
    axes.set_title(f"{label}, N/L = {record['ratios'][k]}, σ = {record['sigma'][level]:.2f}")
    axes.grid(True)


@book_figure
def dol_identity(*records: Record) -> BookFigure:
    """DOL with L points beside the optimal loss of random L-point subsets, as an area."""
    figure = BookFigure(*records, alt="DOL and the optimal loss of random subsets.", size=(6.7, 3.2))
    for axes, record in zip(np.ravel(figure.subplots(1, len(records))), records, strict=True):
        grid, pv = record["grid"], _reading(record, "PV")
        axes.fill_between(grid, 0, record["subset_mean"] / grid**2, color=BLUE, alpha=0.15, lw=0)
        axes.plot(grid, record["subset_mean"] / grid**2, color=BLUE, label="optimum of L random images")
        height, error = (record[f"shared_{part}"][-1, 0, pv] / grid**2 for part in ("mean", "stderr"))
        axes.errorbar(grid, height, 2 * error, color=ORANGE, marker=".", ls="", lw=1, label="DOL")
        axes.set(xscale="log", xlabel="noise level σ", ylim=(0, None))
        axes.set_title(f"{name(record)}, L = {int(record['sizes'][-1]):,}")
        log_ticks(axes.xaxis, *(tick for tick in (0.1, 1, 10, 100) if grid[0] <= tick <= grid[-1]))
        axes.grid(True)
    figure.axes[0].set_ylabel("loss / σ²")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@book_figure
def area_table(*records: Record) -> BookTable:
    """Areas of DOL and of cDOL with 4 N/L, beside ln L and ln N."""
    rows = [row for record in records for row in _area_rows(record)]
    header = ("data", "L", "DOL", "ln L", "cDOL, 4 N/L", "ln N")
    return BookTable(*records, header=header, rows=rows, note="Areas in nats; ± is one standard error")


def _area_rows(record: Record) -> list[list[str]]:
    pv, ab = _reading(record, "PV"), _reading(record)
    plain = int(np.argmin(np.abs(record["coarse"] - PLAIN)))
    rows = []
    for k, ratio in enumerate(record["shared_ratios"].tolist()):
        size = int(record["sizes"][list(record["ratios"]).index(ratio)])
        mean, error = record["area_mean"][k], record["area_stderr"][k]
        dol = f"{mean[0, pv]:.3f} ± {error[0, pv]:.3f}"
        paper = f"{mean[plain, ab]:.2f} ± {error[plain, ab]:.2f}"
        label = NAMES[record.spec["dataset"]]
        rows.append(
            [label, f"{size:,}", dol, f"{np.log(size):.3f}", paper, f"{np.log(int(record['n'])):.3f}"]
        )
    return rows


@book_figure
def conversions(record: Record) -> BookTable:
    """The factor of each target on paper, and the measured ratio of losses."""
    ratios = record["ratio"]
    header = ("process", "target", "loss / loss of x₀", *(f"s = {s:g}" for s in ratios), "largest difference")
    rows = []
    for k in range(len(record["process"])):
        measured = record["loss"][k] / record["loss"][0]
        worst = float(np.abs(measured / record["factor"][k] - 1).max())
        cells = [f"{value:.4g}" for value in measured]
        names = [str(record[key][k]) for key in ("process", "target", "formula")]
        names[2] = names[2].replace("α²/σ²", "(α/σ)²").replace("α²/σ⁴", "(α/σ²)²")
        rows.append([*names, *cells, power_of_ten(worst)])
    note = "Measured ratio of losses at equal noise ratio s = σ/α; last column: relative, against the formula"
    return BookTable(record, header=header, rows=rows, note=note)


def bias_finding(*records: Record) -> Finding:
    """Worst biases at the N/L shown."""
    return Finding(*records, text=" ".join(map(_bias_sentence, records)))


def _bias_sentence(record: Record) -> str:
    k, ab = _middle(record), _reading(record)
    worst = 100 * np.abs(record["bias_mean"][k, :, ab]).max(1) / float(record["variance"])
    near = list(record["near_ratios"]).index(record["ratios"][k])
    tail = 100 * np.abs(record["near_mean"][near, ab]).max() / float(record["variance"])
    return (
        f"{name(record)}, N/L = {record['ratios'][k]}: the largest bias is {worst[0]:.1f} % of the variance "
        f"for DOL, {worst[-1]:.1f} % for SNIS, {worst[_plain(record)]:.1f} % for cDOL with C = 4 N/L, "
        f"and {tail:.2f} % for neighbours with a tail."
    )


def law_finding(*records: Record) -> Finding:
    """How the best correction grows, and what the paper's rule costs."""
    return Finding(*records, text=" ".join(map(_law_sentence, records)))


def _law_sentence(record: Record) -> str:
    ratios, plain = record["ratios"].tolist(), record["rms"][:, _plain(record)]
    best = ", ".join(_best(record))
    lowest = int(plain.argmin())
    ends = " and ".join(f"{100 * plain[k]:.0f} % at {ratios[k]}" for k in (0, -1))
    return (
        f"{name(record)}: for N/L of {', '.join(map(str, ratios))} the best C is {best} times N/L: C grows "
        f"as {_grows(record)}. {_off(record)} The RMS relative bias of C = 4 N/L is smallest at N/L = "
        f"{ratios[lowest]} ({100 * plain[lowest]:.0f} %); it is {ends}."
    )


def _grows(record: Record) -> str:
    """How the best C grows; where the largest C that was tried is best, the power is a lower bound."""
    ratio = record["ratios"].astype(float)
    power = np.polyfit(np.log(ratio), np.log(record["best"] * ratio), 1)[0]
    return f"a power of {'at least ' if _at_edge(record).any() else ''}{power:.2f} of N/L"


def _off(record: Record) -> str:
    """At which N/L the paper's correction is more than twice, or less than half, the best one."""
    ratios, best = record["ratios"], record["best"]
    kinds = {"more than twice the best": best < PLAIN / 2, "less than half of it": best > 2 * PLAIN}
    parts = [f"{kind} at {', '.join(map(str, ratios[at]))}" for kind, at in kinds.items() if at.any()]
    near = int((~np.any(list(kinds.values()), axis=0)).sum())
    return f"4 N/L is {', '.join([*parts, f'within a factor 2 at {near} of {len(ratios)}'])}."


def reach_finding(*records: Record) -> Finding:
    """What the best correction and the neighbours leave at the largest N/L."""
    return Finding(*records, text=" ".join(map(_reach, records)))


def _reach(record: Record) -> str:
    left, ratio = 100 * record["rms"][-1, 1:-1].min(), record["ratios"][-1]
    near = dict(zip(record["near_ratios"].tolist(), 100 * near_rms(record), strict=True)).get(int(ratio))
    other = f"; neighbours with a tail leave {near:.2g} %" if near is not None else ""
    return f"{name(record)}, N/L = {ratio}: the best C leaves an RMS relative bias of {left:.1f} %{other}."


def conversions_finding(record: Record) -> Finding:
    """The largest difference between a measured ratio of losses and its formula."""
    measured = record["loss"] / record["loss"][0]
    worst = float(np.abs(measured / record["factor"] - 1).max())
    return Finding(record, text=(
        f"Over {len(measured)} targets and {len(record['ratio'])} noise ratios, measured factor and formula "
        f"differ by at most {power_of_ten(worst)} of the factor."
    ))  # fmt: skip


def _best(record: Record) -> list[str]:
    """The best C in units of N/L, as text; the largest that was tried is a lower bound."""
    edge = _at_edge(record)
    return [
        f"≥ {b:,.0f}" if end else f"{b:.0f}" if b >= 10 else f"{b:.1f}"
        for b, end in zip(record["best"], edge, strict=True)
    ]


def _at_edge(record: Record) -> np.ndarray:
    return record["best"] > 0.99 * record["multiples"][-2]
