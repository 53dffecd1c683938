"""Tables of chapter 4."""

from __future__ import annotations

from numpy import ndarray as Array

from diffnotes.chapters.loss_floor import readings
from diffnotes.chapters.loss_floor.draw_readings import (
    CRITICAL,
    SURE,
    draws_at_critical,
    draws_error,
    draws_needed,
)
from diffnotes.chapters.loss_floor.estimator_readings import PAPER_RULE, Best, Study
from diffnotes.chapters.loss_floor.readings import Curve
from diffnotes.show.labels import minus
from diffnotes.show.style import BookTable, book_figure, plus_minus, power_of_ten
from diffnotes.store import Record

SMALL = 0.15  # of the variance: losses of which the table of draws speaks


@book_figure
def sum_rule(*records: Record) -> BookTable:
    """The area under every curve against ln N."""
    curves = list(map(readings.curve, records))
    far = max(abs(one.area - one.entropy) / one.area_stderr for one in curves)
    rows = [
        (
            one.dataset,
            f"{one.n:,}",
            f"{one.sources:,}",
            plus_minus(one.area, one.area_stderr),
            f"{one.entropy:.4f}",
            minus(f"{100 * (one.area / one.entropy - 1):+.2f} %"),
        )
        for one in curves
    ]
    return BookTable(
        *records, header=("training set", "N", "sources", "area", "ln N", "difference"), rows=rows,
        finding=f"No area is further from ln N than {far:.1f} of its standard errors.",
        shows="Areas in nats; ± is one standard error.",
    )  # fmt: skip


@book_figure
def critical(*records: Record) -> BookTable:
    """Where J* passes 1 %, 10 % and 50 % of the data variance, and the Gaussian prediction."""
    curves = list(map(readings.curve, records))
    shares = [f"σ at {100 * share:.0f}\u00a0%" for share in curves[0].shares]
    rows = [
        (
            one.name,
            f"{one.variance:.1f}",
            *(f"{sigma:.2f}" for sigma in one.critical),
            f"{one.gaussian_sigma:.2f}",
        )
        for one in curves
    ]
    each = "; ".join(f"{one.gaussian_sigma / one.critical[0]:.2f} for {one.name}" for one in curves)
    return BookTable(
        *records, header=("training set", "variance", *shares, "Gaussian"), rows=rows,
        finding=f"The Gaussian estimate over the critical σ is {each}.",
        shows="Noise levels at which the optimal loss reaches these parts of the data variance, and where a "
        "Gaussian would have told ln N nats.",
    )  # fmt: skip


@book_figure
def size_table(sizes: Record, whole: Record) -> BookTable:
    """Critical noise level, Gaussian prediction and area for each size."""
    curves = [*readings.parts(sizes), readings.curve(whole)]
    power = minus(f"{readings.power_of_n(curves, lambda one: one.gaussian_sigma):.3f}")
    header = ("N", "σ at 1\u00a0%", "σ at 10\u00a0%", "σ at 50\u00a0%", "Gaussian", "area", "ln N")
    return BookTable(
        sizes, whole, header=header, rows=list(map(_size_row, curves)),
        finding=f"The Gaussian estimate goes as a power {power} of N.",
        shows="Random parts of the training set, and all of it in the last row.",
    )  # fmt: skip


@book_figure
def imagenet_sizes(sizes: Record, whole: Record, sample: Record) -> BookTable:
    """Critical noise level of random parts of Tiny ImageNet, of all its images, and of images of ImageNet."""
    some, last = readings.groups(sizes), readings.Group([readings.curve(whole)])
    first = some[0]
    other = readings.Group([readings.curve(sample)])
    equal = next((one for one in some if one.n == other.n), None)
    header = ("training set", "N", "sets", "critical σ", "95\u00a0% interval", "over √variance", "Gaussian")
    return BookTable(
        sizes, whole, sample, header=header, rows=list(map(_group_row, [*some, last, other])),
        finding=f"The critical σ of {first.n:,} images of {first.curves[0].dataset} is "
        f"{first.critical[0]:.2f}, that of {last.n:,} is {last.critical[0]:.2f}. {_equal(equal, other)}",
        shows="Where the optimal loss is 1 % of the data variance. Of parts without common images: mean and "
        "Student's interval over them; of one set: two standard errors.",
    )  # fmt: skip


def _equal(part: readings.Group | None, other: readings.Group) -> str:
    """The critical noise level of one set beside that of as many images of another."""
    name = other.curves[0].dataset
    if part is None:
        return f"There is no part with the {other.n:,} images of {name}."
    ratio, scaled = other.critical[0] / part.critical[0], other.scaled / part.scaled
    return (
        f"With {other.n:,} images each, that of {name} is {ratio:.3f} times that of "
        f"{part.curves[0].dataset}; in units of the root of the data variance {scaled:.3f} times."
    )


