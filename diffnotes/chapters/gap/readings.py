"""What the chapter takes off the records of `digits_gap` and `cifar_gap`: each number is read here, once.

The arrays of these records have axes [seed, evaluation, ...]. An interval is [mean, low, high], at 95 %. All
seeds share their held-out images. Where a record holds a standard error over images, intervals include it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.base.statistics import over_seeds, with_images
from diffnotes.show.labels import images, minus
from diffnotes.store import Record

# Read off the plots and numbers stored in the notebooks of the authors' code, with some 2 % of an axis.
PAPER_GROWTH = (0.026, 0.226)  # G at σ 1.67 of EDM2-M on ImageNet-64, after 134 and 2,147 million images
PAPER_PEAK, PAPER_SIDE = 0.72, 32  # σ of the peak on CIFAR-10, and the pixels of a side there

KINDS = ("training", "held-out", "sampler")  # where the noisy images at a probe come from: `kind`
TRAINING, HELD_OUT, SAMPLER = range(3)
WIDTHS = (54, 144)  # of the networks on digits
SIZES = (200, 600, 1190)  # of their training sets
GREY_STEP = 0.125  # between the grey levels of digits
MEMORIZED = 1 / 3  # of rho; below it a sample counts as memorized
SEEDS = "seeds "  # before the lowest and highest seed, to tell them from intervals
ASTRAY = 3.0  # times its least value that a Fréchet distance must reach to count as running away
FAR = 10.0  # noise levels above it drown every image


def place_of(values: np.ndarray, wanted: float) -> int:
    """Where the value nearest to `wanted` stands, in the logarithm."""
    return int(np.abs(np.log(values / wanted)).argmin())


# ------------------------------------------------------------------------------------------------- the run


def title(record: Record) -> str:
    """'600 digits, 233,056 parameters'."""
    return f"{images(record)}, {parameters(record):,} parameters"


def parameters(record: Record) -> int:
    """How many numbers the network has."""
    return int(record["parameters"][0])


def side(record: Record) -> int:
    """Pixels of a side."""
    return int(record["sheet"].shape[-1])


def seconds(record: Record) -> float:
    """What one seed took."""
    return float(record.meta["seconds"] / len(record["gap"]))


def evaluated_images(record: Record) -> int:
    """On how many held-out images errors are taken."""
    return min(record.spec["images"], record.spec["held_out"])


def earlier(record: Record) -> int:
    """The evaluation nearest to an eighth of the training steps: three doublings before the end."""
    return place_of(record["step"], record["step"][-1] / 8)


# --------------------------------------------------------------------------------- errors and denoising gap


def peak(record: Record) -> np.ndarray:
    """The largest gap over noise levels [seed, evaluation]."""
    return record["gap"].max(2)


def peak_error(record: Record) -> np.ndarray:
    """Standard error of the largest gap over images, training and held-out [seed, evaluation]."""
    top = record["gap"].argmax(2)[..., None]
    return np.take_along_axis(record["gap_stderr"], top, 2)[..., 0]


def peak_interval(record: Record, evaluation: int = -1) -> np.ndarray:
    """Of the largest gap. Its standard error has a share of the training images, which the spread over seeds
    has too: rather too wide."""
    return shared(peak(record)[:, evaluation], peak_error(record)[:, evaluation], evaluated_images(record))


def log_peak_interval(record: Record) -> np.ndarray:
    """Of the logarithm of the last largest gap."""
    top = peak(record)[:, -1]
    return shared(np.log(top), peak_error(record)[:, -1] / top, evaluated_images(record))


def growth_interval(record: Record) -> np.ndarray:
    """Of the growth of the largest gap from the first evaluation to the last. Both are of the same images, so
    to add their errors in squares is rather too wide."""
    top, error = peak(record), peak_error(record)
    both = np.hypot(error[:, 0], error[:, -1])
    return shared(top[:, -1] - top[:, 0], both, evaluated_images(record))


def peak_level(record: Record, evaluation: int = -1) -> int:
    """Which noise level has the largest gap, in the mean over seeds."""
    return int(record["gap"][:, evaluation].mean(0).argmax())


def peak_sigma(record: Record) -> np.ndarray:
    """σ of the largest gap at the last evaluation [seed]."""
    return record["sigma"][record["gap"][:, -1].argmax(1)]


def ends(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Whether G is small at the smallest noise level [seed], and at all beyond FAR [seed]: at the last
    evaluation below a tenth of the peak, or within 2 standard errors of 0."""
    gap, error, sigma = record["gap"][:, -1], record["gap_stderr"][:, -1], record["sigma"]
    small = np.abs(gap) < np.maximum(0.1 * gap.max(1, keepdims=True), 2 * error)
    return small[:, 0], small[:, sigma > FAR].all(1)


