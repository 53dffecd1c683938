"""What is shown of the timings: every number of a figure, a table or a target is read off a record here.

Seconds are medians over the repeats. How many times faster something is stands beside the seconds of both, so
it is the ratio of these medians; a target is judged by the ratios within each repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.store import Record

GIB = 2.0**30
PLAIN, PEER = "plain", "smalldiffusion"
OURS = "diffnotes"  # the package that networks are compared with
DEEPER = "denoising-diffusion-pytorch, a level more"
QUESTIONS = ("training", "sampling")
WORDS = {
    "pairwise": "all levels from one pass",
    "full": "one mean per level, ours",
    "plain": "plain torch",
    "smalldiffusion": "smalldiffusion",
    "products": "the two products alone",
    "attention": "torch's attention",
    "pykeops": "PyKeOps",
    "faiss": "256 nearest, by faiss",
    "float32": "ours, float32 data",
    "uint8": "ours, uint8 data",
    "diffnotes": "ours",
    "denoising-diffusion-pytorch": "denoising-diffusion",
    DEEPER: "… a level more",
}
# What was aimed at before anything was measured; ours, no paper's.
CURVE, PASS, MEAN, MEAN_BYTES, MEMORY, MEAN_PEER = 40, 2.5, 1.15, 1.3, 1.0, 1.25
STEPS, WHOLE, CHANGE = 20, 1.8, 1e-5
NETWORK, APART = 1.2, 0.05
LOAD, OWN = 15, 1.35  # aimed at before the compiled sums were timed


@dataclass(frozen=True)
class Target:
    """What was aimed at, and what one run found: the median of `found`, one value for each repeat."""

    text: str
    limit: float
    found: np.ndarray
    least: bool = True  # the limit is the least that is wanted; else it must not be reached

    @property
    def holds(self) -> bool:
        middle = float(np.median(self.found))
        return middle >= self.limit if self.least else middle < self.limit

    def row(self) -> tuple[str, str, str, str]:
        wanted = f"{'at least' if self.least else 'below'} {self.limit:g}"
        return self.text, wanted, spread(self.found), "holds" if self.holds else "fails"


def spread(values: np.ndarray) -> str:
    """'12.3 (11.8 to 13.1)': the median, the least and the largest; 'not measured' where a value is NaN."""
    if not np.isfinite(values).all():
        return "not measured"
    middle, low, high = np.median(values), np.min(values), np.max(values)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})" if values.size > 1 else f"{middle:.3g}"


@dataclass(frozen=True)
class Timed:
    """A method, its value in every repeat [r] (seconds, or a multiple of something), and ours instead."""

    name: str
    values: np.ndarray
    ours: np.ndarray

    @property
    def word(self) -> str:
        return WORDS.get(self.name, self.name)

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def times(self) -> float:
        """Its median over that of ours."""
        return self.median / float(np.median(self.ours))


def curve(record: Record, question: str = "curve") -> list[Timed]:
    """Seconds of every method to the same standard error, ours first; "beside": beside a busy process."""
    seconds = record[f"{question}_seconds"]
    pairs = zip(record[f"{question}_methods"].tolist(), seconds.T, strict=True)
    return [Timed(name, values, seconds[:, 0]) for name, values in pairs]


def mean(record: Record) -> dict[float, list[Timed]]:
    """By noise level: time of a posterior mean over that of its two products, of every method."""
    names, ratio = record["mean_methods"].tolist()[1:], record["mean_ratio"][:, :, 1:]
    return {
        float(sigma): [Timed(name, ratio[:, i, j], ratio[:, i, 0]) for j, name in enumerate(names)]
        for i, sigma in enumerate(record["mean_sigma"])
    }


def difference(record: Record) -> dict[str, np.ndarray]:
    """Of each way to the mean, the largest difference from ours [sigma]."""
    most = record["mean_difference"].max(0)
    return dict(zip(record["mean_methods"].tolist()[1:], most.T[1:], strict=True))


def memory(record: Record) -> dict[str, float]:
    """Peak of memory of each method above the data, in GiB; NaN where the system does not tell."""
    peak = record["mean_peak"].max((0, 1)) / GIB
    return dict(zip(record["mean_methods"].tolist()[1:], peak[1:].tolist(), strict=True))


@dataclass(frozen=True)
class Sampling:
    """Seconds of every step, all points and pruned [r, steps], and how many times faster pruning is."""

    sigma: np.ndarray
    full: np.ndarray
    pruned: np.ndarray
    setup: np.ndarray  # of pruning, [r]
    whole: np.ndarray  # times faster in all, [r]
    low: np.ndarray  # below sigma = 1, [r]
    change: np.ndarray  # largest change of a value in the end, [r]


def sampling(record: Record) -> Sampling:
    """What the question "sampling" found."""
    full, pruned = np.moveaxis(record["sampling_seconds"], 2, 0)
    whole, low = (record[f"sampling_{name}_ratio"] for name in ("whole", "low"))
    setup, change = record["sampling_setup"], record["sampling_deviation"][:, -1]
    return Sampling(record["sampling_sigma"], full, pruned, setup, whole, low, change)


@dataclass(frozen=True)
class Growth:
    """Seconds [r, sizes] of a method over one size, and the fitted power."""

    axis: str
    method: str
    size: np.ndarray
    seconds: np.ndarray
    power: float

    @property
    def word(self) -> str:
        return WORDS[self.method]


def growth(record: Record) -> list[Growth]:
    """One for each size and method."""
    return [
        Growth(axis, method, record["growth_size"][i], record["growth_seconds"][:, i, :, j], float(power))
        for i, axis in enumerate(record["growth_axes"].tolist())
        for j, (method, power) in enumerate(
            zip(record["growth_methods"].tolist(), record["growth_slope"][i], strict=True)
        )
    ]


REACHED = (  # images, values of each
    ("all of CIFAR-10", 50_000, 3_072),
    ("ImageNet at 64 × 64", 1_281_167, 12_288),
    ("a billion images of 64 × 64", 10**9, 12_288),
)
DRAWS = 4096  # of a curve, as `optimal_loss` makes unless told otherwise


@dataclass(frozen=True)
class Reach:
    """What a curve over so many images would take: hours of this machine [r], extrapolated, and bytes."""

    name: str
    hours: np.ndarray
    size: float


def reach(record: Record) -> list[Reach]:
    """Hours of a curve with DRAWS sources, from the seconds of the largest measured and the powers of N and d
    in each repeat. A power below 1 is taken as 1: a product cannot grow by less, in the end."""
    size, seconds = record["growth_size"], record["growth_seconds"][:, :, :, 0]
    powers = np.array([[_power(size[axis], each[axis]) for axis in (0, 1)] for each in seconds])  # [r, axis]
    draw = seconds[:, 0, -1] / (record.spec["queries"] // 4)
    found = []
    for name, n, d in REACHED:
        times = (n / record["points"]) ** powers[:, 0] * (d / record["dimension"]) ** powers[:, 1]
        found.append(Reach(name, DRAWS * draw * times / 3600, float(n) * d))
    return found


def _power(size: np.ndarray, seconds: np.ndarray) -> float:
    """The slope in logarithms, at least 1."""
    return max(1.0, float(np.polyfit(np.log(size), np.log(seconds), 1)[0]))


@dataclass(frozen=True)
class Load:
    """Seconds of a curve beside so many busy processes, one pass and plain torch [r], and their ratio."""

    busy: int
    ours: np.ndarray
    plain: np.ndarray
    ratio: np.ndarray
    means: dict[str, tuple[np.ndarray, np.ndarray]]  # of a posterior mean, seconds and over the products

    @property
    def word(self) -> str:
        return {0: "alone", 1: "beside one busy process"}.get(self.busy, f"beside {self.busy} busy processes")


def load(record: Record) -> list[Load]:
    """One for each number of busy processes."""
    seconds, ratio, names = record["load_seconds"], record["load_ratio"], record["load_mean_methods"].tolist()
    means = np.stack([record["load_mean_seconds"], record["load_mean_ratio"]])
    return [
        Load(
            int(count), seconds[:, k, 0], seconds[:, k, 1], ratio[:, k],
            {name: (*means[:, :, k, j],) for j, name in enumerate(names)},
        )
        for k, count in enumerate(record["load_busy"])
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------- targets


def targets(record: Record) -> list[Target]:
    """The targets of the questions that a record answers; a growth has none."""
    judges = {
        "curve_ratio": _curve_targets, "beside_ratio": _beside_targets, "mean_ratio": _mean_targets,
        "sampling_ratio": _sampling_targets, "load_ratio": _load_targets,
    }  # fmt: skip
    return [target for name, judge in judges.items() if name in record for target in judge(record)]


def _curve_targets(record: Record) -> list[Target]:
    plain = record["curve_ratio"][:, record["curve_methods"].tolist().index(PLAIN)]
    one_pass = record["curve_over_products"]
    return [
        Target("curve: times faster than plain torch at equal standard error", CURVE, plain),
        Target("curve: one pass over three products, 1.5 times two", OWN, one_pass / 1.5, False),
        Target("curve: one pass over two products", PASS, one_pass, False),
    ]


def _beside_targets(record: Record) -> list[Target]:
    plain = record["beside_ratio"][:, record["beside_methods"].tolist().index(PLAIN)]
    return [Target("curve beside one busy process: times faster than plain torch", CURVE, plain)]


def _mean_targets(record: Record) -> list[Target]:
    """The worst sigma of each repeat."""
    at = {name: index for index, name in enumerate(record["mean_methods"].tolist())}
    ratio, peak = record["mean_ratio"], record["mean_peak"] / GIB
    ours, packed = at["float32"], at["uint8"]
    worst = peak[:, :, [ours, packed]].max((1, 2))
    found = [
        Target("mean: float32 over the two products", MEAN, ratio[:, :, ours].max(1), False),
        Target("mean: uint8 over the two products", MEAN_BYTES, ratio[:, :, packed].max(1), False),
        Target("mean: peak memory above the data, GiB", MEMORY, worst, False),
    ]
    if PEER not in at:
        return found
    faster = (ratio[:, :, at[PEER]] / ratio[:, :, ours]).min(1)
    return [*found, Target("mean: times faster than smalldiffusion", MEAN_PEER, faster)]


def _sampling_targets(record: Record) -> list[Target]:
    found = sampling(record)
    return [
        Target("sampling: times faster per step below sigma = 1", STEPS, found.low),
        Target("sampling: times faster in all", WHOLE, found.whole),
        Target("sampling: largest change of a value", CHANGE, found.change, False),
    ]


def _load_targets(record: Record) -> list[Target]:
    text = "load: times faster than plain torch at equal sources"
    return [Target(f"{text}, {one.word}", LOAD, one.ratio) for one in load(record)]


# -------------------------------------------------------------------------------------------------- networks


def answered(record: Record) -> list[str]:
    """The questions on networks that a record answers."""
    return [question for question in QUESTIONS if f"{question}_rate" in record]


def precisions(record: Record) -> list[str]:
    return list(dict.fromkeys(record["precision"].tolist()))


def rates(record: Record, question: str, precision: str) -> list[Timed]:
    """Images per second of every network in one precision, ours first; `times` is theirs over ours."""
    chosen = record["precision"] == precision
    rate, names = record[f"{question}_rate"][:, chosen], record["methods"][chosen].tolist()
    return [Timed(name, values, rate[:, 0]) for name, values in zip(names, rate.T, strict=True)]


def _peers(record: Record) -> np.ndarray:
    """Which methods are not ours."""
    found: np.ndarray = record["methods"] != OURS
    return found


def network_targets(record: Record) -> list[Target]:
    """Two for each question and precision, where peers were timed: in each repeat the fastest peer counts, of
    all, and of those with as many levels. One more with every package as it comes: the peers in float32, ours
    in bfloat16. And whether the numbers of parameters agree, without which the others would mean nothing."""
    counts = record["parameters"]
    if not _peers(record).any():
        return []
    apart = np.array([np.abs(counts / counts[0] - 1).max()])
    asked = [(question, kind) for question in answered(record) for kind in precisions(record)]
    return [
        *(target for question, kind in asked for target in _pair(record, question, kind)),
        *(_as_they_come(record, question) for question in answered(record) if len(precisions(record)) > 1),
        Target("parameters: largest difference from ours, as a share", APART, apart, least=False),
    ]


def _pair(record: Record, question: str, precision: str) -> list[Target]:
    ratio, rivals = record[f"{question}_ratio"], _peers(record) & (record["precision"] == precision)
    alike = rivals & (record["methods"] != DEEPER)
    text = f"{question}, {precision}: times faster than the fastest peer"
    return [
        Target(text, NETWORK, ratio[:, rivals].min(1)),
        Target(f"{text} with as many levels", NETWORK, ratio[:, alike].min(1)),
    ]


def _as_they_come(record: Record, question: str) -> Target:
    rate, peers, single = record[f"{question}_rate"], _peers(record), record["precision"] == "float32"
    found = rate[:, ~peers & ~single].max(1) / rate[:, peers & single].max(1)
    text = f"{question}: ours in bfloat16 over the fastest peer as it comes, in float32"
    return Target(text, NETWORK, found)
