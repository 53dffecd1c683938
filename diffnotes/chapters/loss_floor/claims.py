"""Xu et al., Diagnosing and Improving Diffusion Models by Estimating the Optimal Loss Value (arXiv
2506.13763).
"""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.checks import Finding, Nothing, Unfit, companion, every, most, verdict
from diffnotes.chapters.loss_floor import readings
from diffnotes.chapters.loss_floor.draw_readings import draws_at_critical, draws_error, draws_saved
from diffnotes.chapters.loss_floor.estimator_readings import AROUND, PAPER_RULE, WIDE, Study
from diffnotes.show.labels import bounds, minus, power_of_ten
from diffnotes.store import Record

CLASSED = ("digits", "cifar10", "imagenet64")  # sets that are tried given the class
BACK = 1e-3  # of the variance: the largest step back on the way from DOL to SNIS
THERE = 0.99  # of that way: as good as all of it
FEWER = 10  # times: so many draws less, at least, where it matters
MUCH = 10  # times the scatter of DOL, which an explosion is at least
LITTLE = 2  # times the worst bias, which a change of C around its best value stays below
PRECISE = 0.1  # of the optimal loss: the largest standard error of two readings of it


def _shape(record: Record, reach: float = 1.0) -> Finding:
    """J* rises with sigma and comes to the variance as 1/sigma^2; it is near zero at the smallest sigma, and
    misses less than `reach` of the variance at the largest.
    """
    curve = readings.curve(record)
    slack = 3 * np.hypot(curve.share_error[1:], curve.share_error[:-1])
    ratio, error = curve.missing
    limit = abs(ratio - 1) < 0.05 + 3 * error
    text = (
        f"at σ = {curve.sigma[-1]:g} it misses {100 * (1 - curve.share[-1]):.2f} % of the variance, "
        f"{ratio:.3f} times as much as the Gaussian of the same covariance"
    )
    near = bool(curve.share[0] < 1e-3)
    also = [near, bool(1 - curve.share[-1] < reach)]
    return Finding(text, f"± {error:.1g}", verdict(every(np.diff(curve.share) >= -slack), limit, also=also))


def _far(record: Record) -> Finding:
    """The same on a grid that ends within 0.1 % of the variance."""
    return _shape(record, reach=1e-3)


def _area(record: Record) -> Finding:
    """The area under J*/sigma^2 over ln sigma is the entropy of the training set, ln N."""
    curve = readings.curve(record)
    off = minus(f"{100 * (curve.area / curve.entropy - 1):+.2f} %")
    text = f"{curve.area:.3f}, ln N = {curve.entropy:.3f} ({off})"
    return Finding(text, f"± {curve.area_stderr:.3f}", verdict(curve.holds, also=[curve.precise]))


def _order(record: Record) -> Finding:
    """sigma* of CIFAR-10 below that of 64 x 64 images: of the sets as they are, and of as many images."""
    others = companion(record, "loss_curve", {"dataset": "cifar10"})
    sizes = companion(record, "loss_sizes", {"dataset": "cifar10"})
    large, whole = map(readings.curve, (record, others))
    part = readings.part_of(sizes, large.n)
    if part is None:
        raise Unfit(f"no {record.profile} CIFAR-10 curve of {large.n:,} images yet", "missing")
    found = [f"{one.critical[0]:.2f} ({one.name})" for one in (whole, part, large)]
    held = [bool(one.critical[0] < large.critical[0]) for one in (whole, part)]
    return Finding(", ".join(found), "all at 1 % of the variance", verdict(*held))


def _size(record: Record) -> Finding:
    """sigma* falls with every step to more images of the same set."""
    whole = readings.curve(companion(record, "loss_curve", {"dataset": record.spec["dataset"]}))
    found = [readings.Group([one]) for one in (*readings.parts(record), whole)]
    middle, low, high = np.stack([one.critical for one in found], 1)
    text = ", ".join(f"{sigma:.2f} (N = {one.n:,})" for sigma, one in zip(middle, found, strict=True))
    ends = ", ".join(f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True))
    falls, apart = every(np.diff(middle) < 0), every(high[1:] < low[:-1])
    return Finding(text, f"95 %: {ends}", verdict(falls, also=[apart]))


