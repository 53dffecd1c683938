"""Tables and sentences of chapter 1: every number of its text, taken from a record."""

from __future__ import annotations

import numpy as np

from diffnotes.show.style import BookTable, Finding, book_figure, plus_minus, power_of_ten
from diffnotes.store import Record

# Read from plots and numbers stored in the authors' notebooks (arXiv 2603.13419, public code); 50 draws each.
AUTHORS_PEAKS = {2.2: 0.104, 2.0: 0.161, 1.8: 0.249, 1.6: 0.387, 1.4: 0.603, 1.2: 0.954}
AUTHORS_ALONG = {2.0: 0.15, 1.6: 0.37, 1.2: 0.92}
AUTHORS_DENSITY = {8: 0.80, 10: 0.39, 12: 0.21, 15: 0.07}  # read by eye, to about 0.016
SEPARATE = 1  # of DESIGNS: as in the authors' code
DESIGNS = ("shared", "one set per split", "own for each point")  # of the noise draws, as in `repeat_peaks`


@book_figure
def peak_table(record: Record) -> BookTable:
    """Peaks: converged by Monte Carlo, exact by quadrature, and the authors'."""
    names = ("delta", "peak_sigma", "peak", "peak_stderr", "peak_exact")
    rows = [
        [f"{delta:g}", f"{place:.2f}", plus_minus(peak, error), f"{exact:.4f}", _authors(record, delta)]
        for delta, place, peak, error, exact in zip(*(record[name] for name in names), strict=True)
    ]
    many = f"peak, {record.spec['draws']:,} draws"
    return BookTable(
        record,
        header=("δ", "σ of the peak", many, "peak, exact", "authors’, 50 draws"),
        rows=rows,
        note="Peak of the relative gap; ± is one standard error.",
    )


def _authors(record: Record, delta: float) -> str:
    known = record.spec["n_train"] == 10 and delta in AUTHORS_PEAKS
    return f"{AUTHORS_PEAKS[delta]:.3f}" if known else "–"


def band_finding(record: Record) -> Finding:
    """Whether the authors' peaks lie inside what 50 draws scatter."""
    rows = [index for index, delta in enumerate(record["delta"]) if delta in AUTHORS_PEAKS]
    if record.spec["n_train"] != 10 or not rows:
        return Finding(record, text="The authors’ peaks are for 10 training points; nothing to compare here.")
    authors = np.array([AUTHORS_PEAKS[record["delta"][index]] for index in rows])
    low, high = np.quantile(record["repeat_peaks"][rows], (0.005, 0.995), axis=2).transpose(0, 2, 1)
    inside = ((low <= authors) & (authors <= high)).sum(1)  # designs
    counts = ", ".join(f"{name}: {count} of {len(rows)}" for name, count in zip(DESIGNS, inside, strict=True))
    ratio = 100 * (authors / record["peak_exact"][rows] - 1)
    widest = int((high[SEPARATE] / record["peak_exact"][rows]).argmax())
    text = (
        f"The authors’ peaks are {ratio.min():+.0f} to {ratio.max():+.0f} % off the exact ones. Inside the "
        f"central 99 % of {record.spec['repeats']} repeats with 50 draws, for three ways to draw: {counts}. "
        f"Their code draws {DESIGNS[SEPARATE]}. That band is widest, beside the height, at δ = "
        f"{record['delta'][rows[widest]]:g}: {low[SEPARATE, widest]:.2f} to {high[SEPARATE, widest]:.2f}."
    )
    return Finding(record, text=text.replace("-", "−"))