def end_shares(record: Record) -> tuple[float, float]:
    """The last G at the smallest noise level, and the largest beyond FAR, over the peak."""
    gap, sigma = record["gap"][:, -1].mean(0), record["sigma"]
    return gap[0] / gap.max(), np.abs(gap[sigma > FAR]).max() / gap.max()


def rise(record: Record) -> np.ndarray:
    """How far the last held-out error is above its least one [seed, level]: 0 where it has not turned."""
    return record["val"][:, -1] / record["val"].min(1) - 1


def overfitted_level(record: Record) -> int | None:
    """The noise level where the held-out error has risen most, in the mean over seeds, among those where it
    rises by more than the interval over seeds; None where there is none."""
    found = rise(record)
    sure = np.array([over_seeds(one)[1] > 0 for one in found.T])
    return int(np.where(sure, found.mean(0), -1).argmax()) if sure.any() else None


def least(record: Record, level: int) -> int:
    """The evaluation with the least held-out error at a level, in the mean over seeds."""
    return int(record["val"][:, :, level].mean(0).argmin())


def turned(record: Record) -> np.ndarray:
    """At which levels the held-out error, in the mean over seeds, was least before the last evaluation."""
    return record["val"].mean(0).argmin(0) < len(record["step"]) - 1


def onset_images(record: Record) -> np.ndarray:
    """Images seen at the least held-out error, in the mean over seeds [level]; NaN where that is last."""
    seen = record["images_seen"][record["val"].mean(0).argmin(0)]
    return np.where(turned(record), seen, np.nan)


def onset_gap(record: Record) -> np.ndarray:
    """The gap at the least held-out error [level], in the mean over seeds: the black line of the paper's
    figure 2; NaN where the error has not turned."""
    place = record["val"].mean(0).argmin(0)
    return np.where(turned(record), record["gap"].mean(0)[place, np.arange(len(place))], np.nan)


def onset_steps(record: Record) -> np.ndarray:
    """The step of the least held-out error, float64 [seed, level]; NaN where it is the last evaluation."""
    place = record["val"].argmin(1)
    return np.where(place < len(record["step"]) - 1, record["step"][place], np.nan)


# ------------------------------------------------------------------------------------ samples, trajectories


def sample_gap(record: Record) -> np.ndarray:
    """(FD_val - FD_train) / FD_train [seed, evaluation, stop]; the last stop are finished samples."""
    return record["frechet_val"] / record["frechet_train"] - 1


def sample_distance(record: Record, split: str) -> np.ndarray:
    """Fréchet distance of finished samples to images of a split, train or val [seed, evaluation]."""
    return record[f"frechet_{split}"][:, :, -1]


def before_astray(*records: Record) -> int:
    """The last evaluation before the samples of any of these runs have gone astray: before their distance to
    training images, in the mean over seeds, is ASTRAY times the least that it was."""
    far = np.stack([sample_distance(record, "train").mean(0) for record in records])
    astray = np.flatnonzero((far >= ASTRAY * np.minimum.accumulate(far, axis=1)).any(0))
    return int(astray[0]) - 1 if len(astray) else far.shape[1] - 1


def sample_gap_interval(record: Record, evaluation: int) -> np.ndarray:
    """Of the gap of finished samples, over seeds alone."""
    return over_seeds(sample_gap(record)[:, evaluation, -1])


def memorized(record: Record) -> np.ndarray:
    """Share of samples [seed, evaluation] that are three times closer to one training image than to any
    other."""
    return (record["rho"] < MEMORIZED).mean(2)