def _group_row(one: readings.Group) -> list[str]:
    middle, low, high = (f"{sigma:.2f}" for sigma in one.critical)
    first = one.curves[0]
    ends = [f"{low} to {high}", f"{one.scaled:.4f}", f"{first.gaussian_sigma:.2f}"]
    return [first.dataset, f"{one.n:,}", str(len(one.curves)), middle, *ends]


def _size_row(one: Curve) -> list[str]:
    sigmas = [f"{sigma:.2f}" for sigma in (*one.critical, one.gaussian_sigma)]
    return [f"{one.n:,}", *sigmas, plus_minus(one.area, one.area_stderr), f"{one.entropy:.3f}"]


@book_figure
def accuracy(*records: Record) -> BookTable:
    """RMS relative bias of each choice at each N/L."""
    studies = list(map(Study, records))
    header = ("data", "N/L", "DOL", "C = N/L", "4 N/L", "best C", "at best", "SNIS", "neighbours")
    return BookTable(
        *records, header=header, rows=[row for study in studies for row in _accuracy_rows(study)],
        finding=" ".join(map(_left, studies)),
        shows="Root-mean-square relative bias over noise levels, in %; best C in units of N/L.",
    )  # fmt: skip


def _accuracy_rows(study: Study) -> list[list[str]]:
    near, best = study.rms_near(), study.relative().texts()
    columns = [100 * study.rms(multiple) for multiple in (0.0, 1.0, PAPER_RULE)]
    last = [100 * study.rms_best(), 100 * study.rms(float("inf"))]
    return [
        [
            study.dataset, str(ratio), *(f"{one[k]:.1f}" for one in columns), best[k],
            f"{last[0][k]:.1f}", f"{last[1][k]:,.0f}", f"{100 * near[ratio]:.2f}" if ratio in near else "–",
        ]
        for k, ratio in enumerate(study.ratios)
    ]  # fmt: skip


def _left(study: Study) -> str:
    """What the best correction and the neighbours leave at the largest N/L."""
    ratio, near = study.ratios[-1], study.rms_near()
    other = f", neighbours with a tail {100 * near[ratio]:.2g} %" if ratio in near else ""
    left = 100 * study.rms_best()[-1]
    return f"On {study.dataset} at N/L = {ratio}, the best C leaves a relative bias of {left:.1f} %{other}."


@book_figure
def corrections(*records: Record) -> BookTable:
    """The best C by three measures at each N/L, and which of them agree with the paper's rule."""
    studies = list(map(Study, records))
    words = [best.word.partition(" at ")[0] for best in studies[0].criteria()]
    header = ("data", "N/L", *words)
    return BookTable(
        *records, header=header, rows=[row for study in studies for row in _correction_rows(study)],
        finding=" ".join(map(_kept, studies)),
        shows=f"The best C in units of N/L; ✓ where {PAPER_RULE:g} N/L is within a factor 2 of it. "
        "Zero bias at one noise level is the paper's measure; its interval is two standard errors of the "
        "bias. That of the relative bias holds 90 %. Of the last measure, the nearest C that was tried.",
    )  # fmt: skip


def _correction_rows(study: Study) -> list[list[str]]:
    zero, relative, plain = study.criteria()
    ends = [study.crossing_interval(), study.relative_interval(), None]
    columns = [_with_ends(best, end) for best, end in zip((zero, relative, plain), ends, strict=True)]
    return [
        [study.dataset, str(ratio), *(column[k] for column in columns)]
        for k, ratio in enumerate(study.ratios)
    ]


def _with_ends(best: Best, ends: tuple[Array, Array] | None) -> list[str]:
    """'✓ 2.1 (1.8 to 2.4)' at each N/L, with the mark where the paper's rule is near; of a bound the bound
    alone.
    """
    texts = [f"✓ {text}" if near else text for text, near in zip(best.texts(), best.within(), strict=True)]
    if ends is None:
        return texts
    rows = zip(texts, best.capped, *ends, strict=True)
    return [
        text if capped else f"{text} ({_short(low)} to {_short(high)})" for text, capped, low, high in rows
    ]


