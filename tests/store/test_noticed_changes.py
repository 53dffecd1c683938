"""Wrong numbers that a twin must notice: each is put into the running process, then a twin is computed."""

from __future__ import annotations

import functools
import inspect
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from diffnotes import chapters, metrics
from diffnotes.data import dataset, decoding
from diffnotes.data import sets as data
from diffnotes.posterior import support
from diffnotes.store import Arrays, Work
from diffnotes.store.staleness import compare


def computed(name: str, twin: str) -> Arrays:
    experiment = chapters.find(name)
    with tempfile.TemporaryDirectory() as folder:
        return experiment.compute(experiment.twins[twin], Work(Path(folder)))


@functools.cache
def right(name: str, twin: str) -> Arrays:
    """The twin before anything is changed; ask for it first."""
    return computed(name, twin)


def noticed(name: str, twin: str) -> str:
    """What the comparison says of the twin under the change in force."""
    return compare(right(name, twin), computed(name, twin), chapters.find(name))


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch):
    """changed(owner, function, old, new): the function with `old` in its source replaced."""

    def put(owner: ModuleType, function: str, old: str, new: str) -> None:
        plain, room = getattr(owner, function), sys.modules[owner.__name__.rpartition(".")[0]]
        source = inspect.getsource(inspect.unwrap(plain))
        assert old in source
        names = dict(vars(owner))
        exec("from __future__ import annotations\n" + source.replace(old, new), names)
        for module in (owner, room):  # a room gives out the names of its modules
            if getattr(module, function, None) is plain:
                monkeypatch.setattr(module, function, names[function])

    return put


# ------ what goes in

PIXELS = [
    ("cifar", "smoke_batch"),
    ("cifar_gap", "smoke_blocks"),
    ("features", "smoke_pixels"),
    ("loss_curve", "smoke_pixels"),
    ("loss_curve", "smoke_files"),
    ("noisy_image", "smoke_pixels"),
]


@pytest.mark.parametrize(("name", "twin"), PIXELS)
def test_another_scale_of_pixels(name: str, twin: str, changed, monkeypatch: pytest.MonkeyPatch) -> None:
    right(name, twin)
    plain = support.Support

    def scaled(raw: torch.Tensor, shift: torch.Tensor, scale: float, offset: float) -> support.Support:
        return plain(raw, shift, 1 / 127 if raw.dtype == torch.uint8 else scale, offset)

    monkeypatch.setattr(support, "Support", scaled)
    changed(dataset, "as_floats", "127.5", "127.0")
    assert noticed(name, twin)


@pytest.mark.parametrize(
    ("where", "old", "new"),
    [
        ("squared", "Resampling.BOX", "Resampling.BILINEAR"),
        ("squared", "(image.width - short) // 2", "(image.width - short) // 2 + 1 - (image.width == short)"),
        ("decode", 'convert("RGB")', 'convert("L").convert("RGB")'),
    ],
)
def test_another_crop_or_filter(where: str, old: str, new: str, changed) -> None:
    right("loss_curve", "smoke_files")
    changed(decoding, where, old, new)
    assert noticed("loss_curve", "smoke_files")


def test_colours_in_another_order(changed) -> None:
    right("noisy_image", "smoke_pixels")
    changed(data, "_from_rows", "(0, 3, 1, 2)", "(0, 3, 2, 1)")
    assert noticed("noisy_image", "smoke_pixels")


@pytest.mark.parametrize(
    ("name", "twin"), [("digits", "smoke_copies"), ("cifar", "smoke_width"), ("features", "smoke_pixels")]
)
def test_fewer_repeats_of_the_bootstrap(name: str, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = right(name, twin)["copies"]
    assert ((shares > 0) & (shares < 1)).any()
    plain = inspect.unwrap(metrics.memorized)
    assert plain.__defaults__ == (1 / 3, 0, 1000)
    monkeypatch.setattr(plain, "__defaults__", (1 / 3, 0, 3))
    assert noticed(name, twin)


# ------ what comes out


LOSSES = [
    ("loss_curve", "smoke", "mean"),
    ("loss_curve", "smoke_pixels", "mean"),
    ("loss_curve", "smoke_files", "mean"),
    ("loss_sizes", "smoke_pixels", "mean"),
]


@pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize(("name", "twin", "array"), LOSSES)
def test_a_small_loss_that_grows_by_a_third(name: str, twin: str, array: str, share: float) -> None:
    arrays = right(name, twin)
    losses = arrays[array].copy().ravel()
    small = (losses > 0) & (losses <= share * losses.max())
    place = np.where(small, losses, 0.0).argmax()  # the first below the share
    assert small[place]
    losses[place] *= 1.3
    found = {**arrays, array: losses.reshape(arrays[array].shape)}
    assert array in compare(arrays, found, chapters.find(name))


@pytest.mark.parametrize(("name", "twin", "array"), LOSSES)
def test_small_losses_that_vanish(name: str, twin: str, array: str) -> None:
    arrays = right(name, twin)
    small = arrays[array] < 1e-5 * arrays[array].max()
    assert (arrays[array][small] > 0).any()
    found = {**arrays, array: np.where(small, 0.0, arrays[array])}
    assert array in compare(arrays, found, chapters.find(name))


CHEAP = ["random_features", "loss_curve", "loss_conversions", "noisy_image", "features", "speed"]


@pytest.mark.parametrize("name", CHEAP)
def test_nan_in_any_array_and_one_percent_more(name: str) -> None:
    experiment, arrays = chapters.find(name), right(name, "smoke")
    for key, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).any() or not array.any():
            continue
        tolerance = experiment.tolerance_of(key)
        if tolerance.relative == np.inf:
            continue
        nan = {**arrays, key: np.full_like(array, np.nan)}
        assert key in compare(arrays, nan, experiment), key
        if tolerance.relative > 0:  # else rounding alone
            larger = {**arrays, key: np.where(largest(array), 1.01 * array, array).astype(array.dtype)}
            assert key in compare(arrays, larger, experiment), key


def largest(array: np.ndarray) -> np.ndarray:
    """Where the largest finite entry is."""
    sizes = np.abs(np.where(np.isfinite(array), array, 0.0))
    return sizes == sizes.max()


@pytest.mark.parametrize("name", chapters.names())
def test_only_what_a_clock_gives_is_free(name: str) -> None:
    experiment = chapters.find(name)
    free = {pattern for pattern, t in experiment.tolerances.items() if t.relative == np.inf}
    assert np.isfinite(experiment.tolerance.relative)
    assert not free or name in ("speed", "training_speed")
    for tolerance in (experiment.tolerance, *experiment.tolerances.values()):
        assert len(tolerance.why) > 10
