"""Records on which each claim of chapter 4 is reproduced, and on which it is not."""

from __future__ import annotations

from functools import partial

import numpy as np
from fakes import record

SIGMA = np.geomspace(0.1, 100, 31)
RATIOS = np.array([2, 4, 8])
MULTIPLES = np.array([0.0, *2.0 ** (np.arange(-2, 21) / 2), np.inf])
LEVELS = np.array([2.2, 3.5, 5.0, 11.0, 25.0])
READINGS = ["AB", "PV", "IP", "RES", "A-B"]


# --- curves ---


def curve(dataset="digits", n=100, off=0.0, area_error=0.003, critical=1.0, beside=None, mean=None):
    """A curve of unit variance in two dimensions, with an area that is `off` by so many nats."""
    gaussian = 2 * 0.5 * SIGMA**2 / (0.5 + SIGMA**2)
    found = gaussian * np.exp(-((0.3 / SIGMA) ** 4)) if mean is None else np.asarray(mean)
    arrays = {
        "sigma": SIGMA, "mean": found, "stderr": np.full(len(SIGMA), 1e-5), "variance": 1.0, "n": n,
        "area": np.log(n) + off, "area_stderr": area_error, "critical": [critical, 2.0, 3.0],
        "critical_share": [0.01, 0.1, 0.5], "gaussian": gaussian, "gaussian_sigma": 1.5,
        "eigenvalues": [0.5, 0.5], "sources": 1000, "dimension": 2,
    }  # fmt: skip
    return record(arrays, "loss_curve", spec={"dataset": dataset}, beside=beside)


def falling():
    """Falls, and ends far from its limit."""
    return curve(mean=0.5 + 0.01 * np.cos(5 * np.log(SIGMA)))


def parts(critical=(3.0, 2.0), sizes=(50, 100), beside=None):
    """Curves of parts, of which only sizes and critical noise levels matter."""
    count = len(sizes)
    arrays = {
        "sigma": SIGMA, "size": sizes, "mean": np.tile(curve()["mean"], (count, 1)),
        "stderr": np.full((count, 31), 1e-5),
        "variance": np.ones(count), "critical_share": [0.01, 0.1, 0.5],
        "critical": [[low, 5.0, 8.0] for low in critical], "area": np.ones(count),
        "area_stderr": np.ones(count), "gaussian_sigma": np.ones(count),
    }  # fmt: skip
    return record(arrays, "loss_sizes", spec={"dataset": "cifar10"}, beside=beside)


def order(critical):
    """64 x 64 images beside CIFAR-10 with 1.0 as a whole and 2.0 for as many images."""
    beside = {
        ("loss_curve", "dataset=cifar10"): curve("cifar10", critical=1.0),
        ("loss_sizes", "dataset=cifar10"): parts(),
    }
    return curve("imagenet64", critical=critical, beside=beside)


def imagenet_parts(tenths, whole=1.0, n=1000, **arrays):
    """Parts of Tiny ImageNet, the tenths among them, beside all of it with its critical noise level."""
    count = len(tenths)
    made = parts((2.0,) * count + tuple(tenths), (70,) * count + (100,) * count)
    beside = {("loss_curve", "dataset=imagenet64-all"): curve("imagenet64-all", n, critical=whole)}
    spec = {"dataset": "imagenet64-all"}
    return record(made.arrays | arrays, "loss_sizes_imagenet", spec=spec, beside=beside)


def size(*critical):
    """Two parts and the whole."""
    whole = curve("cifar10", n=200, critical=critical[-1])
    return parts(critical[:-1], beside={("loss_curve", "dataset=cifar10"): whole})


