"""Every number that is taken off the records on extrapolation: read here, shown and judged elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.chapters.extrapolation import values
from diffnotes.show.labels import dataset
from diffnotes.store import Record

# A sample counts as memorized where m is below a limit, which the paper does not give. Ours: the nearest
# point is three times nearer than the root mean square of its neighbours. On a circle m compares with the
# second nearest alone, and unseen points come that close by chance, so there it is ten times nearer.
LIMIT, ON_CIRCLE, WIDER, LIMITS, FEW = 1 / 9, 1 / 100, 0.2, (0.01, 0.05, 1 / 9, 0.2, 1 / 3), 0.01
NETWORKS = {"mlp": "MLP", "unet": "U-Net", "dit": "transformer"}
CONTROLS = {
    "shell": "thicker shells", "balanced": "balanced", "perturbed": "moved points",
    "drawn": "importance sampling",
}  # fmt: skip
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


# ---------------------------------------------------------------------------------- freedom of extrapolation


def title(record: Record) -> str:
    """'digits', 'CIFAR-10, 16 × 16', 'Gaussian, 20 dimensions'."""
    name, side = dataset(record).removeprefix("a "), record.spec["side"]
    if record.spec["dataset"] == "gaussian":
        return f"{name}, {record.spec['dimension']} dimensions"
    return f"{name}, {side} × {side}" if side else name


def networks(record: Record) -> list[str]:
    """The kinds of networks, the one with the controls first."""
    return str(record.spec["networks"]).split()


def limit(record: Record) -> float:
    """Below it m counts as memorized."""
    return ON_CIRCLE if record.spec["dataset"] == "circle" else LIMIT


def few(record: Record) -> float:
    """What m of FEW of the unseen points is below, over all seeds."""
    return float(np.quantile(record["unseen"], FEW))


def places(record: Record, network: str, kind: str) -> np.ndarray:
    """Where the arms of a network and a kind stand, by their amounts."""
    named = np.flatnonzero((record["network"] == network) & (record["kind"] == kind))
    found: np.ndarray = named[np.argsort(record["amount"][named], kind="stable")]
    return found


def shares(record: Record, below: float | None = None, stop: int = -1) -> np.ndarray:
    """The memorization ratio [arm, seed]: the share of samples with m below the limit."""
    found: np.ndarray = (record["m"][:, :, stop] < (limit(record) if below is None else below)).mean(-1)
    return found


def baseline(record: Record, below: float | None = None) -> np.ndarray:
    """The same share of unseen points, which nobody has copied [seed]."""
    found: np.ndarray = (record["unseen"] < (limit(record) if below is None else below)).mean(-1)
    return found


@dataclass(frozen=True)
class RegionCurve:
    """The memorization ratio [size, seed] of one network against |D_region|/|D_score| [size]."""

    network: str
    ratio: np.ndarray
    share: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Over seeds [size]."""
        found: np.ndarray = self.share.mean(1)
        return found

    @property
    def gain(self) -> np.ndarray:
        """Largest region less smallest, paired by seed: mean and interval."""
        return over_seeds(self.share[-1] - self.share[0])

    @property
    def growth(self) -> np.ndarray:
        """The mean over all regions beyond D_score alone, less its own share [seed]: larger where it rises
        earlier."""
        found: np.ndarray = self.share[1:].mean(0) - self.share[0]
        return found

    @property
    def interval(self) -> np.ndarray:
        """Mean and interval over seeds of every size [size, 3]."""
        return np.stack([over_seeds(one) for one in self.share])


def rise(record: Record, network: str, below: float | None = None, stop: int = -1) -> RegionCurve:
    """The growing region of one network."""
    at = places(record, network, "region")
    return RegionCurve(network, record["amount"][at], shares(record, below, stop)[at])


def rises(record: Record, below: float | None = None) -> list[RegionCurve]:
    """Those of all networks."""
    return [rise(record, network, below) for network in networks(record)]


@dataclass(frozen=True)
class Control:
    """Shares [seed] of a control, of the region of D_score alone, and of the region of the same size."""

    share: np.ndarray
    alone: np.ndarray
    same: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """Over D_score alone, paired by seed: mean and interval."""
        return over_seeds(self.share - self.alone)

    @property
    def effect(self) -> np.ndarray:
        """Of the region of the same size: over D_score alone, paired by seed, mean and interval."""
        return over_seeds(self.same - self.alone)

    @property
    def less(self) -> np.ndarray:
        """Less the region of the same size, paired by seed: mean and interval."""
        return over_seeds(self.share - self.same)


