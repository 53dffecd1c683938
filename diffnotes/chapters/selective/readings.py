"""What the chapter takes off the records of `selective_digits` and `selective_cifar`: each number is read
here, once.

Arrays of the ladder have axes [width, seed, snapshot, ...], those of the contrast, `tiny_...`, [seed,
snapshot, ...]. Errors are squared, per dimension, of the denoiser, in the mean over t uniform in (0, 1), and
against the exact denoiser of the class. An interval is [mean, low, high] over seeds, at 95 %. Seeds share the
training set and the network of the common trajectories, so intervals are for these.
"""

from __future__ import annotations

import numpy as np

from diffnotes.base.statistics import over_seeds
from diffnotes.store import Record

# The authors' values, measured off the drawings of their figures 1b, 2, 3 and 4 (ImageNet latents, SiT).
PAPER_COMPUTE = (4.37e8, 6.56e8, 8.74e8, 1.62e9, 2.43e9, 3.24e9, 5.64e9, 8.46e9, 1.13e10, 1.65e10)  # GFLOP
PAPER_SUPERVISED = (
    0.18842, 0.18787, 0.18748, 0.18655, 0.18593, 0.18566, 0.18493, 0.18431, 0.18374, 0.18339,
)  # fmt: skip
PAPER_EXTRAPOLATED = (
    0.53336, 0.53374, 0.53394, 0.53441, 0.53465, 0.53474, 0.53488, 0.53511, 0.53538, 0.53588,
)  # fmt: skip
PAPER_WIDEST = 0.31  # where its median learned gap, as one of denoisers, is largest on trajectories
PAPER_RANGE = PAPER_COMPUTE[-1] / PAPER_COMPUTE[0]  # of compute: 38

TRAINING, COMMON, OWN = range(3)  # `point`: noised training images, common trajectories, own trajectories
TOLD, UNTOLD = range(2)  # whether network and exact denoiser are told the class
UNTRAINED, GAUSSIAN = range(2)  # denoisers that need no training
LOW, MEDIAN, HIGH = 0, 2, 4  # of the quantiles of distance ratios: 5, 50 and 95 %
MIDDLE = 1  # of the quantiles of gaps between classes: 10, 50 and 90 %
LATE = 2  # snapshots at the end that trends over compute are taken from
SMALL = 1 / 3  # times below it are small
MIDRANGE = (0.2, 0.7)  # times where distance ratios are informative
BEYOND = 4.0  # the largest squared difference of two images, per dimension: values lie in [-1, 1]
COPIED = 1 / 3  # of rho; below it a sample counts as memorized
FORWARD_AND_BACK = 3  # operations of a training step over those of a forward pass


# ------------------------------------------------------------------------------------------------- the runs


def dimensions(record: Record) -> int:
    """Numbers of an image."""
    return int(np.prod(record["shown_state"].shape[3:]))


def sizes(record: Record) -> list[str]:
    """'12,345 parameters' of every network of the ladder."""
    return [f"{count:,} parameters" for count in record["parameters"]]


def training_compute(record: Record) -> np.ndarray:
    """Floating-point operations of training so far [width, snapshot]."""
    per_step = FORWARD_AND_BACK * record.spec["batch"] * record["flops"].astype(float)
    return per_step[:, None] * record["step"]


def small(record: Record) -> np.ndarray:
    """Which times are small [l]."""
    return record["t"] < SMALL


def midrange(record: Record) -> np.ndarray:
    """Which times are in MIDRANGE [l]."""
    return (record["t"] >= MIDRANGE[0]) & (record["t"] <= MIDRANGE[1])


# --------------------------------------------------------------------------------------------------- errors


def error(record: Record, point: int, told: int = TOLD, prefix: str = "") -> np.ndarray:
    """Error at `point` in the mean over t [width, seed, snapshot]; of the contrast [seed, snapshot]. On own
    trajectories it is that of the median one, told the class: now and then one of a small network runs away.
    """
    if point == OWN:
        if told != TOLD:
            raise ValueError("On own trajectories, errors are kept for networks that are told the class.")
        found: np.ndarray = np.median(record[f"{prefix}error_each"][..., OWN, :], -1)
        return found
    return record[f"{prefix}error"][..., point, told, :].mean(-1)


