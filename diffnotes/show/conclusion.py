"""What the four papers say together, sentence by sentence: each rests on claims, whose verdicts choose its
wording. No sentence says more than the rules of its claims do."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffnotes.show.labels import OPEN, VERDICTS
from diffnotes.show.tables import badge
from diffnotes.show.verdict import Claims, judged


@dataclass(frozen=True)
class Statement:
    """A sentence of the conclusion, in three versions, of which the verdicts of its claims choose one.

    `holds` where all that could be judged are reproduced, `fails` where none is, not even partly; `partly`
    else.
    """

    claims: tuple[str, ...]
    holds: str
    partly: str
    fails: str

    def text(self, claims: Claims) -> str:
        """The version for these claims; UserError for an id that none of them has."""
        verdicts = [c["verdict"] for c in judged(claims, *self.claims).claims if c["verdict"] not in OPEN]
        if not verdicts:
            return f"Not judged yet: {self.holds}"
        if all(word == "reproduced" for word in verdicts):
            return self.holds
        return self.fails if all(word == "not reproduced" for word in verdicts) else self.partly


class Conclusions:
    """Statements as a list, each with links to the claims that it rests on, by verdict."""

    def __init__(self, claims: Claims, statements: Sequence[Statement]) -> None:
        self.claims, self.statements = claims, statements

    def _repr_html_(self) -> str:
        return f'<ul class="dn-conclusions">{"".join(map(self._item, self.statements))}</ul>'

    def _item(self, one: Statement) -> str:
        chosen = judged(self.claims, *one.claims).claims
        groups = {word: [claim for claim in chosen if claim["verdict"] == word] for word in VERDICTS}
        links = [f"{badge(word)} {', '.join(map(_named, some))}" for word, some in groups.items() if some]
        text = html.escape(one.text(self.claims))
        return f'<li>{text}<br><span class="dn-small">{" ".join(links)}</span></li>'

    def __str__(self) -> str:
        return "\n".join(f"{one.text(self.claims)} [{', '.join(one.claims)}]" for one in self.statements)


def _named(claim: Mapping[str, str]) -> str:
    """'<a href="claims.html#xu-size" title="...">xu-size</a>'."""
    title = html.escape(claim["statement"], quote=True)
    return f'<a href="claims.html#{claim["id"]}" title="{title}">{claim["id"]}</a>'


def concluded(claims: Claims, *statements: Statement) -> Conclusions:
    """The statements with the verdicts of their claims. UserError for an id that is none."""
    judged(claims, *(name for one in statements for name in one.claims))
    return Conclusions(claims, statements)


# --------------------------------------------------------------------------------------------- the sentences

TARGET = (
    Statement(
        ("xu-shape-digits", "xu-shape-cifar10", "xu-shape-imagenet64"),
        "The training loss has a floor. It is near zero below a critical noise level σ*, and rises to the "
        "variance of the data above it.",
        "On some of the data the floor of the training loss is near zero below a critical noise level σ* and "
        "rises to the variance of the data above it.",
        "The floor of the training loss does not have the shape that paper 4 draws.",
    ),
    Statement(
        ("ours-area-digits", "ours-area-cifar10", "ours-area-imagenet64", "ours-area-imagenet64-all"),
        "The area under the floor is the logarithm of how many images there are, whatever they show.",
        "On some of the data the area of the floor is the logarithm of how many images there are.",
        "The area of the floor is not the logarithm of how many images there are.",
    ),
    Statement(
        ("xu-size", "xu-size-imagenet64"),
        "With more images σ* falls: what a denoiser can know by heart moves to smaller noise.",
        "On some of the data σ* falls with more images.",
        "σ* does not fall with more images.",
    ),
    Statement(
        ("ours-lens-same", "ours-lens-same-cifar10", "ours-gap-readings", "ours-gap-readings-cifar10"),
        "How far a network is above the floor is its distance from the machine that copies. Paper 4 calls it "
        "loss gap, paper 1 supervised error; measured apart they are one number.",
        "Loss gap (paper 4) and supervised error (paper 1) are one quantity in theory; measured apart they "
        "agree on a part of the data.",
        "Loss gap (paper 4) and supervised error (paper 1) are one quantity in theory; measured apart they "
        "do not agree, so one of the measurements is wrong.",
    ),
)
GAP = (
    Statement(
        ("xu-gap-peak", "xu-gap-peak-cifar10", "xu-gap-peak-imagenet32", "xu-gap-peak-imagenet64"),
        "Every network misses the floor most at intermediate noise, where the floor has just begun to rise.",
        "Networks miss the floor most at intermediate noise, where it has just begun to rise; but not every "
        "one of them.",
        "Our networks do not miss the floor most at intermediate noise.",
    ),
    Statement(
        ("ours-gap-population", "ours-gap-memorizer", "ours-gap-memorizer-cifar10"),
        "Closing that gap goes with memorizing. Where the truth is known, most of it near σ* is out of reach "
        "for a network that does not know its images; one that memorizes closes it, and pays with the loss "
        "on images that it has not seen.",
        "Closing that gap goes with memorizing, by a part of the rules.",
        "That to close this gap goes with memorizing could not be shown.",
    ),
    Statement(
        ("kaiser-toy-bump", "kaiser-toy-density"),
        "On points in the plane the gap between held-out and training error is a bump at intermediate noise, "
        "and denser points flatten it.",
        "On points in the plane the gap between held-out and training error is, in part, what paper 2 says.",
        "On points in the plane the gap between held-out and training error is not what paper 2 says.",
    ),
    Statement(
        ("kaiser-net-bump", "kaiser-net-bump-cifar10"),
        "That of networks is concentrated there, too.",
        "That of networks is concentrated there on some of the data.",
        "That of our networks is not concentrated there: it reaches down to the smallest noise.",
    ),
)
SAMPLER = (
    Statement(
        ("song-net-leaves", "song-net-leaves-cifar10"),
        "At small noise the sampler is not where the network was trained: its states are off the shells of "
        "noised training images.",
        "At small noise the sampler is, on some of the data, not where the network was trained.",
        "That at small noise the sampler is elsewhere than the network was trained, we do not see.",
    ),
    Statement(
        ("ours-net-control", "ours-net-control-cifar10", "ours-held-out-leaves"),
        "That alone is nothing special. Noised images that the network has not seen are as far off.",
        "That alone is hardly special. Noised images that the network has not seen are off as well, on some "
        "of the data as far.",
        "Noised images that the network has not seen are not as far off.",
    ),
    Statement(
        ("song-net-selective", "song-net-selective-cifar10"),
        "There the network underfits: it is farther from the machine that copies than where it was trained.",
        "There some networks underfit: they are farther from the machine that copies than where they were "
        "trained. Not all of ours are, by the rule.",
        "There our networks do not underfit more than where they were trained, by the rule.",
    ),
    Statement(
        ("song-net-extrapolated", "song-net-extrapolated-cifar10"),
        "With more compute it moves away still further.",
        "With more compute it moves away further on some of the data.",
        "That more compute drives it away further, as paper 1 finds on ImageNet, we do not see.",
    ),
    Statement(
        ("song-freedom-gaussian", "song-freedom-digits", "song-freedom-cifar"),
        "What is left free there keeps networks from copying: supervise the same score on a wider region, "
        "and they copy more.",
        "What is left free there keeps networks from copying, on some of the data: supervise the same "
        "score on a wider region, and they copy more.",
        "To supervise the same score on a wider region does not make networks copy more.",
    ),
)
TIME = (
    Statement(
        ("marion-part-digits", "marion-part-cifar", "marion-copies-digits", "marion-copies-cifar"),
        "Copies come late. First training and held-out loss part; samples are memorized later.",
        "In some of our trainings the losses part first, and samples are memorized later.",
        "That copies come late, we do not see.",
    ),
    Statement(
        ("marion-linear-digits", "marion-linear-cifar"),
        "The time until training begins to memorize grows in proportion to the number of images.",
        "The time until training begins to memorize grows with the number of images. That it does so in "
        "proportion holds by a part of the rule.",
        "The time until training begins to memorize does not grow in proportion to the number of images.",
    ),
    Statement(
        ("marion-size-fidelity-digits", "marion-size-fidelity-cifar"),
        "Before it, more images make better samples.",
        "Before it, more images make better samples, on some of the data or by a part of the rule.",
        "Before it, more images do not make better samples.",
    ),
    Statement(
        ("ours-halves", "ours-lens-halves", "ours-lens-halves-cifar10"),
        "And two networks that share no image make the same picture from one noise, until they memorize.",
        "And two networks that share no image make much the same picture from the same noise, by a part of "
        "the rules.",
        "Two networks that share no image do not make the same picture from the same noise.",
    ),
)
TOGETHER = (
    Statement(
        ("ours-lens-order", "ours-lens-order-cifar10"),
        "On the same checkpoints copies come after the gap between held-out and training error has opened, "
        "not with it.",
        "On the same checkpoints copies come after the gap between held-out and training error has opened; "
        "how much later, is not the same on all data or not known.",
        "On the same checkpoints the gap of held-out to training error does not open before copies come.",
    ),
    Statement(
        ("ours-lens-overlap", "ours-lens-overlap-cifar10"),
        "Every network that copies has its sampler where noised training images are, at σ*; so have others. "
        "One whose sampler is there at smaller noise copies.",
        "Where the sampler is tells something of whether a network copies, on some of the data.",
        "Where its sampler is does not tell whether a network copies.",
    ),
    Statement(
        ("ours-lens-watch", "ours-lens-watch-cifar10"),
        "The largest relative gap, which needs no sample, tells which checkpoints copy on training sets of "
        "other sizes, and does so better than the training loss or the clock.",
        "The largest relative gap, which needs no sample, tells which checkpoints copy on training sets of "
        "other sizes; but simpler numbers, as the training loss or the clock, are not surely worse.",
        "The largest relative gap does not tell which checkpoints copy on training sets of other sizes.",
    ),
    Statement(
        ("ours-lens-predicts", "ours-lens-predicts-cifar10"),
        "When copies will come is told by when the loss gap is halved.",
        "When copies will come is told by when the loss gap is halved, on some of the data.",
        "When copies will come is not told by when the loss gap is halved, as exactly as we had asked.",
    ),
)
USE = (
    Statement(
        ("xu-schedule-gap", "xu-schedule-gap-cifar10", "xu-schedule-frechet", "xu-schedule-frechet-cifar10"),
        "To train by the gap to the floor, as paper 4 does, gives a smaller gap and better samples.",
        "To train by the gap to the floor, as paper 4 does, gives a smaller gap or better samples on some of "
        "the data.",
        "To train by the gap to the floor, as paper 4 does, gave neither a smaller gap nor better samples in "
        "our small networks, at equal images seen.",
    ),
    Statement(
        ("xu-scaling-total", "xu-scaling-fit", "xu-scaling-sigma"),
        "To subtract the floor makes loss against compute a cleaner power law.",
        "To subtract the floor does not make loss against compute a cleaner power law by every rule.",
        "To subtract the floor does not make loss against compute a cleaner power law.",
    ),
    Statement(
        ("xu-cdol", "xu-cdol-digits"),
        "The floor can be estimated from few images: cDOL is less biased than what came before.",
        "The floor can be estimated from few images: by a part of the rule cDOL is less biased than what "
        "came before.",
        "cDOL is not less biased than what came before.",
    ),
)
ALL = (*TARGET, *GAP, *SAMPLER, *TIME, *TOGETHER, *USE)
