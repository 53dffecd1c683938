"""Tables and sentences of chapter 1: every number of its text, taken from a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diffnotes.chapters.checks import PAPER_ONLY
from diffnotes.chapters.toy import readings
from diffnotes.chapters.toy.readings import DESIGNS, SEPARATE
from diffnotes.show.labels import minus
from diffnotes.show.style import BookTable, Sentence, book_figure, plus_minus, power_of_ten
from diffnotes.show.verdict import in_numbers
from diffnotes.store import Record

NOTHING = "; nothing to compare here."


def _listed(values: np.ndarray, form: str = "g") -> str:
    return ", ".join(f"{value:{form}}" for value in values)


# ---------------------------------------------------------------------------------------- the predictors


def landing_finding(record: Record) -> Sentence:
    """How much of the plane is sent onto training points, without and with model error."""
    optimal, blurred = 100 * readings.landing(record)
    sigma, delta = record["flow_sigma"][-1], record.spec["delta"]
    return Sentence(record, text=(
        f"At σ = {sigma:.2f} the optimal predictor sends {optimal:.0f} % of the plane onto a training point; "
        f"with a model error of δ = {delta:g} it is {blurred:.0f} %."
    ))  # fmt: skip


# --------------------------------------------------------------------------------------- the gap over sigma


def bump_finding(record: Record) -> Sentence:
    """Where the gap peaks, and how high for the largest and the smallest model error."""
    place, peak = readings.peak_places(record), record["peak_exact"]
    first, last = (int(pick(record["delta"])) for pick in (np.argmax, np.argmin))
    where = f"σ = {place.min():.2f}" + (f" to {place.max():.2f}" if place.min() < place.max() else "")
    heights = f"from {peak[first]:.2f} at δ = {record['delta'][first]:g}"
    if len(peak) == 1:
        return Sentence(record, text=f"The gap peaks at {where}, at a height of {peak[0]:.2f}.")
    text = f"The gap peaks at {where}, {heights} to {peak[last]:.2f} at δ = {record['delta'][last]:g}."
    return Sentence(record, text=text)


@book_figure
def peak_table(record: Record) -> BookTable:
    """Peaks: converged by Monte Carlo, exact by quadrature, and those of the authors' toy."""
    names = ("delta", "peak_sigma", "peak", "peak_stderr", "peak_exact")
    authors = readings.PEAKS.beside(record, record["delta"])
    rows = [
        [f"{delta:g}", f"{place:.2f}", plus_minus(peak, error), f"{exact:.4f}", _known(theirs)]
        for (delta, place, peak, error, exact), theirs in zip(
            zip(*(record[name] for name in names), strict=True), authors, strict=True
        )
    ]
    many = f"{record.spec['draws']:,} draws"
    return BookTable(
        record,
        header=("δ", "σ of the peak", many, "exact", "authors’ toy, 50 draws"),
        rows=rows,
        finding=_agreement(record),
        shows="Peak of the relative gap G; ± is one standard error. The last column is "
        f"{readings.PEAKS.origin} (±{readings.PEAKS.error:.2f}).",
    )


def _agreement(record: Record) -> str:
    """How far the drawn peaks are from the exact ones."""
    off = readings.off_exact(record)
    return f"The drawn peaks are at most {off.max():.1f} standard errors from the exact ones."