def runaways(record: Record) -> np.ndarray:
    """Share of own trajectories of the last snapshot whose error is beyond that of any two images [width,
    seed]."""
    found: np.ndarray = (record["error_each"][:, :, -1, OWN] > BEYOND).mean(-1)
    return found


def error_by_t(record: Record, point: int, told: int = TOLD, prefix: str = "") -> np.ndarray:
    """Error at `point` at the last snapshot [width, seed, l]; of the contrast [seed, l]."""
    return record[f"{prefix}error"][..., -1, point, told, :]


def guide_error(record: Record, guide: int, point: int, told: int = TOLD) -> np.ndarray:
    """The same of a denoiser that needs no training, in the mean over t [seed]."""
    return record["guide"][:, guide, point, told].mean(-1)


def velocity_error(record: Record, told: int = TOLD, prefix: str = "") -> np.ndarray:
    """Error at noised training images of the velocity, in the mean over t: the paper's unit. The factor is
    1/t^2 at each t. [width, seed, snapshot]; on trajectories its mean over t has no limit."""
    return (record[f"{prefix}error"][..., TRAINING, told, :] / record["t"] ** 2).mean(-1)


def guide_velocity_error(record: Record, guide: int, told: int = TOLD) -> np.ndarray:
    """The same of a denoiser that needs no training [seed]."""
    return (record["guide"][:, guide, TRAINING, told] / record["t"] ** 2).mean(-1)


def excess(record: Record, point: int, prefix: str = "") -> np.ndarray:
    """How many times larger the last error is at `point` than at noised training images [width, seed]; of the
    contrast [seed]."""
    ratio = error(record, point, prefix=prefix) / error(record, TRAINING, prefix=prefix)
    return ratio[..., -1]


def beyond_gaussian(record: Record, point: int) -> np.ndarray:
    """`excess` over that of the Gaussian denoiser [width, seed]: above 1 where a network has come closer to
    the exact denoiser at noised training images than at `point`, both measured by the Gaussian one. On own
    trajectories the Gaussian one's error is that on the common ones."""
    known, far = (guide_error(record, GAUSSIAN, place) for place in (TRAINING, COMMON))
    return excess(record, point) / (far / known)


def slopes(record: Record, point: int) -> np.ndarray:
    """The slope of ln error on log10 of training compute [seed], over all widths at the last LATE
    snapshots."""
    cost = np.log10(training_compute(record)[:, -LATE:]).ravel()
    logs = np.log(error(record, point)[:, :, -LATE:])
    return np.array([np.polyfit(cost, logs[:, seed].ravel(), 1)[0] for seed in range(logs.shape[1])])


def trend(record: Record, point: int) -> np.ndarray:
    """Of that slope, as the relative change of the error over PAPER_RANGE of compute, in per cent."""
    found = over_seeds(slopes(record, point))
    return 100 * np.expm1(found * np.log10(PAPER_RANGE))


def paper_trend(values: tuple[float, ...]) -> float:
    """The same of the paper's ten points, which have no seeds."""
    slope = np.polyfit(np.log10(PAPER_COMPUTE), np.log(values), 1)[0]
    return float(100 * np.expm1(slope * np.log10(PAPER_RANGE)))


def change(record: Record, point: int) -> np.ndarray:
    """From the smallest network to the largest, at the last snapshot, in per cent; paired by seed."""
    last = np.log(error(record, point)[:, :, -1])
    return 100 * np.expm1(over_seeds(last[-1] - last[0]))


# ------------------------------------------------------------------------------------------ distance ratios


def own_ratio(record: Record, rank: int = MEDIAN) -> np.ndarray:
    """A quantile of r* along the largest network's own trajectories, at the last snapshot [seed, l]."""
    return record["ratio_own"][-1, :, -1, :, rank]


def again_ratio(record: Record, rank: int = MEDIAN) -> np.ndarray:
    """The same of its generated images, noised again [seed, l]."""
    return record["ratio_again"][-1, :, -1, :, rank]


def tiny_ratio(record: Record, rank: int = MEDIAN) -> np.ndarray:
    """The same along the trajectories of the contrast, to the shells of its own training images [seed, l]."""
    return record["tiny_ratio_own"][:, -1, :, rank]


