"""The optimal loss and the posterior in several processes, and from the sums of several machines."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from launched import together

from diffnotes import __main__ as command
from diffnotes.base.errors import UserError
from diffnotes.base.runtime import ProcessGroup
from diffnotes.optimal_loss import accumulate
from diffnotes.posterior import divided_posterior, posterior

PROCESSES = """
    import sys

    import torch

    from diffnotes import data
    from diffnotes.base import runtime
    from diffnotes.optimal_loss import optimal_loss
    from diffnotes.posterior import divided_posterior, posterior

    group = runtime.process_group()
    x = data.load("digits", n=301).x
    levels = torch.tensor([0.05, 0.3, 0.8, 2.0, 20.0])
    found = {}
    for name, options in {
        "plain": {"sources": 333}, "cdol": {"sources": 100, "estimator": "cdol", "subset": 40},
        "classes": {"sources": 200, "labels": torch.arange(301) % 3}, "few": {"sources": 1},
    }.items():
        curve = optimal_loss(x, levels, group=group, **options)
        more = torch.tensor([curve.area, curve.variance, curve.draws])
        found[name] = torch.cat([curve.mean, curve.stderr, more])
    noisy = x[:40] + 0.5 * torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for sigma in (0.01, 0.5, 3.0, float("inf")):
        part = x[group.rank :: group.size]
        whole = divided_posterior(noisy, sigma, part, group)
        found[f"posterior {sigma}"] = torch.cat([whole.mean.double().flatten(), whole.log_z, whole.ess])
    torch.save(found, f"{sys.argv[1]}-{group.rank}.pt")