def _short(value: float) -> str:
    """'0.041', '2.0', '1,024': two digits, or all before the point."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:#.2g}"


def _kept(study: Study) -> str:
    """At how many N/L the paper's rule holds, by the paper's measure and by the others."""
    first, *others = (f"{best.within().sum()}" for best in study.criteria())
    return (
        f"On {study.dataset}, {PAPER_RULE:g} N/L is within a factor 2 of the best C at {first} of "
        f"{len(study.ratios)} ratios by the paper's measure, and at {' and '.join(others)} by the others."
    )


@book_figure
def readouts(record: Record) -> BookTable:
    """Scatter of the full-data value by read-out."""
    study = Study(record)
    optimum, scatter = study.readout_scatter()
    words = {"A-B": "A − B, exact A", "AB": "A − B, same draws", "PV": "PV", "IP": "IP", "RES": "RES"}
    unit = 100 / study.variance
    rows = [
        [f"{sigma:.2f}", f"{unit * optimum[k]:.1f}", *(f"{unit * scatter[name][k]:.3f}" for name in words)]
        for k, sigma in enumerate(study.sigma)
    ]
    ratio = scatter["A-B"][0] / scatter["PV"][0]
    draws, repeats = int(record.spec["draws"]), int(record.spec["repeats"])
    return BookTable(
        record, header=("σ", "optimal loss", *words.values()), rows=rows,
        finding=f"At σ = {study.sigma[0]:g} the paper's A − B scatters {ratio:.0f} times as much as PV.",
        shows=f"The optimal loss, and standard deviations of its readings over {repeats} repeats of {draws} "
        f"draws with all N images, in % of the data variance; {study.name}.",
    )  # fmt: skip


@book_figure
def draws(*records: Record) -> BookTable:
    """How many draws the optimal loss takes where it is small, by three readings."""
    studies = list(map(Study, records))
    header = ("data", "σ", "optimal loss", "A − B, exact A", "A − B, same draws", "PV")
    return BookTable(
        *records, header=header, rows=[row for study in studies for row in _draw_rows(study)],
        finding=f"{' '.join(map(_needs, studies))} The paper says two to three N.",
        shows=f"Draws, in units of N, after which the standard error is {100 * SURE:g} % of the optimal "
        "loss. Column 3: optimal loss over data variance. The numbers of draws go by squares "
        "of the scatter between a few repeats, so they are rough.",
    )  # fmt: skip


def _draw_rows(study: Study) -> list[list[str]]:
    optimum, needed = study.readout_scatter()[0] / study.variance, draws_needed(study).values()
    return [
        [study.dataset, f"{sigma:.2f}", f"{_short(100 * optimum[k])} %", *(_short(one[k]) for one in needed)]
        for k, sigma in enumerate(study.sigma)
        if optimum[k] < SMALL
    ]


def _needs(study: Study) -> str:
    exact, same, _ = draws_at_critical(study).values()
    return (
        f"Where the optimal loss is {100 * CRITICAL:g} % of the variance, the paper's reading takes "
        f"{exact:.1f} N draws on {study.dataset}, and {same:.2f} N with A from the same draws "
        f"(± {100 * draws_error(study):.0f} %)."
    )


@book_figure
def area_table(*records: Record) -> BookTable:
    """Areas of DOL and of cDOL with 4 N/L, beside ln L and ln N."""
    pairs = [(Study(record), one) for record in records for one in Study(record).areas()]
    rows = [
        [
            study.dataset,
            f"{one.size:,}",
            f"{one.dol:.3f} ± {one.dol_error:.3f}",
            f"{one.expected:.3f}",
            f"{one.cdol:.2f} ± {one.cdol_error:.2f}",
            f"{one.entropy:.3f}",
        ]
        for study, one in pairs
    ]
    most = max(abs(one.cdol - one.entropy) for _, one in pairs)
    return BookTable(
        *records, header=("data", "L", "DOL", "ln L", "cDOL, 4 N/L", "ln N"), rows=rows,
        finding=f"The area of cDOL with C = 4 N/L misses ln N by up to {most:.2f} nats.",
        shows="Areas in nats; ± is one standard error.",
    )  # fmt: skip


@book_figure
def conversions(record: Record) -> BookTable:
    """The factor of each target on paper, and the measured ratio of losses."""
    found = readings.conversions(record)
    worst = max(one.difference for one in found)
    short = {"α²/σ²": "(α/σ)²", "α²/σ⁴": "(α/σ²)²"}
    rows = [
        [one.process, one.target, short.get(one.formula, one.formula), *(f"{x:.4g}" for x in one.measured)]
        for one in found
    ]
    header = ("process", "target", "loss / loss of x₀", *(f"s = {s:g}" for s in record["ratio"]))
    return BookTable(
        record, header=header, rows=rows,
        finding=f"Measured ratios of losses are the factors on paper, to {power_of_ten(worst)} of them.",
        shows="The formula, and measured ratios at equal noise ratio s = σ/α.",
    )  # fmt: skip