def ratio(record: Record, kind: str, rank: int = MEDIAN) -> np.ndarray:
    """The same of noised images, `kind` training or held_out [seed, l]."""
    return record[f"ratio_{kind}"][:, :, rank]


def off_the_shells(record: Record, median: np.ndarray) -> np.ndarray:
    """Where a median of r* [seed, l] is above 95 % of those of noised training images [seed, l]."""
    return median > ratio(record, "training", HIGH)


def leaving_time(record: Record) -> np.ndarray:
    """The largest t [seed] from which down to 0 the largest network's states are off the shells, in the
    median; 0 where they are on them at the smallest t."""
    off = off_the_shells(record, own_ratio(record))
    count = np.where(off.all(1), off.shape[1], (~off).argmax(1))
    return np.where(count > 0, record["t"][count - 1], 0.0)


def analytic(record: Record, kind: str) -> np.ndarray:
    """The median of sqrt(1 + ((1 - t)/t)^2 D^2/d) [seed, l], D the distance to the nearest training image of
    finished samples of the largest network (`kind` own) or of held-out images."""
    square = record["distance"][-1, :, -1] if kind == "own" else record["held_out_distance"]
    scale = ((1 - record["t"]) / record["t"]) ** 2
    return np.median(np.sqrt(1 + scale[:, None] * square[:, None, :]), 2)


def spread(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """The largest relative difference between two medians of r* [seed, l] at some times, in the mean over
    seeds."""
    return float(np.abs((a / b).mean(0)[where] - 1).max())


# -------------------------------------------------------------------------------------- gaps between classes


def learned_gap(record: Record, point: int) -> np.ndarray:
    """Median of the root of |D(z, c) - D(z)|^2 / d of the largest network, last snapshot [seed, l]."""
    return record["learned"][-1, :, -1, point, :, MIDDLE]


def exact_gap(record: Record, point: int, rank: int = MIDDLE) -> np.ndarray:
    """The same of the exact denoisers, at those points [seed, l]."""
    return record["exact"][-1, :, -1, point, :, rank]


def as_scores(record: Record, gap: np.ndarray) -> np.ndarray:
    """A gap [..., l] in the paper's unit, |s(z, c) - s(z)|: times (1 - t)/t^2 sqrt(d)."""
    t = record["t"]
    return gap * (1 - t) / t**2 * dimensions(record) ** 0.5


# ----------------------------------------------------------------------------------------- way back, overlap


def overlap(record: Record, t: np.ndarray | float, inside: bool = True) -> np.ndarray:
    """C(t), the largest Bhattacharyya coefficient of two training images' shells, exp(-((1 - t)/t)^2 D^2/8),
    within a class or over all."""
    least = record["class_spacing" if inside else "spacing"].min()
    return np.exp(-(((1 - t) / t) ** 2) * least**2 / 8)


def return_share(record: Record, prefix: str = "") -> np.ndarray:
    """Share of noised training images that the largest network denoises to the image they came from [seed,
    l]; `prefix` tiny_: the contrast's."""
    found = record[f"{prefix}returned"]
    return found if prefix else found[-1]


def fall_time(record: Record, share: float) -> np.ndarray:
    """The t at which the return share first falls below `share` [seed], interpolated; the last t where it
    does not, the first where it begins below."""
    return np.array([_crossing(record["t"], one, share) for one in return_share(record)])


def _crossing(t: np.ndarray, values: np.ndarray, level: float) -> float:
    below = values < level
    if not below.any():
        return float(t[-1])
    k = int(below.argmax())
    if k == 0:
        return float(t[0])
    return float(np.interp(level, [values[k], values[k - 1]], [t[k], t[k - 1]]))


# ----------------------------------------------------------------------------------------------- the contrast


def copies(record: Record, prefix: str = "") -> np.ndarray:
    """Share of generated images that are memorized at the last snapshot [width, seed]; of the contrast
    [seed]."""
    return (record[f"{prefix}rho"][..., -1, :] < COPIED).mean(-1)


def pictures(record: Record, name: str, net: int, level: int) -> np.ndarray:
    """Bytes of the kept trajectories of the first seed at one time [kept, c, h, w]: `state`, `guess` (the
    prediction) or `near` (the training image of the nearest shell), of the largest network (0) or of the
    contrast (1)."""
    return record[f"shown_{name}"][net, level]