def classed(name="digits", share=0.5, off=0.0, critical=2.0, parts_critical=None, n=50, lift=None):
    """The floor given one of two classes of n/2, `share` of that without from `lift` on, whose critical noise
    is 1.0; beside it, parts of as many images with theirs.
    """
    whole = curve(name, n)
    mean = share * whole["mean"] if lift is None else np.where(lift < SIGMA, share, 0.5) * whole["mean"]
    arrays = {
        "sigma": SIGMA, "mean": mean, "stderr": np.full(len(SIGMA), 1e-5), "variance": 0.8, "n": n,
        "area": np.log(n / 2) + off, "area_stderr": 0.003, "critical": [critical, 4.0, 6.0],
        "critical_share": [0.01, 0.1, 0.5], "sources": 1000, "size": [n // 2, n // 2], "label": [0, 1],
    }  # fmt: skip
    beside = {("loss_curve", f"dataset={name}"): whole}
    if parts_critical is not None:
        beside["loss_sizes", f"dataset={name}"] = parts((3.0, parts_critical), (n // 5, n // 2))
    return record(arrays, "loss_classes", spec={"dataset": name}, beside=beside)


def each_set(name, make, **how):
    """The same for the three sets whose classes are known."""
    sets = {"digits": "digits", "cifar10": "cifar10", "imagenet64": "imagenet64-all"}
    return {f"{name}-{short}": partial(make, long, **how) for short, long in sets.items()}


# --- the study ---


def study(noise=1e-4, **arrays):
    """A study with three ratios, four repeats and five levels."""
    rng = np.random.default_rng(0)
    shape = (4, len(RATIOS), len(MULTIPLES), len(LEVELS))
    half = noise * rng.standard_normal((2, *shape[1:]))
    bias = arrays.pop("bias", np.zeros(shape[1:])) + np.concatenate([half, -half])
    full = np.tile(np.linspace(0.05, 0.9, len(LEVELS)), (4, 1))
    given = {
        "n": 100, "variance": 1.0, "sizes": 100 // RATIOS, "ratios": RATIOS, "sigma": LEVELS, "grid": LEVELS,
        "multiples": MULTIPLES, "coarse": [0.0, 1.0, 4.0, 16.0, 64.0, np.inf], "readings": READINGS,
        "counts": np.ones(len(LEVELS), bool), "bias_repeats": bias, "full_repeats": full,
        "bias_mean": np.tile(bias.mean(0)[:, :, None], (1, 1, 5, 1)),
        "bias_stderr": np.full((3, len(MULTIPLES), 5, len(LEVELS)), 1e-4),
        "full_mean": np.tile(full[0], (5, 1)), "shared_ratios": [2], "near_ratios": [4, 8],
        "full_stderr": np.tile([[1e-3], [1e-3], [1e-3], [1.5e-3], [0.1]], 5),
        "fresh_sd": np.ones((3, len(MULTIPLES), 5, len(LEVELS))),
    }  # fmt: skip
    spec = {"dataset": "cifar10", "draws": 50, "repeats": 4}
    return record({**given, **arrays}, "loss_estimators", spec=spec)


def biased(dol, cdol, snis):
    """The worst biases, the same at every ratio; all are smaller at the outermost levels."""
    bias = np.full((len(RATIOS), len(MULTIPLES), len(LEVELS)), cdol)
    bias[:, 0], bias[:, -1] = dol, snis
    return study(bias=bias * np.array([0.2, 0.8, 1.0, 0.8, 0.2]))


def around(half, twice):
    """The worst bias with half and with twice the paper's C; it is 0.1 with the paper's, 1 at the ends."""
    bias = np.full((len(RATIOS), len(MULTIPLES), len(LEVELS)), 0.5)
    bias[:, [0, -1]] = 1.0
    for multiple, worst in ((2.0, half), (4.0, 0.1), (8.0, twice)):
        bias[:, int(np.argmin(np.abs(MULTIPLES - multiple)))] = worst
    return study(bias=bias)


def on_the_way(back):
    """Estimates that rise from DOL to SNIS, and go `back` by so much at every second C."""
    path = np.append(np.linspace(-0.5, 0.4, len(MULTIPLES) - 1), 0.4) - back * (np.arange(len(MULTIPLES)) % 2)
    return study(bias=np.tile(path[:, None], (len(RATIOS), 1, len(LEVELS))))


def snis_scatters(same, whole):
    """SNIS that scatters so many times as much as DOL: with A from the same draws, with A over all data."""
    scatter = np.ones((len(RATIOS), len(MULTIPLES), 5, len(LEVELS)))
    scatter[:, -1, READINGS.index("AB")] = same
    scatter[:, -1, READINGS.index("A-B")] = whole
    return study(fresh_sd=scatter)


def readings_apart(loss, variance):
    """Exact values of which the loss and the variance of the posterior are off by so much from A - B."""
    mean = np.tile(np.linspace(0.05, 0.9, len(LEVELS)), (5, 1))
    mean[READINGS.index("RES")] += loss
    mean[READINGS.index("PV")] += variance
    return study(full_mean=mean)


def few_draws(factor):
    """A over all data scatters so many times as much as A from the same draws, at one small level alone."""
    mean = np.tile(np.linspace(0.001, 0.9, len(LEVELS)), (5, 1))
    scatter = np.full((5, len(LEVELS)), 1e-3)
    scatter[READINGS.index("A-B"), 0] *= factor
    return study(full_mean=mean, full_sd=scatter)


def dol_at(place):
    """DOL with its worst bias at one level."""
    bias = np.zeros((len(RATIOS), len(MULTIPLES), len(LEVELS)))
    bias[:, 0, place] = -1.0
    return study(bias=bias)


def best(*units):
    """The best C in units of N/L at each ratio, by every measure; the repeats differ enough to matter."""
    apart = np.log(MULTIPLES[1:-1])[None] - np.log(np.array(units))[:, None]
    bias = np.zeros((len(RATIOS), len(MULTIPLES), len(LEVELS)))
    bias[:, 1:-1] = 0.1 * apart[:, :, None]
    values = np.array(units)
    return study(0.002, bias=bias, best=values, best_low=values / 2, best_high=2 * values)


def scatter(factor):
    """Estimates at C = 16 N/L that scatter so many times as much as DOL."""
    rng = np.random.default_rng(1)
    one, noise = rng.standard_normal((2, 40))
    pair = np.stack([one, factor * (one + 0.1 * noise)], 1)
    shared = np.zeros((40, 1, 6, len(LEVELS)))
    shared[:, 0, [0, 3], 1] = pair
    bias = np.zeros((40, len(RATIOS), len(MULTIPLES), len(LEVELS)))
    wide = int(np.argmin(np.abs(MULTIPLES - 16)))
    bias[:, 0, [0, wide], 1] = pair
    return study(bias_repeats=bias, full_repeats=np.zeros((40, len(LEVELS))), shared_repeats=shared)


def dol_area(off):
    """DOL with 50 points, whose area is `off` by so many nats."""
    return study(
        area_mean=np.full((1, 6, 4), np.log(50) + off),
        area_stderr=np.full((1, 6, 4), 0.01),
        sizes=[50, 25, 12],
    )


def conversions(off):
    """Two targets, whose measured ratios are `off` as a part of the formula; x0 is the unit of both."""
    factor = np.array([[1.0, 1.0], [4.0, 0.25]])
    arrays = {
        "process": ["VE", "VE"], "target": ["x0", "eps"], "formula": ["1", "1/σ²"], "ratio": [0.5, 2.0],
        "loss": 2.0 * factor, "factor": factor * (1 + off),
    }  # fmt: skip
    return record(arrays, "loss_conversions")


def both(name, make):
    """The same for CIFAR-10 and for digits."""
    return dict.fromkeys((name, f"{name}-digits"), make)


SETS = ("digits", "cifar10", "imagenet64", "imagenet64-all", "imagenet64-sample")

HOLDS = {
    **dict.fromkeys([f"xu-shape-{name}" for name in SETS], curve),
    **dict.fromkeys([f"ours-area-{name}" for name in SETS], curve),
    "xu-size-imagenet64": partial(imagenet_parts, (1.2, 1.21, 1.19)),
    **each_set("ours-class-area", classed),
    **each_set("ours-class-lower", classed),
    **each_set("ours-class-critical", classed),
    "ours-class-part-cifar10": partial(classed, "cifar10", parts_critical=3.0),
    "xu-order": partial(order, 3.0),
    "xu-size": partial(size, 3.0, 2.0, 1.0),
    **dict.fromkeys(("xu-cdol", "xu-cdol-digits"), partial(biased, -0.5, 0.1, 0.4)),
    **both("xu-dol-middle", partial(dol_at, 2)),
    **both("ours-draws", partial(few_draws, 4.0)),
    **both("xu-dol-sign", partial(biased, -0.5, 0.1, 0.4)),
    **both("xu-insensitive", partial(around, 0.15, 0.12)),
    **both("xu-consistent", partial(on_the_way, 0.0)),
    **both("xu-snis-small", partial(snis_scatters, 20.0, 30.0)),
    "xu-theorem-digits": partial(readings_apart, 1e-3, -1e-3),
    **dict.fromkeys(("xu-correction", "xu-correction-digits"), partial(best, 4.0, 4.5, 3.5)),
    "xu-spread": partial(scatter, 3.0),
    "xu-conversions": partial(conversions, 0.0),
    **dict.fromkeys(("ours-correction", "ours-correction-digits"), partial(best, 2.0, 4.0, 8.0)),
    **dict.fromkeys(("ours-dol-area", "ours-dol-area-digits"), partial(dol_area, 0.0)),
}

FAILS = {
    **dict.fromkeys([f"xu-shape-{name}" for name in SETS], falling),
    **dict.fromkeys([f"ours-area-{name}" for name in SETS], partial(curve, off=0.03)),
    "xu-size-imagenet64": partial(imagenet_parts, (0.9, 1.3, 1.1)),  # above on average, and not surely
    **each_set("ours-class-area", classed, off=0.03),
    **each_set("ours-class-lower", classed, share=1.01, lift=10.0),  # above at the largest levels alone
    **each_set("ours-class-critical", classed, critical=0.9),
    "ours-class-part-cifar10": partial(classed, "cifar10", parts_critical=1.5),
    "xu-order": partial(order, 0.5),
    "xu-size": partial(size, 2.0, 3.0, 5.0),
    **dict.fromkeys(("xu-cdol", "xu-cdol-digits"), partial(biased, -0.5, 0.1, 0.08)),
    **both("xu-dol-middle", partial(dol_at, -1)),
    **both("ours-draws", partial(few_draws, 3.0)),
    **both("xu-dol-sign", partial(biased, 0.5, 0.1, 0.4)),
    **both("xu-insensitive", partial(around, 0.15, 0.3)),
    **both("xu-consistent", partial(on_the_way, 0.1)),
    **both("xu-snis-small", partial(snis_scatters, 5.0, 0.9)),
    "xu-theorem-digits": partial(readings_apart, 0.1, 0.1),
    **dict.fromkeys(("xu-correction", "xu-correction-digits"), partial(best, 20.0, 20.0, 20.0)),
    "xu-spread": partial(scatter, 0.5),
    "xu-conversions": partial(conversions, 0.1),
    **dict.fromkeys(("ours-correction", "ours-correction-digits"), partial(best, 4.0, 4.0, 4.0)),
    **dict.fromkeys(("ours-dol-area", "ours-dol-area-digits"), partial(dol_area, 0.2)),
}