def _tenth(record: Record) -> Finding:
    """sigma* of all images below that of random tenths of them, by the intervals of both."""
    all_of_it = companion(record, "loss_curve", {"dataset": record.spec["dataset"]})
    whole = readings.Group([readings.curve(all_of_it)])
    tenth = next((one for one in readings.groups(record) if one.n == whole.n // 10), None)
    if tenth is None or len(tenth.curves) < 2:
        raise Nothing(f"there are no two random parts of {whole.n // 10:,} images")
    found = [f"{one.critical[0]:.2f} (N = {one.n:,})" for one in (tenth, whole)]
    ends = [f"{one.critical[1]:.2f} to {one.critical[2]:.2f}" for one in (tenth, whole)]
    below = bool(whole.critical[2] < tenth.critical[1])
    return Finding(", ".join(found), f"95 %: {', '.join(ends)}", verdict(below))


def _classes(record: Record) -> readings.Classes:
    return readings.classes(record, companion(record, "loss_curve", {"dataset": record.spec["dataset"]}))


def _class_area(record: Record) -> Finding:
    """Given the class, the area under J*/sigma^2 over ln sigma is the mean of ln N_c."""
    found = _classes(record)
    error = found.given.area_stderr
    off = minus(f"{found.given.area - found.entropy:+.3f}")
    text = f"{found.given.area:.3f}, mean of ln N_c = {found.entropy:.3f} ({off})"
    return Finding(text, f"± {error:.3f}", verdict(found.holds, also=[found.precise]))


def _class_lower(record: Record) -> Finding:
    """Is the floor given the class surely above the other at no noise level, and surely below at most?"""
    found = _classes(record)
    apart, error = (one[found.matters] for one in found.apart)
    above, below = apart < -3 * error, apart > 3 * error
    text = f"of {len(apart)} levels, surely above at {above.sum()} and surely below at {below.sum()}"
    half = np.array([found.whole.at(0.5)])
    lower, its = (float(one[0]) for one in found.lower(half))
    aside = f"where the floor is half the variance, {100 * lower:.1f} ± {100 * its:.1f} % lower"
    return Finding(text, aside, verdict(every(~above), also=[most(below)]))


def _class_critical(record: Record) -> Finding:
    """Is sigma* given the class surely larger?"""
    found = _classes(record)
    pair = (readings.Group([found.whole]), readings.Group([found.given]))
    return _ordered(pair, ("without classes", "given the class"))


def _class_part(record: Record) -> Finding:
    """Is sigma* of a class surely smaller than that of as many images of all classes?"""
    found = _classes(record)
    sizes = companion(record, "loss_sizes", {"dataset": record.spec["dataset"]})
    n = int(found.sizes[0])
    part = readings.part_of(sizes, n)
    if part is None or (found.sizes != n).any():
        raise Unfit(f"no {record.profile} curve of as many images as are in each class", "missing")
    pair = (readings.Group([found.given]), readings.Group([part]))
    return _ordered(pair, (f"a class of {n:,}", f"{n:,} of all classes"))


def _ordered(pair: tuple[readings.Group, readings.Group], words: tuple[str, str]) -> Finding:
    """Is the first critical sigma below the second, by the intervals of both?"""
    found = (f"{one.critical[0]:.3f} ({word})" for one, word in zip(pair, words, strict=True))
    ends = (f"{one.critical[1]:.3f} to {one.critical[2]:.3f}" for one in pair)
    below = bool(pair[0].critical[2] < pair[1].critical[1])
    return Finding(", ".join(found), f"95 %: {', '.join(ends)}", verdict(below))


def _cdol(record: Record) -> Finding:
    """At each N/L: is the worst bias of cDOL with 4N/L below those of DOL and of SNIS?"""
    study = Study(record)
    lower = study.lower()
    dol, cdol, snis = (bounds(100 * one.min(), 100 * one.max(), 1, " %") for one in study.worst()[0].T)
    text = f"cDOL {cdol}, DOL {dol}, SNIS {snis} of the variance, for N/L {_span(study)}"
    return Finding(text, f"{lower.sum()} of {len(lower)} ratios", verdict(every(lower), most(lower)))


def _span(study: Study) -> str:
    return f"{study.ratios[0]} to {study.ratios[-1]}"


def _middle(record: Record) -> Finding:
    """Is DOL most biased at a level between the outermost ones, at each N/L?"""
    study = Study(record)
    at = study.worst_level()
    inside = (at > 0) & (at < len(study.sigma) - 1)
    where = bounds(study.sigma[at].min(), study.sigma[at].max(), 1)
    text = f"largest at σ = {where}, of levels from {study.sigma[0]:.1f} to {study.sigma[-1]:.1f}"
    return Finding(text, f"{inside.sum()} of {len(at)} ratios", verdict(every(inside), most(inside)))


def _sign(record: Record) -> Finding:
    """Is DOL surely below the optimal loss at more than half of the levels, and surely above it at none?"""
    study = Study(record)
    low, high = study.sides()
    count = len(study.sigma)
    text = (
        f"below by 2 standard errors at {bounds(count * low.min(), count * low.max(), 0)} of {count} levels, "
        f"above at {bounds(count * high.min(), count * high.max(), 0)}, for N/L {_span(study)}"
    )
    held = (low > 0.5) & (high == 0)
    return Finding(text, f"{held.sum()} of {len(held)} ratios", verdict(every(held), most(held)))


def _insensitive(record: Record) -> Finding:
    """Does the worst bias stay below twice that of the paper's C when C is half and twice of it?"""
    study = Study(record)
    around, ends = study.around()
    factor = around[:, 1:].max(1) / around[:, 0]
    better = (around[:, 1:].max(1) < ends.min(1)).all()
    text = (
        f"the worst bias with C = {PAPER_RULE / AROUND:g} and {PAPER_RULE * AROUND:g} N/L is at most "
        f"{', '.join(f'{one:.2f}' for one in factor)} times that with {PAPER_RULE:g} N/L, for N/L "
        f"{', '.join(map(str, study.ratios))}"
    )
    held = factor < LITTLE
    word = f"{held.sum()} of {len(held)} ratios"
    return Finding(text, word, verdict(every(held), most(held), also=[bool(better)]))


def _towards(record: Record) -> Finding:
    """Does the estimate go from DOL to SNIS as C grows, without a step back?"""
    study = Study(record)
    back, way = study.backward(), study.way()
    gone = [
        f"{bounds(100 * one.min(), 100 * one.max(), 0, ' %')} at σ = {study.sigma[place]:.1f}"
        for place, one in ((0, way[:, 0]), (-1, way[:, -1]))
    ]
    text = (
        f"largest step back beyond 3 errors: {100 * back.max():.2g} % of the variance; "
        f"part of the way at the largest C: {', '.join(gone)}"
    )
    held, there = back <= BACK, every(way[:, -1] >= THERE)
    word = f"{held.sum()} of {len(held)} ratios"
    return Finding(text, word, verdict(every(held), most(held), also=[there]))


def _explodes(record: Record) -> Finding:
    """At the smallest level, does SNIS scatter ten times as much as DOL: in our reading, in the paper's?"""
    study = Study(record)
    found = study.unsettled()
    each = (f"{bounds(one.min(), one.max(), 1)} (A from {word})" for word, one in found.items())
    bias = study.snis_at_least()
    text = f"scatter of SNIS over that of DOL at σ = {study.sigma[0]:.1f}: {', '.join(each)}"
    aside = f"its bias there is {bounds(100 * bias.min(), 100 * bias.max(), 1, ' %')} of the variance"
    return Finding(text, aside, verdict(*(every(one >= MUCH) for one in found.values())))


def _draws(record: Record) -> Finding:
    """Does A from the same draws take ten times fewer of them wherever the optimal loss is small?"""
    study = Study(record)
    saved, needed = draws_saved(study), draws_at_critical(study)
    text = (
        f"{bounds(saved.min(), saved.max())} times fewer; at 1 % of the variance "
        f"{needed['AB']:.2f} N in place of {needed['A-B']:.1f} N draws"
    )
    word = f"at {len(saved)} levels; numbers of draws are good to {100 * draws_error(study):.0f} %"
    return Finding(text, word, verdict(every(saved >= FEWER)))


def _theorem(record: Record) -> Finding:
    """Are A - B, the loss of the exact denoiser and the variance of its posterior one number?"""
    study = Study(record)
    apart, error = study.theorem()
    most_off = (np.abs(apart) / error).max(1)
    text = (
        f"at σ = {study.sigma[0]:g} to {study.sigma[-1]:g} the loss is off A − B by at most "
        f"{most_off[0]:.1f}, the variance of the posterior by at most {most_off[1]:.1f} standard errors"
    )
    large = float((error / study.truth).max())
    parts = (every(np.abs(one) <= 3 * its) for one, its in zip(apart, error, strict=True))
    word = f"errors up to {100 * large:.0f} % of the optimal loss"
    return Finding(text, word, verdict(*parts, also=[large < PRECISE]))


def _plain_correction(record: Record) -> Finding:
    """Is the best C within a factor 2 of 4N/L at each N/L, by the paper's measure and by two others?"""
    study = Study(record)
    criteria = study.criteria()
    core, *others = (best.within() for best in criteria)
    text = "; ".join(f"{best.word}: {', '.join(best.texts())}" for best in criteria)
    counts = ", ".join(f"{one.sum()}" for one in (core, *others))
    text = f"best C in units of N/L, for N/L {', '.join(map(str, study.ratios))}: {text}"
    interval = f"{counts} of {len(core)} within a factor 2"
    return Finding(text, interval, verdict(every(core), most(core), also=[every(one) for one in others]))


def _square_law(record: Record) -> Finding:
    """Is the best C about (N/L)^2: its log-log slope, and its value at small N/L?"""
    study = Study(record)
    low, high = study.growth_interval()
    bound = study.growth()[1]
    grows = 1.5 < low <= 2 <= high < 2.5 and not bound
    near = study.near_square()
    within = f"{'' if near else 'not '}within a factor 2 of (N/L)² up to N/L = 8"
    text = f"C grows as a power of {study.power()} of N/L; {within}"
    power = "" if bound else f"power {low:.2f} to {high:.2f} (95 %, repeats drawn again); "
    interval = f"{power}(N/L)² in the 90 % interval at {study.square_inside()} of {len(study.ratios)} ratios"
    return Finding(text, interval, verdict(grows, also=[near]))


def _dol_area(record: Record) -> Finding:
    """The area of DOL with L points is ln L, at each L."""
    areas = Study(record).areas()
    text = "; ".join(f"{one.dol:.3f}, ln {one.size:,} = {one.expected:.3f}" for one in areas)
    precise = [one.precise for one in areas]
    error = max(one.dol_error for one in areas)
    return Finding(text, f"± {error:.3f}", verdict(every([one.holds for one in areas]), also=precise))


def _spread(record: Record) -> Finding:
    """Does the scatter of the estimate rise from DOL to C = 16 N/L at ln sigma = 1.25, shared and fresh?"""
    (a, low_a), (b, low_b) = Study(record).wider()
    each = f"{a:.2f} (one subset for all draws), {b:.2f} (fresh ones)"
    text = f"scatter at {WIDE:g} N/L over that of DOL: {each}"
    return Finding(
        text, f"jackknife, 2 errors: above {low_a:.2f}, {low_b:.2f}", verdict(low_a > 1, low_b > 1)
    )


def _conversions(record: Record) -> Finding:
    """Is every target's loss that of x0 times its factor? The rows of x0 itself have nothing to show."""
    rows = [one for one in readings.conversions(record) if not one.trivial]
    differences = np.array([one.difference for one in rows])
    text = f"largest relative difference {power_of_ten(differences.max())}"
    where = f"{len(rows)} targets, {rows[0].measured.size} noise ratios each"
    return Finding(text, where, verdict(every(differences < 1e-6)))


CHECKS = {
    "xu-shape-digits": _shape,
    "xu-shape-cifar10": _shape,
    "xu-shape-imagenet64": _shape,
    "xu-shape-imagenet64-all": _far,
    "xu-shape-imagenet64-sample": _far,
    "xu-order": _order,
    "xu-size": _size,
    "xu-size-imagenet64": _tenth,
    "xu-cdol": _cdol,
    "xu-cdol-digits": _cdol,
    **{f"xu-dol-middle{end}": _middle for end in ("", "-digits")},
    **{f"xu-dol-sign{end}": _sign for end in ("", "-digits")},
    **{f"xu-insensitive{end}": _insensitive for end in ("", "-digits")},
    **{f"xu-consistent{end}": _towards for end in ("", "-digits")},
    **{f"xu-snis-small{end}": _explodes for end in ("", "-digits")},
    "xu-theorem-digits": _theorem,
    **{f"ours-draws{end}": _draws for end in ("", "-digits")},
    "xu-correction": _plain_correction,
    "xu-correction-digits": _plain_correction,
    "xu-spread": _spread,
    "xu-conversions": _conversions,
    "ours-area-digits": _area,
    "ours-area-cifar10": _area,
    "ours-area-imagenet64": _area,
    "ours-area-imagenet64-all": _area,
    "ours-area-imagenet64-sample": _area,
    **{f"ours-class-area-{name}": _class_area for name in CLASSED},
    **{f"ours-class-lower-{name}": _class_lower for name in CLASSED},
    **{f"ours-class-critical-{name}": _class_critical for name in CLASSED},
    "ours-class-part-cifar10": _class_part,
    "ours-correction": _square_law,
    "ours-correction-digits": _square_law,
    "ours-dol-area": _dol_area,
    "ours-dol-area-digits": _dol_area,
}