@book_figure
def level_table(record: Record) -> BookTable:
    """Figure 5 in numbers, for ten values of delta."""
    names = ("delta", "gap", "gap_stderr", "gap_exact", "point_stderr", "inside", "circle")
    count = len(record["val"])
    rows = []
    for values in zip(*(record[f"level_{name}"] for name in names), strict=True):
        delta, gap, error, exact, point, inside, circle = values
        draws = [plus_minus(gap, error), f"{exact:.3f}", f"{point:.3f}", f"{inside:.0f}/{count}"]
        rows.append([f"{delta:g}", *draws, f"{100 * circle:.0f} %"])
    place = float(record["map_sigma"])
    return BookTable(
        record,
        header=("δ", "gap, drawn", "gap, exact", "error of one point", "points inside", "circle inside"),
        rows=rows,
        note=f"Gap at validation points, σ = {place:.2f}; ± is one standard error of their mean. Inside "
        "means at most 0.5: points by their drawn gap, the share of the circle by the exact one.",
    )


def threshold_finding(record: Record) -> Finding:
    """The model error at which validation points leave the 0.5 region, and what a count makes of it."""
    edge, place = float(record["threshold"]), float(record["map_sigma"])
    if not np.isfinite(edge):
        return Finding(record, text=f"At σ = {place:.2f} no model error gives a gap of 0.5 for this spacing.")
    text = (
        f"By symmetry all {len(record['val'])} validation points cross the 0.5 line together, at δ = "
        f"{edge:.3f}. Near that value a count from {record.spec['draws']:,} draws depends on the draws."
    )
    return Finding(record, text=text)


def along_finding(record: Record) -> Finding:
    """Highest gap on the circle, ours and the authors'."""
    own = record.spec["n_train"] == 10
    ours = [
        f"{gap.max():.3f} at δ = {delta:g}" + (f" (authors’ plot: {AUTHORS_ALONG[delta]:g})" if own else "")
        for delta, gap in zip(record["map_delta"].tolist(), record["along_gap"], strict=True)
    ]
    return Finding(record, text=f"Highest gap on the circle: {', '.join(ours)}.")


def density_finding(record: Record) -> Finding:
    """The authors' peaks for more and more points, against what 50 draws scatter."""
    if record.spec["delta"] != 1.6:
        return Finding(record, text="The authors’ density study is for δ = 1.6; nothing to compare here.")
    authors = np.array([AUTHORS_DENSITY[n] for n in record["density_n"].tolist()])
    low, high = record["density_band"].transpose(2, 1, 0)  # designs, counts
    inside = ((low <= authors) & (authors <= high)).sum(1)
    ratio = 100 * (authors / record["density_peak"] - 1)
    counts = ", ".join(f"{name}: {one} of {len(authors)}" for name, one in zip(DESIGNS, inside, strict=True))
    read = ", ".join(f"{height:g}" for height in authors)
    text = (
        f"Read from the authors’ plot, to about 0.016: {read}. These are {ratio.min():+.0f} to "
        f"{ratio.max():+.0f} % off the exact ones. Inside the central 99 % of {record.spec['repeats']} "
        f"repeats with 50 draws, for three ways to draw: {counts}."
    )
    return Finding(record, text=text.replace("-", "−"))


def moving_finding(record: Record) -> Finding:
    """Where the peak is, and how high, for the fewest and the most training points."""
    n, peak, sigma = (record[f"density_{name}"] for name in ("n", "peak", "sigma"))
    parts = [f"{peak[i]:.3f} at σ = {sigma[i]:.2f} for {n[i]}" for i in np.argsort(n)[[0, -1]]]
    return Finding(record, text=f"The gap peaks at {', and at '.join(parts)} training points.")


def guidance_finding(record: Record) -> Finding:
    """The peak of the gap over the guidance weight, for equispaced points and for random ones."""
    peak, weight = record["guidance_peak"], record["guidance_weight"]
    random = ", ".join(map(plus_minus, record["random_guided"], record["random_guided_stderr"]))
    rises = "rises" if (np.diff(peak) > 0).all() else "does not rise"
    return Finding(record, text=(
        f"From w = {weight[0]:g} to {weight[-1]:g} the peak goes from {peak[0]:.3f} to {peak[-1]:.3f}; it "
        f"{rises} at every step. For random points, at w = 0, 1 and 2, it is {random}."
    ))  # fmt: skip


