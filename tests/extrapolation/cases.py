"""Records on which the claims on extrapolation hold and fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from fakes import record

from diffnotes.store import Record

RATIOS, SHELLS, CONTROL = (1, 2, 8), (2.0, 4.0), 8
SAMPLES, SEEDS = 100, 3
COPY, OTHER = 0.005, 0.8  # m of a copy, and of what is none
GROWS = {"mlp": (0.0, 0.5, 0.9), "unet": (0.0, 0.1, 0.8)}
CONTROLS = {"shell": 0.5, "balanced": 0.8, "perturbed": 0.7, "drawn": 0.9}


def memorizing(share: float) -> np.ndarray:
    """m [seed, stop, sample] with this share of copies, a little different in every seed."""
    rows = []
    for seed in range(SEEDS):
        copies = int(np.clip(round(SAMPLES * share) + seed - 1, 0, SAMPLES))
        rows.append(np.where(np.arange(SAMPLES) < copies, COPY, OTHER))
    return np.repeat(np.array(rows)[:, None], 2, 1)


def freedom(
    dataset: str = "digits", networks: dict[str, tuple[float, ...]] | None = None, **controls: float
) -> Record:
    """A record of networks with these shares at RATIOS, and of the controls of the first."""
    grows, found = networks or GROWS, CONTROLS | controls
    first = next(iter(grows))
    arms = [
        (name, "region", r, share)
        for name, many in grows.items()
        for r, share in zip(RATIOS, many, strict=True)
    ]
    arms += [(first, "shell", SHELLS[0], 0.1), (first, "shell", SHELLS[1], found.pop("shell"))]
    arms += [(first, kind, CONTROL, share) for kind, share in found.items()]
    network, kind, amount, share = zip(*arms, strict=True)
    arrays = {
        "network": network, "kind": kind, "amount": np.array(amount, float),
        "m": np.stack([memorizing(one) for one in share]),
        "unseen": np.tile(np.linspace(0.3, 0.9, 200), (SEEDS, 1)),
        "distinct": np.full((len(arms), SEEDS), 90), "centres": np.full((len(arms), SEEDS), 100),
    }  # fmt: skip
    spec = {
        "dataset": dataset, "side": 0, "networks": " ".join(grows), "control": CONTROL, "seeds": (0, 1, 2),
        "dimension": 20,
    }  # fmt: skip
    return record(arrays, experiment=f"freedom_{dataset}", spec=spec)


def forms(shift: float = 0.0) -> Record:
    """Losses and slopes of both forms on 200 batches; `shift` is what draws add, in standard deviations."""
    noise = np.random.RandomState(0).standard_normal((3, 2, 200, 3))
    noise = (noise - noise.mean(2, keepdims=True)) / noise.std(2, keepdims=True)
    loss = 1 + 0 * noise[..., 0]
    slope = 0 * noise[..., :2]
    rest = np.full(loss.shape, 0.5)
    return record({
        "loss": np.stack([loss, loss + rest + noise[..., 0] + shift], 2), "rest": rest,
        "slope": np.stack([slope, slope + noise[..., 1:] + shift], 2),
        "spread": np.full((3, 2, 2), [1.0, 4.0]),
    })  # fmt: skip


PLAIN, ALIGNED = (0.7, 0.2, 0.05, 0.05), (0.6, 0.05, 0.3, 0.05)


def perception(plain: tuple[float, ...] = PLAIN, aligned: tuple[float, ...] = ALIGNED) -> Record:
    """Shares of samples at a point, in the bad gap, in a good one, and elsewhere."""
    variants = [
        ("mlp", "plain"),
        ("mlp", "polar"),
        ("mlp", "radial"),
        ("kernel", "plain"),
        ("kernel", "polar"),
    ]
    base = np.array([plain if one == "plain" else aligned for _, one in variants])
    jitter = 0.002 * np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1]])
    share = base[:, None, None] + np.where(base[:, None, None] == np.array(plain), 1, 2) * jitter
    kind, coordinates = zip(*variants, strict=True)
    arrays = {
        "share": np.repeat(share, 2, 1), "kind": kind, "coordinates": coordinates,
        "place": ("point", "bad", "good", "elsewhere"), "off": np.full((5, 2, 3, 2), 0.02),
        "level": np.array([0.1, 0.4]),
    }  # fmt: skip
    return record(arrays, spec={"widths": (64, 256), "kernels": (0.3, 0.6)})


RECIPES = ("transformer", "U-Net", "U-Net, no attention", "REPA 0", "REPA 0.25", "REPA 0.5", "REPA 1")
PAIRS = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (5, 6), (3, 6)]


def about(value: float, half: float = 1.0) -> np.ndarray:
    """A value with its interval."""
    return value + half * np.array([0.0, -1.0, 1.0])


def refits(**changed: Any) -> Record:
    """Lines on which every claim about the paper's values holds, but for what is changed."""
    count = len(RECIPES)
    points = np.stack([np.linspace(0.7, 0.74, 6), np.linspace(20, 80, 6), np.repeat([0, 1], 3)], 1)
    repa = np.maximum(np.arange(count) - RECIPES.index("REPA 0"), 0)[:, None, None] * np.array([0.001, -4, 0])
    arrays = {
        "recipe": RECIPES, "pair": np.array([(RECIPES[a], RECIPES[b]) for a, b in PAIRS]),
        "lower_by": np.stack([about(5.0)] * len(PAIRS)), "fid_points": points + repa,
        "slope": np.stack([about(1600.0)] * count), "within": np.stack([about(1600.0, 300)] * count),
        "between": np.stack([about(1600.0, 300)] * count), "fid": np.stack([about(45.0)] * count),
        "curvature": np.stack([about(0.0)] * count),
        "scale_slope": np.stack([about(-0.007, 0.001), about(0.001, 0.0005)]),
        "repa_ratio": about(2.5, 0.5),
    }  # fmt: skip
    return record(arrays | changed)


