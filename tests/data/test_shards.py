"""Data in files: the same numbers as in memory, without ever being in memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from diffnotes.base.errors import UserError
from diffnotes.data import Shards
from diffnotes.optimal_loss import accumulate, optimal_loss
from diffnotes.posterior import Support, posterior


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)


@pytest.fixture
def shards(tmp_path, images):
    cuts = np.split(images, [7, 8, 31])
    for number, cut in enumerate(cuts):
        np.save(tmp_path / f"{number}.npy", cut)
    return Shards([tmp_path / f"{number}.npy" for number in range(len(cuts))])


def test_slices_and_positions_are_those_of_the_array(shards, images):
    assert shards.shape == images.shape
    for part in (slice(0, 50), slice(5, 33), slice(8, 8), slice(40, 99), slice(None, None, 7)):
        np.testing.assert_array_equal(shards[part].numpy(), images[part])
    index = torch.tensor([49, 0, 7, 7, 30, 31])
    np.testing.assert_array_equal(shards[index].numpy(), images[index.numpy()])
    np.testing.assert_array_equal(shards.flat()[slice(3, 40)].numpy(), images.reshape(50, -1)[3:40])


def test_the_slice_after_is_asked_for_in_time(shards, images, monkeypatch):
    asked = []
    monkeypatch.setattr("diffnotes.data.shards._will_need", lambda piece: asked.append(np.array(piece)))
    shards[slice(0, 20)]
    np.testing.assert_array_equal(np.concatenate(asked), images[20:40])
    asked.clear()
    shards[slice(40, 50)]
    np.testing.assert_array_equal(np.concatenate(asked), images[:10])


def test_the_hint_itself_reaches_the_system(shards):
    from diffnotes.data import shards as module

    for part in shards.parts:
        module._will_need(part[1:])
        module._will_need(part)


def test_estimators_give_the_numbers_of_memory_bit_for_bit(shards, images):
    data, sigmas = torch.from_numpy(images), torch.tensor([0.3, 1.0, 4.0])
    x = data[:5].double() / 127.5 - 1 + 0.3 * torch.ones(5, 3, 4, 4)
    here, there = posterior(x, 0.7, data), posterior(x, 0.7, shards)
    assert torch.equal(here.mean, there.mean)
    assert torch.equal(here.log_z, there.log_z)
    for settings in ({}, {"estimator": "full"}, {"estimator": "cdol", "subset": 9}, {"subset": 20}):
        a = optimal_loss(data, sigmas, sources=60, **settings)
        b = optimal_loss(shards, sigmas, sources=60, **settings)
        assert torch.equal(a.mean, b.mean), settings
    parts = accumulate(shards, sigmas, range(0, 13)) + accumulate(shards, sigmas, range(13, 60))
    torch.testing.assert_close(
        parts.curve().mean, optimal_loss(data, sigmas, sources=60).mean, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no shard"),
        (b"not numpy", "is damaged"),
        (np.zeros((3, 4), np.float32), "must hold uint8 images"),
        (np.zeros(3, np.uint8), "must hold uint8 images"),
        (np.zeros((3, 2, 2), np.uint8), "images of one shape"),
        ({"data": np.zeros((3, 12), np.uint8)}, "is an npz file"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"[" * 15 + b"\n", "is damaged"),
        (Path("good.npy"), "longer than its header says"),
    ],
)
def test_bad_shards_get_a_sentence(tmp_path, content, sentence):
    good, bad = tmp_path / "good.npy", tmp_path / "bad.npy"
    np.save(good, np.zeros((2, 5), np.uint8))
    if isinstance(content, bytes):
        bad.write_bytes(content)
    elif isinstance(content, dict):
        with open(bad, "wb") as file:
            np.savez(file, **content)
    elif isinstance(content, Path):  # two files of images put together
        bad.write_bytes(2 * (tmp_path / content).read_bytes())
    elif content is not None:
        np.save(bad, content)
    with pytest.raises(UserError, match=sentence):
        Shards([good, bad])
    with pytest.raises(UserError, match="no shards"):
        Shards([])


def test_memory_stays_below_the_size_of_the_data(tmp_path):
    """A process that may not hold the data, in float32 or even in uint8, still gets the posterior mean."""
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_DATA
    script = """
        import resource, sys, numpy as np, torch
        from diffnotes.posterior import Support, posterior
        from diffnotes.data.shards import Shards
        torch.set_num_threads(1)
        shards = Shards(sys.argv[1:])
        size = shards.shape.numel()
        x = torch.zeros(2, shards.shape[1])
        posterior(x, 1.0, torch.zeros(64, shards.shape[1], dtype=torch.uint8))  # libraries are loaded by now
        with open("/proc/self/status") as status:
            now = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (now + int(0.8 * size),) * 2)
        try:
            np.ones(size, np.uint8)
            sys.exit("the limit does not bind")
        except MemoryError:
            pass
        mean = posterior(x, 1.0, shards).mean
        assert torch.isfinite(mean).all()
    """
    paths = [tmp_path / f"{number}.npy" for number in range(2)]
    for number, path in enumerate(paths):
        block = np.lib.format.open_memmap(path, "w+", np.uint8, (150_000, 1024))
        block[:: 1000 + number] = 200
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, paths)]
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of a process are read the Linux way")
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_points_know_shards(shards):
    assert Support.of(shards).count == 50