def law_finding(record: Record) -> Finding:
    """How far the two samplers end from the exact law, for each model error."""
    euler, heun, exact = record["law_rms"].T[:3]
    deltas = ", ".join(f"{delta:g}" for delta in record["law_delta"])
    off = [", ".join(f"{100 * (one / law - 1):+.1f} %" for one, law in zip(kind, exact, strict=True))
           for kind in (heun, euler)]  # fmt: skip
    text = f"Off the exact law, at δ = {deltas}: Heun’s method {off[0]}, Euler’s {off[1]}."
    return Finding(record, text=text.replace("-", "−"))


@book_figure
def random_table(record: Record) -> BookTable:
    """Peaks for points at random angles: the first set of points, and how all sets spread."""
    rows = []
    for delta, first, peaks in zip(
        record["random_delta"], record["random_first"], record["random_peaks"], strict=True
    ):
        low, middle, high = np.quantile(peaks, (0.1, 0.5, 0.9))
        rows.append([f"{delta:g}", f"{first.max():.2f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}"])
    return BookTable(
        record,
        header=("δ", "first set", "median", "80 % of sets"),
        rows=rows,
        note=f"Peak of the relative gap for {record.spec['supports']} sets of points at random angles.",
    )


@book_figure
def law_table(record: Record) -> BookTable:
    """RMS distance to the nearest training point: sampler states, their exact law, noised data."""
    rows = []
    names = ("law_delta", "law_rms", "law_rms_stderr")
    for delta, rms, error in zip(*(record[name] for name in names), strict=True):
        measured = [plus_minus(rms[k], error[k]) for k in (0, 1)]
        rows.append([f"{delta:g}", *measured, *(f"{exact:.3f}" for exact in rms[2:])])
    place = float(record["law_sigma"])
    return BookTable(
        record,
        header=("δ", "sampler, Euler", "sampler, Heun", "exact law", "noised training", "noised validation"),
        rows=rows,
        note=f"RMS distance to the nearest training point at σ = {place:.2f}; ± is one standard error.",
    )


def shot_finding(record: Record) -> Finding:
    """One-shot predictions from sampler states lie between those from noised training and validation data."""
    pairs = zip(record["shot_rms"], record["shot_rms_stderr"], strict=True)
    sampler, train, val = (plus_minus(*pair) for pair in pairs)
    text = (
        f"One-shot predictions at δ = {record.spec['delta']:g}, RMS distance to the nearest training point: "
        f"{train} from noised training points, {sampler} from sampler states, {val} from noised validation "
        "points."
    )
    return Finding(record, text=text)


def spacing_finding(record: Record) -> Finding:
    """The two constants of the spacing law with their range, and how little delta moves the peak."""
    delta, sigma = (record[name] / record["spacing_chord"] for name in ("spacing_delta", "spacing_sigma"))
    place, error, counts = record["position_sigma"], record["position_delta"], record["spacing_n"]
    text = (
        f"For {counts[0]} to {counts[-1]} training points, δ*/a is {delta.min():.3f} to {delta.max():.3f}, "
        f"and σ of the peak over a is {sigma.min():.3f} to {sigma.max():.3f}. At fixed spacing, while δ "
        f"goes from {error.max():g} to {error.min():g}, σ of the peak goes from {place[error.argmax()]:.2f} "
        f"to {place[error.argmin()]:.2f}."
    )
    return Finding(record, text=text)


def overlap_finding(record: Record) -> Finding:
    """The overlap at delta = sigma in the plane and in the dimensions of CIFAR-10."""
    row = record["overlap"][int(np.argmax(record["overlap_ratio"]))]
    low, high = record["overlap_dimension"][[0, -1]]
    last = power_of_ten(float(row[-1]))
    text = f"At δ = σ the overlap is {row[0]:.2f} in {low:.0f} dimensions and {last} in {high:,.0f}."
    return Finding(record, text=text)