def _known(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _joined(match: readings.Match) -> str:
    """What one factor makes of heights."""
    low, high = match.factor
    if not match.joined:
        return f"No single factor on 1 + G takes all {len(match.at)} of ours to theirs."
    return (
        f"One factor on 1 + G, between {low:.3f} and {high:.3f}, takes all {len(match.at)} of ours "
        f"to theirs, as well as a plot can be read (±{match.error:.3f})."
    )


def band_finding(record: Record) -> Sentence:
    """Whether the authors' peaks are ours up to one factor, and what 50 draws scatter."""
    authors = readings.PEAKS.beside(record, record["delta"])
    if not np.isfinite(authors).any():
        return Sentence(record, text=f"The authors’ peaks are for 10 training points{NOTHING}")
    match, (low, high) = readings.peaks(record), readings.repeat_factor(record)
    band = np.isfinite(authors), SEPARATE
    width = [ends[band] for ends in readings.repeat_band(record)]
    inside = int(((width[0] <= match.authors) & (match.authors <= width[1])).sum())
    text = (
        f"With 50 draws the peaks of the authors’ toy are {match.percent.min():+.0f} to "
        f"{match.percent.max():+.0f} % off the exact ones. {_joined(match)} "
        f"Their code draws {DESIGNS[SEPARATE]}. In {record.spec['repeats']} repeats of ours, 50 such draws "
        f"give a factor of {low:.2f} to {high:.2f} (central 99 %). Each height alone says little: "
        f"{inside} of {len(match.at)} lie in its band, which at δ = {match.at[-1]:g} goes from "
        f"{width[0][-1]:.2f} to {width[1][-1]:.2f}."
    )
    return Sentence(record, text=minus(text))


# ------------------------------------------------------------------------------------------ inside, or not


@book_figure
def level_table(record: Record) -> BookTable:
    """Figure 5 in numbers, for ten values of delta."""
    names = ("delta", "gap", "gap_stderr", "gap_exact", "inside", "circle")
    count, spacing = len(record["val"]), readings.chord(len(record["train"]))
    rows = []
    for values in zip(*(record[f"level_{name}"] for name in names), strict=True):
        delta, gap, error, exact, inside, circle = values
        place = [f"{delta:g}", f"{delta / spacing:.2f}", plus_minus(gap, error), f"{exact:.3f}"]
        rows.append([*place, f"{inside:.0f} of {count}", f"{100 * circle:.0f} %"])
    sigma = float(record["map_sigma"])
    return BookTable(
        record,
        header=("δ", "δ / a", "gap, drawn", "gap, exact", "points inside", "circle inside"),
        rows=rows,
        finding=str(threshold_finding(record)),
        shows=f"Gap at validation points, σ = {sigma:.2f}; ± is one standard error of their mean. Inside "
        f"means at most {readings.LEVEL}: points by their drawn gap, the share of the circle by the exact "
        "one.",
    )


def threshold_finding(record: Record) -> Sentence:
    """The model error at which validation points leave the 0.5 region, and what a count makes of it."""
    edge, place = float(record["threshold"]), float(record["map_sigma"])
    if not np.isfinite(edge):
        text = f"At σ = {place:.2f} no model error gives a gap of 0.5 for this spacing."
        return Sentence(record, text=text)
    count = len(record["val"])
    share = edge / readings.chord(len(record["train"]))
    text = (
        f"By symmetry all {count} validation points cross the 0.5 line together, at δ = {edge:.3f}, which is "
        f"{share:.2f} of the spacing a. Near it, a count from {record.spec['draws']:,} draws depends on the "
        "draws."
    )
    return Sentence(record, text=text)


def islands_finding(record: Record) -> Sentence:
    """How much of the circle is inside for the model errors of the maps, and where it breaks."""
    shares = zip(record["map_delta"], 100 * readings.inside_share(record), strict=True)
    parts = ", ".join(f"{share:.0f} % is inside at δ = {delta:g}" for delta, share in shares)
    edge = float(record["threshold"])
    breaks = f" It breaks into islands at δ = {edge:.2f}." if np.isfinite(edge) else ""
    return Sentence(record, text=f"Of the circle, {parts}.{breaks}")


def along_finding(record: Record) -> Sentence:
    """Highest gap on the circle, ours and the authors'."""
    authors = readings.ALONG.beside(record, record["map_delta"])
    ours = [
        f"{gap.max():.3f} at δ = {delta:g}" + (f" (authors’ plot: {theirs:g})" if theirs > 0 else "")
        for delta, gap, theirs in zip(record["map_delta"], record["along_gap"], authors, strict=True)
    ]
    return Sentence(record, text=f"Highest gap on the circle: {', '.join(ours)}.")


# ------------------------------------------------------------------------- density, guidance, random points


def density_finding(record: Record) -> Sentence:
    """Whether the authors' peaks for more and more points are ours up to one factor."""
    if not readings.DENSITY.fits(record):
        return Sentence(record, text=f"The authors’ density study is for δ = 1.6{NOTHING}")
    match = readings.densities(record)
    low, high = record["density_band"][:, SEPARATE].T
    inside = int(((low <= match.authors) & (match.authors <= high)).sum())
    text = (
        f"The authors’ toy with 50 draws has {_listed(match.authors, '.2f')} for {_listed(match.at)} points, "
        f"that is {match.percent.min():+.0f} to {match.percent.max():+.0f} % off the exact heights. "
        f"{_joined(match)} Each alone, {inside} of {len(match.at)} lie in the band of 50 draws."
    )
    return Sentence(record, text=minus(text))


def moving_finding(record: Record) -> Sentence:
    """Where the peak is, and how high, for the fewest and the most training points."""
    parts = [f"{peak:.3f} at σ = {sigma:.2f} for {n}" for n, peak, sigma in readings.fewest_and_most(record)]
    return Sentence(record, text=f"The gap peaks at {', and at '.join(parts)} training points.")


def guidance_finding(record: Record) -> Sentence:
    """The peak of the gap over the guidance weight, for equispaced points and for random ones."""
    peak, weight = record["guidance_peak"], record["guidance_weight"]
    random = ", ".join(map(plus_minus, record["random_guided"], record["random_guided_stderr"]))
    rises = "rises" if readings.guidance_rising(record).all() else "does not rise"
    return Sentence(record, text=(
        f"From w = {weight[0]:g} to {weight[-1]:g} the peak goes from {peak[0]:.3f} to {peak[-1]:.3f}; it "
        f"{rises} at every step. For random points, at w = 0, 1 and 2, it is {random}."
    ))  # fmt: skip


def random_finding(record: Record) -> Sentence:
    """How much the peak differs between sets of random points."""
    low, middle, high = readings.random_spread(record)
    parts = [
        f"{first:.2f} to {last:.2f} around {centre:.2f} at δ = {delta:g}"
        for delta, first, centre, last in zip(record["random_delta"], low, middle, high, strict=True)
    ]
    return Sentence(record, text=f"In 80 % of the sets of random points the gap peaks at {'; '.join(parts)}.")


@book_figure
def random_table(record: Record) -> BookTable:
    """Peaks for points at random angles: the first set of points, and how all sets spread."""
    columns = (record["random_delta"], record["random_first"], *readings.random_spread(record))
    rows = [
        [f"{delta:g}", f"{first.max():.2f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}"]
        for delta, first, low, middle, high in zip(*columns, strict=True)
    ]
    return BookTable(
        record,
        header=("δ", "first set", "median", "80 % of sets"),
        rows=rows,
        finding=_first_set(record),
        shows=f"Peak of the relative gap for {record.spec['supports']} sets of points at random angles; the "
        f"first set is {'the authors’' if readings.first_is_authors(record) else 'drawn from the seed'}.",
    )


def _first_set(record: Record) -> str:
    """The peaks of the first set beside the medians."""
    first, median = record["random_first"].max(1), readings.random_spread(record)[1]
    return f"The first set peaks at {_listed(first, '.2f')}, half of all sets above {_listed(median, '.2f')}."


# ---------------------------------------------------------------------------------------------- the sampler


def law_finding(record: Record) -> Sentence:
    """How far the two samplers end from the exact law, for each model error."""
    law = readings.law(record)
    heun, euler = (", ".join(f"{off:+.1f} %" for off in law.off(one)) for one in (law.heun, law.euler))
    text = f"Off the exact law, at δ = {_listed(record['law_delta'])}: Heun’s method {heun}, Euler’s {euler}."
    return Sentence(record, text=minus(text))


def states_finding(record: Record) -> Sentence:
    """How much farther from the training points the states are than noised training points."""
    law = readings.law(record)
    ratio = law.heun / law.noised_train
    parts = ", ".join(
        f"{one:.2f} times at δ = {delta:g}" for one, delta in zip(ratio, record["law_delta"], strict=True)
    )
    return Sentence(record, text=f"From the nearest training point, states are {parts} as far as noised "
                                "training points.")  # fmt: skip


@book_figure
def law_table(record: Record) -> BookTable:
    """RMS distance to the nearest training point: sampler states, their exact law, noised data."""
    law = readings.law(record)
    columns = (law.euler, law.euler_error, law.heun, law.heun_error)
    rows = [
        [f"{delta:g}", plus_minus(*one[:2]), plus_minus(*one[2:]), *(f"{value:.3f}" for value in exact)]
        for delta, one, exact in zip(
            record["law_delta"], zip(*columns, strict=True),
            zip(law.exact, law.noised_train, law.noised_val, strict=True), strict=True,
        )
    ]  # fmt: skip
    return BookTable(
        record,
        header=("δ", "sampler, Euler", "sampler, Heun", "exact law", "noised training", "noised validation"),
        rows=rows,
        finding=str(law_finding(record)),
        shows="RMS distance to the nearest training point at "
        f"σ = {float(record['law_sigma']):.2f}; ± is one standard error.",
    )


def shot_finding(record: Record) -> Sentence:
    """One-shot predictions from sampler states, and from noised training and validation points."""
    pairs = zip(record["shot_rms"], record["shot_rms_stderr"], strict=True)
    sampler, train, val = (plus_minus(*pair) for pair in pairs)
    text = (
        f"One-shot predictions at δ = {record.spec['delta']:g}, RMS distance to the nearest training point: "
        f"{train} from noised training points, {sampler} from sampler states, {val} from noised validation "
        "points."
    )
    return Sentence(record, text=text)


# --------------------------------------------------------------------------------------- spacing, dimension


def spacing_finding(record: Record) -> Sentence:
    """The two constants of the spacing law with their range, and how little delta moves the peak."""
    delta, sigma = readings.spacing(record)
    place, error, counts = record["position_sigma"], record["position_delta"], record["spacing_n"]
    text = (
        f"For {counts[0]} to {counts[-1]} training points, δ*/a is {delta.min():.3f} to {delta.max():.3f}, "
        f"and σ of the peak over a is {sigma.min():.3f} to {sigma.max():.3f}. At fixed spacing, while δ "
        f"goes from {error.max():g} to {error.min():g}, σ of the peak goes from {place[error.argmax()]:.2f} "
        f"to {place[error.argmin()]:.2f}."
    )
    return Sentence(record, text=text)


def overlap_finding(record: Record) -> Sentence:
    """The overlap at delta = sigma in the plane and in the dimensions of CIFAR-10."""
    first, last = readings.overlap(record)[1.0]
    low, high = record["overlap_dimension"][[0, -1]]
    text = f"At δ = σ the overlap is {first:.2f} in {low:.0f} dimensions and {power_of_ten(last)} in "
    return Sentence(record, text=f"{text}{high:,.0f}.")


# ---------------------------------------------------------------------------------------------- the chapter


def answer_finding(record: Record, claims: Sequence[Mapping[str, str]] = ()) -> Sentence:
    """The chapter's answer in the toy, in three sentences, and how its claims were judged."""
    edge, law = readings.spacing(record)[0].mean(), readings.law(record)
    peak, ratio = record["peak_exact"], law.heun / law.noised_train
    plane, many = readings.overlap(record)[1.0]
    place, end = readings.peak_places(record).mean(), 100 * readings.ends(record).max()
    text = (
        "A denoiser treats unseen points like training points when its model error is large against their "
        f"spacing: the gap between the two peaks at {peak.min():.2f} to {peak.max():.2f} for the errors "
        f"shown, and crosses {readings.LEVEL} where the error is {edge:.2f} of the spacing. This gap sits at "
        f"intermediate noise, around σ = {place:.2f}; at both ends it is at most {end:.1f} % of its peak. "
        f"States of the sampler lie {ratio.min():.1f} to {ratio.max():.1f} times as far from the training "
        f"points as noised training points do. In the plane the two still overlap to {plane:.2f} or more for "
        f"δ up to σ; at δ = σ in {record['overlap_dimension'][-1]:,.0f} dimensions it would be "
        f"{power_of_ten(many)}."
        f"{_counted(claims)}"
    )
    return Sentence(record, text=text)


def _counted(claims: Sequence[Mapping[str, str]]) -> str:
    """How many claims on the toy have which verdict; those only on paper stand on no record."""
    toy = [claim for claim in claims if "-toy-" in claim["id"] and claim["verdict"] != PAPER_ONLY]
    return f" Of {len(toy)} claims on the toy, on its pinned records: {in_numbers(toy)}." if toy else ""