"""


def test_two_and_three_processes_find_what_one_does(tmp_path: Path) -> None:
    [one] = together(PROCESSES, tmp_path / "one", 1)
    for size in (2, 3):
        several = together(PROCESSES, tmp_path / str(size), size)
        for name, want in one.items():
            least = 1e-6 if "posterior" in name else 1e-9  # the mean of pixels in [-1, 1] is float32
            for found in several:
                torch.testing.assert_close(found[name], want, rtol=1e-6, atol=least, equal_nan=True)


def test_a_group_shares_out_every_draw_once() -> None:
    """Without the exchange: the shares of three processes are the whole."""
    data, levels = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5, 2.0])
    whole = accumulate(data, levels, range(7, 60))

    class Apart(ProcessGroup):
        def add(self, tensors: object) -> None:
            pass

    shares = [accumulate(data, levels, range(7, 60), group=Apart(rank, 3)) for rank in range(3)]
    for wrong in (range(0, 40, 2), range(-5, 40)):  # refused by every process, before they are shared out
        for rank in range(3):
            with pytest.raises(UserError, match="range of at least one draw"):
                accumulate(data, levels, wrong, group=Apart(rank, 3))
    np.testing.assert_allclose(sum(one.total for one in shares), whole.total, rtol=1e-9)
    np.testing.assert_allclose(sum(one.cross for one in shares), whole.cross, rtol=1e-9)


# ----------------------------------------------------------------------------------- sums of several machines


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8))
    return path


def sums(images: Path, folder: Path, draws: str, *more: str) -> Path:
    words = ["optimal-loss", "--data", str(images), "--draws", draws, "--out", str(folder), *more]
    assert command.main(words) == 0
    return folder / f"sums-{draws.replace(':', '-')}.npz"


def test_sums_of_two_machines_are_one_curve(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["optimal-loss", "--data", str(images), "--sources", "90", "--out", str(tmp_path)]
    assert command.main(words) == 0
    undivided = capsys.readouterr().out
    files = [sums(images, tmp_path / draws[:1], draws) for draws in ("40:90", "0:40")]
    capsys.readouterr()
    assert command.main(["merge", *map(str, files), "--out", str(tmp_path / "merged")]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith("90 draws (0 to 90) from 60 points in 192 dimensions")
    assert numbers(said) == pytest.approx(numbers(undivided), rel=5e-3, abs=1e-9)
    with (
        np.load(tmp_path / "optimal-loss.npz") as one,
        np.load(tmp_path / "merged" / "optimal-loss.npz") as other,
    ):
        for name in one.files:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-6, atol=1e-12)


def numbers(text: str) -> list[float]:
    """Those of the table."""
    rows = re.findall(r"^ +[0-9.e+-]+ +[0-9.e+-]+ +[0-9.e+-]+ +[0-9.e+-]+", text, re.MULTILINE)
    assert len(rows) == 48
    return [float(word) for row in rows for word in row.split()]


def test_a_gap_between_draws_is_told(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [sums(images, tmp_path, draws, "--sigmas", "0.1,1") for draws in ("10:20", "40:50")]
    assert command.main(["merge", *map(str, files)]) == 0
    assert "20 draws (10 to 20, 40 to 50)" in (said := capsys.readouterr().out)
    assert "Draws are missing" in said


def test_what_does_not_belong_together(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sums(images, tmp_path / "a", "0:10")
    other = tmp_path / "other.npy"
    np.save(other, np.random.default_rng(1).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8))
    wrong = {
        "Draws 5 to 10 are in both": sums(images, tmp_path / "b", "5:15"),
        "use one estimator and one seed": sums(images, tmp_path / "c", "10:20", "--seed", "1"),
        "same data and noise levels": sums(other, tmp_path / "d", "10:20"),
        "not all with the same --sigmas": sums(images, tmp_path / "e", "10:20", "--sigmas", "1"),
        "has no sums": images,
        "cannot be read": tmp_path / "nothing.npz",
    }
    broken = tmp_path / "broken.npz"
    broken.write_bytes(first.read_bytes()[:-40])
    for sentence, path in [*wrong.items(), ("has no sums", broken)]:
        capsys.readouterr()
        assert command.main(["merge", str(first), str(path)]) == 2
        err = capsys.readouterr().err
        assert sentence in err
        assert err.count("\n") == 1


ODD = {
    "nothing but levels": lambda arrays: {"sigma": np.ones(3)},
    "no size": lambda arrays: arrays | {"size": np.array(np.inf)},
    "a size of 0": lambda arrays: arrays | {"size": np.array(0)},
    "a complex size": lambda arrays: arrays | {"size": np.array(1j)},
    "a date": lambda arrays: arrays | {"size": np.array("2026-01-01", dtype="datetime64[D]")},
    "half a draw": lambda arrays: arrays | {"drawn": np.array([[0.5, 10.5]])},
    "draws twice": lambda arrays: arrays | {"drawn": np.array([[0, 8], [5, 10]])},
    "draws before the first": lambda arrays: arrays | {"drawn": np.array([[-3, 7]])},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_files_get_one_sentence(
    odd: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sums(images, tmp_path, "0:10")
    with np.load(path) as found:
        np.savez(path, **ODD[odd](dict(found)))
    capsys.readouterr()
    assert command.main(["merge", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "has no sums of `optimal-loss --draws`" in said.err
    assert said.err.count("\n") == 1


def test_the_last_bits_of_levels_are_those_of_a_machine(images: Path, tmp_path: Path) -> None:
    """NumPy's powers differ in the last bit from processor to processor."""
    first, second = (sums(images, tmp_path, draws) for draws in ("0:10", "10:20"))
    with np.load(second) as found:
        arrays = dict(found)
    np.savez(second, **arrays | {"sigma": np.nextafter(arrays["sigma"], 1e9)})
    assert command.main(["merge", str(first), str(second)]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--draws", "5"], "as 0:2048; not '5'"),
        (["--draws", "9:3"], "as 0:2048; not '9:3'"),
        (["--draws", "0:3"], "needs --out"),
        (["--draws", "0:3", "--labels", "--out", "x"], "does not go with --labels"),
        (["--draws", "0:3", "--sources", "5", "--out", "x"], "does not go with --sources"),
    ],
)
def test_wrong_words_get_one_sentence(
    words: list[str], sentence: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["optimal-loss", "--data", str(images), *words]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


class Thread(ProcessGroup):
    """A process of two, as a thread."""

    def add(self, tensors: Sequence[torch.Tensor]) -> None:
        SHARED[self.rank] = [one.clone() for one in tensors]
        MEET.wait()
        for one, other in zip(tensors, SHARED[1 - self.rank], strict=True):
            one += other
        MEET.wait()


SHARED: dict[int, list[torch.Tensor]] = {}
MEET = Barrier(2, timeout=60)


@pytest.mark.parametrize("sigma", [1e-6, 1e-3, 0.5, math.inf])
def test_two_parts_that_are_equally_near(sigma: float) -> None:
    """Also where log-weights are so large that they cannot tell half of a weight from the whole."""
    parts, x = (torch.tensor([[0.0], [4.0]]), torch.tensor([[2.0], [9.0]])), torch.tensor([[1.0]])
    whole = posterior(x, sigma, torch.cat(parts))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda rank: divided_posterior(x, sigma, parts[rank], Thread(rank, 2)), (0, 1)))
    for one in both:
        torch.testing.assert_close(one.mean, whole.mean)
        torch.testing.assert_close(one.log_z, whole.log_z)
        torch.testing.assert_close(one.ess, whole.ess)


def test_the_posterior_over_one_part_is_the_posterior() -> None:
    data = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    own, whole = posterior(data[:4], 0.7, data), divided_posterior(data[:4], 0.7, data, ProcessGroup())
    torch.testing.assert_close(whole.mean, own.mean)
    torch.testing.assert_close(whole.ess, own.ess)
    for sigma in (0.0, 1e-12):
        with pytest.raises(UserError, match="sigma is too small for a posterior over parts"):
            divided_posterior(data[:4] + 1, sigma, data, ProcessGroup())
    with pytest.raises(UserError, match="shape of the data"):
        divided_posterior(data[:4, :3], 0.7, data, ProcessGroup())