LEVEL = {"mlp": (0.5, 0.5, 0.5), "unet": (0.5, 0.5, 0.5)}
LOW = {"mlp": (0.1, 0.1, 0.1), "unet": (0.1, 0.1, 0.1)}
LATE = {"mlp": (0.0, 0.1, 0.5), "unet": (0.0, 0.5, 0.9)}
ONE = {"mlp": (0.0, 0.5, 0.9)}
DATA = ("gaussian", "circle", "digits", "cifar")


def _of(name: str) -> Callable[..., Record]:
    return partial(freedom, {"cifar": "cifar10"}.get(name, name))


HOLDS: dict[str, Callable[[], Record]] = {
    "song-forms": forms,
    **{f"song-freedom-{name}": _of(name) for name in DATA},
    **{f"song-later-{name}": _of(name) for name in ("digits", "cifar")},
    **{f"ours-{kind}-{name}": partial(_of(name), networks=ONE) for kind in CONTROLS for name in DATA},
    **{f"song-aligned-{pair}": perception for pair in ("polar", "kernel", "radial")},
    **{
        f"song-{name}": refits
        for name in ("scale-values", "lines-values", "repa-lines-values", "repa-values", "repa-loss")
    },
    "ours-straight-values": refits,
}  # fmt: skip
FAILS: dict[str, Callable[[], Record]] = {
    "song-forms": partial(forms, 0.5),
    **{f"song-freedom-{name}": partial(_of(name), networks=LEVEL) for name in DATA},
    **{f"song-later-{name}": partial(_of(name), networks=LATE) for name in ("digits", "cifar")},
    **{
        f"ours-{kind}-{name}": partial(_of(name), **{kind: 0.0})
        for kind in ("shell", "balanced", "perturbed") for name in DATA
    },
    **{f"ours-drawn-{name}": partial(_of(name), drawn=0.3) for name in DATA},
    **{
        f"song-aligned-{pair}": partial(perception, ALIGNED, PLAIN) for pair in ("polar", "kernel", "radial")
    },
    "song-scale-values": partial(refits, scale_slope=np.stack([about(0.007, 0.001), about(-0.001, 0.0005)])),
    "song-lines-values": partial(refits, lower_by=np.stack([about(-5.0)] * len(PAIRS))),
    "song-repa-lines-values": partial(refits, lower_by=np.stack([about(0.5)] * len(PAIRS))),
    "ours-straight-values": partial(
        refits, curvature=np.stack([about(9.0)] * 7), within=np.stack([about(2500.0)] * 7)
    ),
    "song-repa-values": partial(refits, repa_ratio=about(1.5, 0.9)),
    "song-repa-loss": partial(refits, fid_points=refits()["fid_points"][[0, 1, 2, 6, 5, 4, 3]]),
}  # fmt: skip