def control(record: Record, kind: str, below: float | None = None) -> Control:
    """A control, of shells the thickest, and the largest region that is no larger than it."""
    first, found = networks(record)[0], shares(record, below)
    grown, amounts = places(record, first, "region"), record["amount"]
    same = grown[amounts[grown] <= record.spec["control"]][-1]
    return Control(found[places(record, first, kind)[-1]], found[grown[0]], found[same])


def distinct(record: Record, kind: str) -> np.ndarray:
    """The share of distinct ones among the centres of a control [seed]."""
    at = places(record, networks(record)[0], kind)[-1]
    found: np.ndarray = record["distinct"][at] / record["centres"][at]
    return found


def shells(record: Record, below: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the noise, 1 for the shells as they are, and shares [factor, seed]."""
    first, found = networks(record)[0], shares(record, below)
    at, alone = places(record, first, "shell"), places(record, first, "region")[0]
    return np.array([1.0, *record["amount"][at]]), np.stack([found[alone], *found[at]])


def quantiles(record: Record, network: str) -> np.ndarray:
    """QUANTILES of m over samples and seeds, against the ratio [size, quantile]."""
    m = record["m"][places(record, network, "region"), :, -1]
    return np.stack([np.quantile(one, QUANTILES) for one in m])


def unseen_quantiles(record: Record) -> np.ndarray:
    """The same of unseen points [quantile]."""
    found: np.ndarray = np.quantile(record["unseen"], QUANTILES)
    return found


def apart(record: Record, network: str) -> np.ndarray:
    """Distance of the network to its target around unseen points over that around D_score, means over seeds
    and levels of both, against the ratio [size]."""
    found = record["apart"][places(record, network, "region"), :, -1].mean((1, 3))
    ratio: np.ndarray = found[:, 1] / found[:, 0]
    return ratio


def ends(record: Record, network: str) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(ratio, samples, their nearest points) of the first seed, for D_score alone and the largest region."""
    at = places(record, network, "region")[[0, -1]]
    return [(float(record["amount"][k]), record["sheet"][k], record["near"][k]) for k in at]


# --------------------------------------------------------------------------------------------- the two forms


@dataclass(frozen=True)
class Agreement:
    """How far the two forms lie apart, in standard errors [seed, stop], and variance drawn over exact."""

    loss: np.ndarray
    slope: np.ndarray  # [seed, stop, direction]
    variance: np.ndarray
    rest: np.ndarray

    @property
    def largest(self) -> float:
        """Of all comparisons, in standard errors."""
        return float(max(np.abs(self.loss).max(), np.abs(self.slope).max()))

    @property
    def count(self) -> int:
        """How many comparisons there are."""
        return self.loss.size + self.slope.size


def agreement(record: Record) -> Agreement:
    """Batches are paired: both forms meet the same noisy points."""
    loss, slope, spread = record["loss"], record["slope"], record["spread"]
    gaps = loss[:, :, 1] - loss[:, :, 0] - record["rest"]
    return Agreement(
        _errors(gaps), _errors(np.moveaxis(slope[:, :, 1] - slope[:, :, 0], 2, -1)),
        spread[:, :, 1] / spread[:, :, 0], record["rest"].mean(-1) / loss[:, :, 1].mean(-1),
    )  # fmt: skip


def _errors(gaps: np.ndarray) -> np.ndarray:
    """The mean over the last axis, in its standard errors."""
    count = gaps.shape[-1]
    found: np.ndarray = gaps.mean(-1) / (gaps.std(-1, ddof=1) / count**0.5)
    return found


# ------------------------------------------------------------------------------------------------ perception

ALIGNED = {"polar": ("mlp", "polar"), "kernel": ("kernel", "polar"), "radial": ("mlp", "radial")}
FILLED = ("polar", "radial")  # pairs of which the paper's aligned one fills the good gaps
VARIANTS = {
    ("mlp", "plain"): "MLP, plain", ("mlp", "polar"): "MLP, polar", ("mlp", "radial"): "MLP, radial",
    ("kernel", "plain"): "kernel, plain", ("kernel", "polar"): "kernel, polar",
}  # fmt: skip


def variants(record: Record) -> list[tuple[str, str]]:
    """(kind, coordinates) of every variant."""
    return list(zip(map(str, record["kind"]), map(str, record["coordinates"]), strict=True))


def settings(record: Record, kind: str) -> list[float]:
    """What was varied: widths of an MLP, or of a kernel."""
    return [float(one) for one in record.spec["widths" if kind == "mlp" else "kernels"]]


def gap_share(record: Record, variant: tuple[str, str], place: str) -> np.ndarray:
    """The share of samples at one of the places [setting, seed]."""
    which = list(map(str, record["place"])).index(place)
    found: np.ndarray = record["share"][variants(record).index(variant), :, :, which]
    return found


def gap_interval(record: Record, variant: tuple[str, str], place: str) -> np.ndarray:
    """Mean and interval over seeds [setting, 3]."""
    return np.stack([over_seeds(one) for one in gap_share(record, variant, place)])


def moved(record: Record, pair: str, place: str) -> np.ndarray:
    """Share of the aligned denoiser less that of the plain one, paired by seed [setting, 3]."""
    kind, coordinates = ALIGNED[pair]
    change = gap_share(record, (kind, coordinates), place) - gap_share(record, (kind, "plain"), place)
    return np.stack([over_seeds(one) for one in change])


def plain_share(record: Record, pair: str, place: str) -> float:
    """Share of the plain denoiser of a pair, at the first setting, in the mean over seeds."""
    return float(gap_share(record, (ALIGNED[pair][0], "plain"), place)[0].mean())


def off(record: Record, variant: tuple[str, str]) -> np.ndarray:
    """Distance to the exact denoiser at noised points, at each level, at the first setting [level]."""
    found: np.ndarray = record["off"][variants(record).index(variant), 0].mean(0)
    return found


def spots(record: Record, variant: tuple[str, str], setting: int = 0) -> np.ndarray:
    """Samples [k, 2] of the first seed."""
    found: np.ndarray = record["x"][variants(record).index(variant), setting]
    return found


# ------------------------------------------------------------------------------------- the paper's values


@dataclass(frozen=True)
class Line:
    """A line through the points of a recipe in figure 7; every number with its interval [3]. Slopes are in
    FID per 0.01 of the loss."""

    name: str
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    fid: np.ndarray
    slope: np.ndarray
    within: np.ndarray
    between: np.ndarray
    curvature: np.ndarray

    @property
    def straight(self) -> bool:
        """Whether the interval of the curvature holds 0."""
        return bool(self.curvature[1] <= 0 <= self.curvature[2])

    @property
    def one_slope(self) -> bool:
        """Whether the slope through all points lies in the interval of that within sizes."""
        return bool(self.within[1] <= self.slope[0] <= self.within[2])

    def at(self, loss: np.ndarray) -> np.ndarray:
        """The line."""
        found: np.ndarray = self.fid[0] + 100 * self.slope[0] * (loss - values.AT)
        return found


def lines(record: Record) -> list[Line]:
    """Those of all recipes."""
    found = []
    for place, name in enumerate(map(str, record["recipe"])):
        x, y, size = record["fid_points"][place][~np.isnan(record["fid_points"][place][:, 0])].T
        slope, within, between = (record[kind][place] / 100 for kind in ("slope", "within", "between"))
        curvature = record["curvature"][place]
        found.append(Line(name, x, y, size, record["fid"][place], slope, within, between, curvature))
    return found


def lower_by(record: Record, repa: bool) -> dict[str, np.ndarray]:
    """'U-Net below transformer' -> FID by which the second line lies lower, with its interval [3].

    Neighbours in the order that the paper claims, of the architectures, or of the weights of REPA."""
    pairs = [tuple(map(str, pair)) for pair in record["pair"]]
    wanted = [k for k, (first, _) in enumerate(pairs) if first.startswith("REPA") == repa]
    chain = [k for k in wanted if _next(pairs[k], record)]
    return {f"{pairs[k][1]} below {pairs[k][0]}": record["lower_by"][k] for k in chain}


def _next(pair: tuple[str, ...], record: Record) -> bool:
    names = list(map(str, record["recipe"]))
    return names.index(pair[1]) - names.index(pair[0]) == 1


def repa_changes(record: Record) -> dict[str, np.ndarray]:
    """'REPA 1' -> what REPA with this weight adds to loss and FID, at each size and step [point, 2]."""
    plain, *others = [one for one in lines(record) if one.name.startswith("REPA")]
    return {one.name: np.stack([one.x - plain.x, one.y - plain.y], 1) for one in others}


def repa_costs(record: Record) -> np.ndarray:
    """What it adds to the loss as a part of the loss without, over weights, sizes and steps."""
    plain = next(one for one in lines(record) if one.name.startswith("REPA"))
    return np.concatenate([one[:, 0] / plain.x for one in repa_changes(record).values()])


def growth(record: Record) -> np.ndarray:
    """Figure 3: relative change of the supervised and the extrapolated error for each factor of 10 in
    compute, with intervals [2, 3]."""
    found: np.ndarray = record["scale_slope"] * np.log(10)
    return found


def repa_ratio(record: Record) -> np.ndarray:
    """Figure 6: the change of the score outside over that inside, mean over sizes and interval [3]."""
    found: np.ndarray = record["repa_ratio"]
    return found
