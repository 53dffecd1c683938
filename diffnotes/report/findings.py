"""What a report says: rules from numbers to sentences. Numpy alone.

Each finding has a word (good, look, bad, open), one sentence with its numbers, what to try next, and where
that is from. The first one is the answer: what matters most comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diffnotes.base.statistics import wide

GOOD, LOOK, BAD, OPEN = "good", "look", "bad", "open"
KINDS = ("images", "denoises", "copies", "overfits", "underfits", "samples", "path")

TRIVIAL = 1.1  # times the loss of what needs no network, from which on a prediction denoises nothing
MEANT = 0.8  # of the loss: what it falls to, told another noise level, if the model means another number
LITTLE = 0.02  # by which the loss must be below that of a multiple of the noisy image
ABOVE = 1.1  # times the loss of a linear denoiser, from which on the model underfits
TIGHT = 0.8  # of that loss: an optimum from which on it says what a network should reach
NEAR = 0.2  # of that loss: an optimum from which on it is a measure of how far a loss is
APART = 0.1  # relative gap, from which on the model overfits
FAR = 5.0  # times the distance of training images, from which on samples are far from real ones
FEW = 0.02  # a share of copies that is none to speak of

XU = "Xu et al., arXiv 2506.13763"
KAISER = "Kaiser & Kollmann, arXiv 2603.13419"
MARION = "Marion & Wu, arXiv 2605.06077"
BONNAIRE = "Bonnaire et al., arXiv 2505.17638"
SONG = "Song et al., arXiv 2510.01378"

Numbers = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Remark:
    """One thing that a report says."""

    kind: str
    word: str
    text: str
    advice: str = ""
    source: str = ""


def findings(found: Numbers) -> tuple[Remark, ...]:
    """All findings, the one that matters most first."""
    blind = _denoises(found)
    every = [_images(found), blind, _copies(found)]
    if blind.word != BAD:  # otherwise losses say nothing of learning
        every += [_overfits(found), _underfits(found)]
    every += [_samples(found), _path(found)]
    said = [one for one in every if one is not None]
    return tuple(sorted(said, key=lambda one: (_weight(one), KINDS.index(one.kind))))


def _weight(one: Remark) -> float:
    """What comes first: what makes the rest void, then what is bad or may be, then what is fine, of that how
    far the loss is from its optimum, then what is open."""
    about_all = one.kind in ("images", "denoises")
    if one.word == BAD:
        return 0 if about_all else 1
    if one.kind == "underfits" and one.word == GOOD:
        return 3
    if one.kind == "denoises" and one.word == LOOK:  # that it underfits says more
        return 2.5
    return {LOOK: 2, GOOD: 4, OPEN: 5}[one.word] + (2 if about_all else 0)


# --------------------------------------------------------------------------------------------------- images


def _images(found: Numbers) -> Remark:
    """Whether images lie in the training set twice, and whether held-out ones lie in it."""
    count, own = int(found["train_count"]), found["train_apart"]
    limit = float(found["same_within"])
    twice = int((own < limit).sum())
    text = f"{count:,} training images"
    if "held_apart" in found:
        held = found["held_apart"]
        shared = int((held < limit).sum())
        text += f", {int(found['held_count']):,} held-out ones"
        if shared:
            return Remark(
                "images", BAD,
                f"Held-out images lie in the training set: {shared:,} of {len(held):,} that were looked at "
                "are training images, or the same but for a little noise. So losses on them are partly "
                "training losses, and no control.",
                "Take these out of the held-out images, and run it again.", "",
            )  # fmt: skip
    if twice:
        return Remark(
            "images", LOOK,
            f"{twice:,} of {len(own):,} training images that were looked at have a double among the training "
            f"images ({text}). A double is memorized sooner.",
            "Remove doubles before training.", "Somepalli et al., arXiv 2305.20086",
        )  # fmt: skip
    return Remark("images", GOOD, f"{text}; no two that were looked at are the same.")


# ------------------------------------------------------------------------------------------------ denoising


def plain(found: Numbers) -> np.ndarray:
    """The loss of the best multiple of the noisy image, about the mean: s^2 v/(s^2 + v) [l]."""
    sigma, v = found["sigma"], float(found["variance"])
    result: np.ndarray = sigma**2 * v / (sigma**2 + v)
    return result


def _denoises(found: Numbers) -> Remark:
    """Whether predictions are better than a multiple of the noisy image, which needs no network, and whether
    the model means by a noise level what it is told."""
    loss, error = found["train_loss"], found["train_loss_stderr"]
    trivial = np.minimum(found["sigma"] ** 2, float(found["variance"]))
    worse = loss - 2 * error > TRIVIAL * trivial
    check = "Check the prediction target, the range of pixels, and what the model takes for the noise level."
    if worse.mean() > 0.5:
        return Remark(
            "denoises", BAD,
            f"Predictions do not denoise: at {int(worse.sum())} of {len(worse)} noise levels they are "
            f"farther from the images than the noisy image itself or a constant. {_why(found)}", check,
        )  # fmt: skip
    factor, better = _meant(found)
    if better < MEANT:
        return Remark(
            "denoises", BAD,
            f"The model takes another number for the noise level: told {factor:g} times the level that is "
            f"there, its loss is {_times(better)} as large.", check,
        )  # fmt: skip
    share = 1 - float(np.median(loss / plain(found)))
    if 1 - share - 2 * float(np.median(error / plain(found))) > TRIVIAL:
        return Remark(
            "denoises", BAD,
            "Predictions are worse than a multiple of the noisy image: in the median over noise levels their "
            f"loss is {_percent(1 - share)} of its loss. {_why(found)}", check,
        )  # fmt: skip
    if share < LITTLE:
        return Remark(
            "denoises", LOOK,
            "Predictions denoise little: in the median over noise levels their loss is "
            f"{_percent(1 - share)} of that of the best multiple of the noisy image.",
            f"{check} Then train longer.",
        )  # fmt: skip
    return Remark(
        "denoises", GOOD,
        f"Predictions denoise: in the median over noise levels their loss is {_percent(share)} below that of "
        "the best multiple of the noisy image.",
    )  # fmt: skip


def _meant(found: Numbers) -> tuple[float, float]:
    """The factor of the noise level with which the model does best, and its loss over that of what is told:
    the geometric mean over the levels where it errs at all."""
    rows, factors = found["probe_loss"], found["probe_factor"]
    own = int(np.flatnonzero(factors == 1)[0])
    least = 1e-3 * np.minimum(found["probe_sigma"] ** 2, float(found["variance"]))[:, None]
    known = rows[:, own] > 10 * least[:, 0]
    if not known.any():
        return 1.0, 1.0
    ratio = np.exp(np.log(np.maximum(rows, least) / rows[:, [own]])[known].mean(0))
    at = int(ratio.argmin())
    return float(factors[at]), float(ratio[at])


def _why(found: Numbers) -> str:
    """What would make predictions better: another noise level, another scale and offset; or nothing known."""
    factor, better = _meant(found)
    if better < 0.5:
        return f"Told {factor:g} times the noise level, it does far better: it may mean another number."
    slope, offset, left = np.median(found["probe_fit"], axis=0)
    if left > 0.5:
        return "No other noise level and no other scale mends it."
    if abs(slope - 2) < 0.3 and abs(offset + 1) < 0.3:
        return "Twice them, less 1, would fit: the model works on pixels in [0, 1]."
    plus = f" {'plus' if offset > 0 else 'less'} {abs(offset):.2g}" if abs(offset) > 0.05 else ""
    return (
        f"Times {slope:.2g}{plus} they would fit best: the model may work on another range of pixels, or "
        "predict another thing."
    )


# --------------------------------------------------------------------------------------------------- copies


def _copies(found: Numbers) -> Remark | None:
    """How many samples are training images, and how many would be by chance."""
    if "copies" not in found:
        return None
    share, low, high = found["copies"]
    count, control = len(found["rho"]), found["control"]
    among = "" if "held_count" in found else " (training images among the others)"
    by_chance = f"control {_percent(control[0])}{among}"
    said = f"{_percent(share)} of {count:,} samples {_span(low, high)}, {by_chance}"
    if low > control[2]:
        return Remark(
            "copies", BAD, f"Samples are training images: {said}.",
            "Stop training earlier, or take more images: copies begin at a step that grows with their "
            "number. Look at the pictures below before you publish.", f"{MARION}; {BONNAIRE}",
        )  # fmt: skip
    if share > control[0]:
        return Remark(
            "copies", LOOK, f"Some samples may be training images: {said}; it may be chance.",
            "Look at them: they stand below, above the images that they are nearest to. More samples tell "
            "more.", MARION,
        )  # fmt: skip
    if high <= FEW:
        return Remark("copies", GOOD, f"No sign of copies: {said}.")
    more = int(np.ceil(high / FEW))
    return Remark(
        "copies", OPEN,
        f"Few copies if any, but too few samples to exclude {_percent(FEW)}: {said}.",
        f"Make {more} times the samples.", "",
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- losses


def relative_gap(found: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """G = held-out over training loss, less 1, and its standard error over images [l]."""
    least = 1e-12 * float(found["variance"])  # of a loss that is 0, as that of the optimum at small noise
    train, held = np.maximum(found["train_loss"], least), found["held_loss"]
    ratio = held / train
    error = ratio * np.hypot(found["train_loss_stderr"] / train, found["held_loss_stderr"] / held)
    return ratio - 1, error


def _overfits(found: Numbers) -> Remark:
    """Whether the loss on images that it was not trained on is larger."""
    if "held_loss" not in found:
        return Remark(
            "overfits", OPEN,
            "Whether it overfits cannot be told without images that it was not trained on.",
            "Keep some images out of training and give them as held-out images.", KAISER,
        )  # fmt: skip
    gap, error = relative_gap(found)
    error = error * wide(int(found["held_count"]) - 1) / 2  # so that 2 of it are Student's interval
    sure = gap - 2 * error > APART
    top = int(np.where(sure, gap, -np.inf).argmax()) if sure.any() else int(gap.argmax())
    most = f"{_times(1 + gap[top])} the training loss at sigma {found['sigma'][top]:.2g}"
    if sure.any():
        where = _levels(found["sigma"], sure)
        return Remark(
            "overfits", BAD if (gap[sure] > 1).any() else LOOK,
            f"It overfits at sigma {where}: the held-out loss is {most}.",
            "More training widens this gap. Stop at the checkpoint with the least held-out loss at these "
            "noise levels; the total loss hides it.", KAISER,
        )  # fmt: skip
    if (gap + 2 * error < APART).all():
        return Remark("overfits", GOOD, f"No sign of overfitting: the held-out loss is at most {most}.")
    open_ = gap + 2 * error >= APART
    need = np.max(np.where(open_, (2 * error / np.maximum(np.abs(APART - gap), 0.1 * APART)) ** 2, 0.0))
    return Remark(
        "overfits", OPEN, f"Whether it overfits by more than {_percent(APART)} cannot be told.",
        f"It needs about {max(2, int(np.ceil(need)))} times the held-out images, and of the noisy images "
        "(draws) where these are fewer.", "",
    )  # fmt: skip


def _underfits(found: Numbers) -> Remark:
    """Where a linear denoiser would do better, which knows no image by heart; and else how near the loss is
    to the optimum, where that is no matter of knowing images by heart."""
    sigma, loss, error = found["sigma"], found["train_loss"], found["train_loss_stderr"]
    best, linear = np.maximum(found["optimum"], 1e-12 * float(found["variance"])), found["linear"]
    sure = loss - 2 * error > ABOVE * linear
    if sure.any():
        top = int(np.where(sure, loss / linear, 0).argmax())
        at = f"at sigma {sigma[top]:.2g} " if sure.sum() > 1 else ""
        known = best[top] > NEAR * linear[top]  # else the optimum is that of a copy, and no measure
        against = "the optimum" if known else "that of a linear denoiser"
        other = best[top] if known else linear[top]
        more = f"; a linear denoiser has {linear[top]:.3g}" if known else ""
        return Remark(
            "underfits", LOOK,
            f"It underfits at sigma {_levels(sigma, sure)}: {at}the loss is "
            f"{_times(loss[top] / other)} {against} ({loss[top]:.3g} against {other:.3g} per "
            f"dimension{more}).",
            "There the loss can still fall. Give these noise levels more weight or more of the batches, or "
            "predict x0, F or v in place of eps, which is worst at large noise.", XU,
        )  # fmt: skip
    tight = best > TIGHT * linear
    if not tight.any():
        return Remark("underfits", OPEN, "Nowhere does the optimum say what a network should reach.")
    ratio = loss / best
    worst = int(np.where(tight, ratio, 0).argmax())
    if (np.where(tight, (loss + 2 * error) / best, 0) > ABOVE / TIGHT).any():
        return Remark(
            "underfits", OPEN,
            f"Whether it has converged at sigma {_levels(sigma, tight)} cannot be told: the loss is up to "
            f"{_times(ratio[worst])} the optimum, and known to {_percent(2 * error[worst] / loss[worst])}.",
            "Take more noisy images (draws).", XU,
        )  # fmt: skip
    return Remark(
        "underfits", GOOD,
        f"It has converged at sigma {_levels(sigma, tight)}: the loss is at most {_times(ratio[worst])} the "
        f"optimum ({loss[worst]:.3g} against {best[worst]:.3g} per dimension at sigma {sigma[worst]:.2g}).",
        "At smaller noise the optimum of a finite set is near 0, and only a copy of the training set has it: "
        "no goal to reach.", XU,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- samples


def _samples(found: Numbers) -> Remark | None:
    """How far samples are from real images, in units of what training images are."""
    space = "feature" if "feature_frechet_sample_train" in found else "pixel"
    if f"{space}_frechet_sample_train" not in found:
        return None
    count = int(found["distance_count"])
    other = "held" if f"{space}_frechet_sample_held" in found else "train"
    mine = float(found[f"{space}_frechet_sample_{other}"])
    which, seen = "held-out" if other == "held" else "training", f"{space}s"
    text = f"Fréchet distance of {count:,} samples to {which} images in {seen}: {mine:.3g}"
    if other == "held":
        floor = float(found[f"{space}_frechet_train_held"])
        text += f", {_times(mine / max(floor, 1e-12))} that of as many training images ({floor:.3g})"
    if other == "held" and mine > FAR * floor:
        return Remark(
            "samples", LOOK, f"Samples are far from real images: {text}.",
            "Look at them. Longer training or a larger network may bring them nearer; so does copying.",
        )  # fmt: skip
    return Remark("samples", GOOD if other == "held" else OPEN, f"{text}.")


def _path(found: Numbers) -> Remark | None:
    """Where the sampler is off the noised training images, and how far the model is from the optimum."""
    if "path_ratio" not in found:
        return None
    sigma, mine, known = found["path_sigma"], found["path_ratio"], found["known_ratio"]
    low, high = np.quantile(known, [0.01, 0.99], axis=1)
    outside = ((mine < low[:, None]) | (mine > high[:, None])).mean(1)
    often = np.flatnonzero(outside >= 0.5)
    if not len(often):
        return Remark(
            "path", GOOD, "Along its way the sampler stays where noised training images are.", "", SONG
        )
    top = int(often[sigma[often].argmax()])
    apart, there = found["path_gap"][top].mean(), found["known_gap"][top].mean()
    return Remark(
        "path", GOOD,
        f"From sigma {sigma[top]:.2g} on, {_percent(outside[top])} of the states of the sampler lie where at "
        f"most 2 % of noised training images do; there the model is {_times(apart / max(there, 1e-12))} as "
        "far from the optimal answer as at noised training images.",
        "There it extrapolates: what it does is not told by any training loss.", SONG,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- words


def _percent(share: float) -> str:
    value = 100 * float(share)
    return f"{value:.0f} %" if value >= 9.5 or value == 0 else f"{value:.1f} %"


def _span(low: float, high: float) -> str:
    """'[1, 7]', in percent."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def _times(ratio: float) -> str:
    if ratio >= 1000:
        return "over 1,000 times"
    return f"{ratio:.2g} times" if ratio < 99.5 else f"{ratio:.0f} times"


def _levels(sigma: np.ndarray, which: np.ndarray) -> str:
    """'0.02, and 0.2 to 3': the runs of neighbouring levels."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(int)))
    ends = [(f"{sigma[a]:.2g}", f"{sigma[b - 1]:.2g}") for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return ", and ".join(low if low == high else f"{low} to {high}" for low, high in ends)