def probe_place(record: Record) -> int:
    """The probe nearest to the noise level where the network overfits most. It is chosen by errors alone,
    without a look at trajectories. Where the network overfits nowhere, that of the largest gap counts."""
    level = overfitted_level(record)
    return place_of(record["probe"], record["sigma"][peak_level(record) if level is None else level])


def probe_sigma(record: Record) -> float:
    """The noise level of `probe_place`."""
    return float(record["probe"][probe_place(record)])


def probed(record: Record, name: str) -> np.ndarray:
    """`distance` or `similarity`, or with `_stderr` their errors over images, at the probe [seed, evaluation,
    kind]."""
    return record[name][:, :, probe_place(record)]


def positions(record: Record) -> np.ndarray:
    """Where states of the sampler are, by their mean distance to the nearest training image: 0 as near as
    noised training images, 1 as noised held-out ones [seed, evaluation, probe]."""
    known, unseen, states = np.moveaxis(record["distance"], 3, 0)
    return (states - known) / (unseen - known)


def position(record: Record) -> np.ndarray:
    """The same at the probe [seed, evaluation]."""
    return positions(record)[:, :, probe_place(record)]


def position_interval(record: Record) -> np.ndarray:
    """Of the last position. An error in the distance u of held-out images moves it by position / (u - k)."""
    known, unseen, _ = probed(record, "distance")[:, -1].T
    last = position(record)[:, -1]
    error = probed(record, "distance_stderr")[:, -1, HELD_OUT]
    return shared(last, np.abs(last) / (unseen - known) * error, _count(record))


def ahead(record: Record) -> np.ndarray:
    """Interval of: how much more training-like predictions from states are than those from noised training
    images, at the last evaluation. No held-out image enters."""
    alike = probed(record, "similarity")[:, -1]
    return over_seeds(alike[:, SAMPLER] - alike[:, TRAINING])


def above_held_out(record: Record) -> np.ndarray:
    """Interval of: how much more training-like predictions from states are than those from noised held-out
    images, at the last evaluation."""
    alike = probed(record, "similarity")[:, -1]
    error = probed(record, "similarity_stderr")[:, -1, HELD_OUT]
    return shared(alike[:, SAMPLER] - alike[:, HELD_OUT], error, _count(record))


def gains(record: Record) -> np.ndarray:
    """How much more training-like predictions became over the last three doublings [seed, kind]."""
    alike = probed(record, "similarity")
    return alike[:, -1] - alike[:, earlier(record)]


def _count(record: Record) -> int:
    """How many images of each kind are compared at a probe."""
    return int(record["count"][0])


# ---------------------------------------------------------------------------------------------- in numbers


def shared(values: np.ndarray, stderr: np.ndarray, count: int) -> np.ndarray:
    """[mean, low, high] over seeds, widened by the error over `count` held-out images that all share."""
    mean, *interval = over_seeds(values)
    return np.array([mean, *with_images(np.array(interval), mean, float(stderr.mean()), count - 1)])


def span(values: Sequence[float] | np.ndarray, label: str = "") -> str:
    """'1.07 (0.99 to 1.11)': mean, lowest and highest over seeds. A `label` says so where no heading does."""
    found = np.asarray(values)
    digits = 3 if abs(found).max() < 0.1 else 2 if abs(found).max() < 10 else 1
    low, mean, high = (f"{value:.{digits}f}" for value in (found.min(), found.mean(), found.max()))
    return minus(mean if low == high else f"{mean} ({label}{low} to {high})")


def percent(values: np.ndarray, digits: int = 0) -> str:
    """'63 % (seeds 55 to 71 %)': shares, as mean, lowest and highest over seeds."""
    ends = (values.min(), values.mean(), values.max())
    low, mean, high = (f"{100 * value:.{digits}f}" for value in ends)
    return f"{mean} %" if low == high else f"{mean} % ({SEEDS}{low} to {high} %)"


def share(value: float) -> str:
    """'26 %'; never '0 %', which would say that there is nothing."""
    return "less than 1 %" if abs(value) < 0.005 else minus(f"{100 * value:.0f} %")
