"""Hostile arguments of the public functions: a right answer, or one sentence that names the argument.

Shape annotations are checked at run time under pytest, before a dataclass sees what it is given. So those of
dataclasses run in a process of their own, as readers' code does.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from forks import Forks

from diffnotes import metrics, regions, sample
from diffnotes.base.errors import UserError
from diffnotes.base.runtime import normals
from diffnotes.base.shapes import Float, Int, OutOfMemory, Tensor, checked, whole
from diffnotes.data import load
from diffnotes.loss_gap import loss_gap
from diffnotes.metrics import (
    Neighbours,
    copy_similarity,
    frechet,
    frechet_gaussian,
    memorized,
    neighbours,
    sliced_wasserstein,
)
from diffnotes.networks import MLP, NetworkDenoiser
from diffnotes.optimal_loss import LossSums, accumulate, area, optimal_loss
from diffnotes.posterior import PrunedDenoiser, gaussian_optimal_loss, gaussian_posterior_mean, posterior
from diffnotes.process import VE, VP, FlowMatching

NAN, INF = math.nan, math.inf
ROOT = Path(__file__).resolve().parents[1]
DATA = normals(0, "arguments", range(6), (4,))
X, IMAGES = DATA[:2] + 0.1, torch.zeros(2, 1, 4, 4)
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])


# -------------------------------------------------------------------------------------------- the one place


@checked(count=1, shape=1)
def example(
    x: Float[Tensor, "b d"],
    y: Float[Tensor, "b *e"],  # noqa: F821
    labels: Int[Tensor, "b"] | None = None,  # noqa: F821
    t: float | Tensor = 1.0,
    count: int = 1,
    shape: tuple[int, ...] = (1,),
    path: Path | None = None,
    call: Callable[..., Tensor] | None = None,
) -> list:
    return [x, y, labels, t, count, shape, path]


PAIR = torch.ones(2, 3)
KEPT = [
    ({"x": [[1, 2], [3, 4]]}, 0, torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)),
    ({"x": np.ones((2, 3), np.float32)[:, ::-1]}, 0, PAIR),
    ({"x": np.ones((2, 3), ">f4")}, 0, PAIR),
    ({"x": PAIR.int()}, 0, PAIR.double()),
    ({"labels": np.array([3, 4], np.int32)}, 2, torch.tensor([3, 4])),
    ({"labels": [3, 4]}, 2, torch.tensor([3, 4])),
    ({"t": np.float32(0.5)}, 3, 0.5),
    ({"t": [0.5, 1.0]}, 3, torch.tensor([0.5, 1.0], dtype=torch.float64)),
    ({"count": np.int64(3)}, 4, 3),
    ({"shape": [2, np.int64(3)]}, 5, [2, 3]),
    ({"path": "runs"}, 6, Path("runs")),
]


@pytest.mark.parametrize(("given", "place", "wanted"), KEPT)
def test_what_means_the_same_is_taken(given: dict, place: int, wanted: object) -> None:
    found = example(**{"x": PAIR, "y": PAIR, **given})[place]
    assert type(found) is type(wanted)
    assert torch.equal(found, wanted) if isinstance(wanted, Tensor) else found == wanted


REFUSED = [
    ({"x": torch.ones(2)}, r"x must be \[b, d\], but its shape is \[2\]"),
    ({"y": torch.ones(3, 3)}, r"y must be \[b, \*e\] with b = 2, but its shape is \[3, 3\]"),
    ({"x": torch.tensor([[NAN]])}, "x contains NaN or infinite values"),
    ({"x": torch.ones(2, 3).byte()}, r"not uint8; convert with \.float\(\)"),
    ({"x": torch.ones(2, 3) * 1j}, "x must be floating-point numbers, not complex64"),
    ({"x": torch.ones(2, 3).bool()}, "not bool"),
    ({"x": torch.ones(2, 3).to_sparse()}, "x must be a tensor of floating-point numbers"),
    ({"x": torch.ones(2, 3, device="meta")}, "x must be a tensor of floating-point numbers"),
    ({"x": torch.ones(0, 3)}, r"x is empty, \[0, 3\]"),
    ({"x": [[1.0], [1.0, 2.0]]}, "x must be a tensor"),
    ({"x": "ab"}, r"x must be a tensor of floating-point numbers \[b, d\], not 'ab'"),
    ({"labels": [0.0, 1.0]}, "labels must be whole numbers, not float64"),
    ({"labels": torch.zeros(3).long()}, r"labels must be \[b\] with b = 2, but its shape is \[3\]"),
    ({"t": True}, "t must be a number or a tensor of numbers .*, not True"),
    ({"t": None}, "t must be a number or a tensor"),
    ({"count": 0}, "count must be a whole number of at least 1, not 0"),
    ({"count": 1.5}, "count must be a whole number of at least 1, not 1.5"),
    ({"count": "3"}, "not '3'"),
    ({"shape": (2, 0)}, r"shape must be a list of whole numbers, each of at least 1, not \(2, 0\)"),
    ({"shape": 3}, "shape must be a list of whole numbers, each of at least 1, not 3"),
    ({"path": 3}, "path must be a Path or None, not 3"),
    ({"call": 3}, "call must be a Callable or None, not 3"),
    ({"call": torch.nn.Linear}, "call must be a Callable or None, not the class Linear"),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED)
def test_what_does_not_is_told_in_one_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        example(**{"x": PAIR, "y": PAIR, **given})
    assert "\n" not in str(caught.value)


def test_a_whole_number_has_bounds() -> None:
    assert whole(np.int32(4), "n", most=4) == 4
    with pytest.raises(UserError, match="n must be a whole number of at least 1 and at most 4 points, not 5"):
        whole(5, "n", most=4, unit=" points")


def test_a_missing_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        example(PAIR)  # type: ignore[call-arg]


# -------------------------------------------------------------------------------------------- what it serves


def wiener(x: Tensor, sigma: object, *labels: Tensor) -> Tensor:
    return x / 2


def broken(x: Tensor, sigma: object) -> Tensor:
    return x * NAN


EYE, MEAN, NO_DISTANCE = torch.eye(4), X[0], torch.full((2, 2), NAN, dtype=torch.float64)


MISTAKES: list[tuple[Callable[[], object], str]] = [
    # answers that were silently wrong
    (lambda: frechet_gaussian(MEAN, EYE, MEAN, EYE * NAN), "cov_b contains NaN"),
    (lambda: frechet_gaussian(MEAN, -EYE, MEAN, EYE), "cov_a has the negative eigenvalue -1"),
    (lambda: frechet_gaussian(MEAN, torch.ones(4, 4).triu(), MEAN, EYE), "cov_a must be symmetric"),
    (lambda: gaussian_posterior_mean(X, 1.0, MEAN, -EYE), "covariance has the negative eigenvalue"),
    (lambda: gaussian_optimal_loss([1.0], [1.0, -1.0]), "Eigenvalues of a covariance are at least 0"),
    (lambda: gaussian_optimal_loss([-1.0], torch.eye(2)), "sigmas must be at least 0"),
    (lambda: frechet(DATA.double() * 1e200, DATA.double() * 2e200), "no number of float64; rescale"),
    (lambda: frechet(DATA.double() * 1e-200, DATA.double() * 2e-200), "no number of float64; rescale"),
    (lambda: memorized(torch.ones(3), threshold=NAN), "threshold must be above 0 and at most 1"),
    (lambda: memorized(torch.ones(3), threshold=-1.0), "threshold must be above 0"),
    (lambda: memorized(-torch.ones(3)), "at least 0, not -1"),
    (lambda: metrics.ratios(Neighbours(NO_DISTANCE, torch.zeros(2, 2).long())), "NaN"),
    (lambda: NetworkDenoiser(MLP((4,), 8))(X, -1.0), "sigma must be at least 0, not -1"),
    (lambda: NetworkDenoiser(MLP((4,), 8))(X, NAN), "sigma must be at least 0, not nan"),
    (lambda: sample.sample(broken, (4,), 2, [1.0, 0.0]), "denoiser returned NaN .* at sigma 1"),
    (lambda: metrics.denoising_error(broken, X, [0.5]), "denoiser returned NaN .* at sigma 0.5"),
    (lambda: VE().denoiser(broken, "eps")(X, 0.5), "denoiser returned NaN"),
    (lambda: optimal_loss(DATA, [1e-30], estimator="snis", subset=3), "At sigma 1e-30 log-weights"),
    (lambda: regions.overlap(torch.full((1,), NAN), torch.ones(1) / 2), "distances of at least 0"),
    (lambda: VE().sigma(torch.tensor([-1.0])), "t must be at least 0, not -1"),
    (lambda: FlowMatching().alpha(torch.tensor([2.0])), "t must be from 0 to 1, not 2"),
    (lambda: VP().time(torch.tensor([-1.0])), "s must be at least 0, not -1"),
    (lambda: VP().time(torch.tensor([INF])), "VP.time is not a number at s = inf"),
    (lambda: VE().from_x0(X, X + 1, 0.0, "eps"), "VE.from_x0 is not a number at t = 0"),
    (lambda: regions.nearest_other(DATA, slice(0, 6, 2)), "part must be a slice of some of the 6 points"),
    (lambda: metrics.pooled(torch.zeros(2, 1, 9, 9), 16), "cannot be halved to at most 16"),
    (lambda: metrics.bootstrap(lambda x: NAN, X), "statistic must give a finite number"),
    (lambda: area(np.array([1.0, -1.0]), np.ones(2), 1.0), "noise levels"),
    # raw exceptions for likely mistakes
    (lambda: frechet(IMAGES, IMAGES), r"a must be \[m, k\], but its shape is \[2, 1, 4, 4\]"),
    (lambda: copy_similarity(IMAGES, IMAGES), r"samples must be \[m, k\]"),
    (lambda: sliced_wasserstein(IMAGES, IMAGES), r"a must be \[m, k\]"),
    (lambda: sliced_wasserstein(X, X, p=INF), "p must be a whole number, not inf"),  # type: ignore[arg-type]
    (lambda: posterior(X, 1.0, DATA.to_sparse()), "data must be a dense tensor"),
    (lambda: optimal_loss(DATA, [1.0], labels=[0.5] * 6), "labels must be whole numbers"),
    (lambda: optimal_loss(DATA, [1e31]), "they go from 1e-30 to 1e.30"),
    (lambda: regions.guidance_gap(X, 0.5, DATA, "ab", 0), "labels must be a tensor of whole numbers"),
    (lambda: regions.distance_ratio(X, 0.5, DATA, FlowMatching), "process must be a Process, not the class"),
    (lambda: sample.sample(wiener, 4, 2, [1.0, 0.0]), "shape must be a list of whole numbers"),
    (lambda: sample.sample(wiener, (4,), 2, [1.0, 0.0], device="gpu"), 'Device "gpu" is not available'),
    (lambda: sample.initial_noise([0], (4,), dtype=torch.int64), "need a floating-point dtype"),
    (lambda: MLP((4,), 8)(torch.zeros(2, 5), torch.zeros(2)), r"takes 4 values, not images \[5\]"),
    (lambda: MLP((4,), 8)(X.double(), torch.zeros(2)), "x must be float32 like the weights, not float64"),
    (lambda: LossSums.from_arrays(SUMS | {"total": np.zeros(1)}), "an array has a wrong shape or values"),
    (lambda: LossSums.from_arrays(SUMS | {"points": np.array(0)}), "an array has a wrong shape or values"),
]  # fmt: skip
SUMS = accumulate(DATA, [0.5, 1.0], range(4)).to_arrays()


@pytest.mark.parametrize(("wrong", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(wrong: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        wrong()
    assert "\n" not in str(caught.value)


ONE = torch.ones(1, dtype=torch.float64)
LISTS: list[tuple[Callable[..., object], tuple]] = [
    (lambda t: VP().sigma(t), (torch.tensor([0.1, 0.5]),)),
    (lambda s: regions.bhattacharyya(DATA, s), (torch.tensor([0.1, 0.5]),)),
    (lambda a, b: sliced_wasserstein(a, b), (X, X + 1)),
    (lambda x, labels: regions.guidance_gap(x, 0.5, DATA, labels, 0), (X.double(), LABELS)),
    (lambda s, labels: optimal_loss(DATA, s, labels=labels).mean, (ONE, LABELS)),
    (lambda s, labels: loss_gap(wiener, DATA, s, draws=6, labels=labels).gap, (ONE, LABELS)),
    (lambda s: metrics.denoising_error(wiener, X, s), (torch.tensor([0.5, 1.0]),)),
]


@pytest.mark.parametrize(("call", "arguments"), LISTS)
def test_lists_and_arrays_are_taken_for_tensors(call: Callable[..., object], arguments: tuple) -> None:
    wanted = torch.as_tensor(call(*arguments))
    for same in ([one.tolist() for one in arguments], [one.numpy() for one in arguments]):
        found = torch.as_tensor(call(*same))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, check_dtype=False)


# ----------------------------------------------------------------------------------------------- odd scales


@pytest.mark.parametrize("scale", [1e-14, 1e-6, 1e6, 1e16])
def test_a_change_of_unit_changes_nothing_else(scale: float) -> None:
    query = (DATA[:3] + 0.3).double()
    for sigma in (0.0, 0.05, 0.5, 5.0):
        one, other = posterior(query, sigma, DATA), posterior(query * scale, sigma * scale, DATA * scale)
        torch.testing.assert_close(other.mean / scale, one.mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(other.ess, one.ess, rtol=1e-4, atol=0)
    levels = torch.tensor([0.3, 1.0, 3.0], dtype=torch.float64)
    curves = [optimal_loss(DATA * unit, levels * unit, sources=24).mean / unit**2 for unit in (1.0, scale)]
    torch.testing.assert_close(*curves, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("scale", "word"), [(1e-18, "too small"), (1e-30, "too small"), (1e18, "huge")])
def test_scales_beyond_float32_are_told(scale: float, word: str) -> None:
    data = DATA * scale
    for call in (
        lambda: posterior(X, 1.0, data),
        lambda: PrunedDenoiser(data)(X, 1.0),
        lambda: neighbours(X, data),
        lambda: optimal_loss(data, [1.0], sources=4),
        lambda: loss_gap(wiener, data, [1.0], draws=6),
        lambda: regions.distance_ratio(X, 0.5, data),
        lambda: regions.nearest_other(data),
    ):
        with pytest.raises(UserError, match=f"data .*{word}"):
            call()


@pytest.mark.parametrize("ask", [posterior, lambda x, s, d: PrunedDenoiser(d)(x, s)])
def test_huge_queries_are_told(ask: Callable[..., object]) -> None:
    with pytest.raises(UserError, match="x contains huge values"):
        ask(X.double() * 1e200, 1.0, DATA)


def test_distances_of_very_small_and_large_sets_scale_with_them() -> None:
    a, b = DATA.double(), DATA.double() + 1
    for scale in (1e-200, 1e200):
        assert sliced_wasserstein(a * scale, b * scale) == pytest.approx(sliced_wasserstein(a, b) * scale)
        torch.testing.assert_close(copy_similarity(a * scale, b * scale), copy_similarity(a, b))
    for scale in (1e-120, 1e120):
        assert frechet(a * scale, b * scale) == pytest.approx(frechet(a, b) * scale**2)


def test_a_process_can_be_differentiated() -> None:
    t = torch.tensor([0.3, 0.6], requires_grad=True)
    for made in (VE(), VP(), FlowMatching()):
        made.noise_ratio(t).sum().backward()
    assert t.grad is not None
    assert bool((t.grad > 0).all())


# ------------------------------------------------------------------------------------- classes and their kin

CLASSES = """
import json, math, sys
import numpy as np, torch
from diffnotes import data
from diffnotes.base.errors import UserError
from diffnotes.data import sets
from diffnotes.networks import MLP, NetworkDenoiser, UNet, small_network
from diffnotes.loss_gap import loss_gap
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior
from diffnotes.process import VE, VP, FlowMatching
from diffnotes.schedule import LossGapSchedule
from diffnotes.train import DenoisingLoss, LogNormal, LogUniform, Plan, UniformTime, train
curve = optimal_loss(torch.randn(6, 4), [0.1, 1.0, 10.0], sources=6)
loss = DenoisingLoss(torch.zeros(2, 4), LogNormal())
net = NetworkDenoiser(MLP((4,), 8))
said = {}
for line in json.loads(sys.argv[1]):
    try:
        said[line] = f"gave {eval(line)}"
    except UserError as error:
        said[line] = str(error)
    except Exception as error:
        said[line] = f"raised {type(error).__name__}: {error}"
print(json.dumps(said))
"""
OF_CLASSES = {
    "Plan('ten', 4)": "steps must be a whole number of at least 1, not 'ten'",
    "Plan(10, 4, rate=None)": "rate must be a number, not None",
    "Plan(10, 4, horizons=3)": "horizons must be a list of whole numbers",
    "VP(beta_min=math.nan)": "VP needs",
    "VE(-1.0)": "t_max must be above 0",
    "FlowMatching(2.0)": "t_max must be above 0 and at most 1",
    "LogNormal(std=-1.0)": "LogNormal needs",
    "LogUniform(1.0, 0.0)": "log-uniform law needs 0 < low",
    "UniformTime(VP)": "process must be a Process, not the class VP",
    "posterior(torch.zeros(2, 1), 1.0, [[1.0], [2.0]])": "data must be a tensor, not list",
    "loss_gap(lambda x, s: x, np.zeros((3, 4)), [1.0])": "data must be a tensor, not ndarray",
    "DenoisingLoss([[1.0]], LogNormal())": "must be a float32 tensor",
    "DenoisingLoss(torch.full((2, 4), math.nan), LogNormal())": "NaN, infinite or huge",
    "DenoisingLoss(torch.zeros(2, 4), LogNormal(), labels=np.ones(2))": "labels must be whole numbers",
    "DenoisingLoss(torch.zeros(2, 4), LogNormal(), target='noise')": "Unknown prediction target",
    "LossGapSchedule(curve, 4, bins='many')": "bins must be a whole number, not 'many'",
    "LossGapSchedule('curve', 4)": "curve must be a LossCurve, not 'curve'",
    "LossGapSchedule(curve, 4).sample(1.5)": "n must be a whole number of at least 1, not 1.5",
    "LossGapSchedule(curve, 4).weight('x')": "sigma must be a tensor of numbers",
    "NetworkDenoiser(MLP, VE())": "network must be a Module, not the class MLP",
    "NetworkDenoiser(net, sigma_data=0.0)": "sigma_data must be positive",
    "MLP(4, 8)": "shape must be a list of whole numbers",
    "UNet((1, 8, 8), 8, ())": "at least one level",
    "small_network('vit', (1, 8, 8), 8, 1)": "Unknown network",
    "next(train(net, loss, Plan(2, 2), [1], folder=3))": "folder must be a Path, not 3",
    "next(train(net.requires_grad_(False), loss, Plan(2, 2), [1], 'runs/none'))": "Nothing to train",
    "data.load(['digits'])": "name must be a string",
    "data.load('digits', n='5')": "n must be a whole number or None",
    "data.load('gaussian', decay='x')": "decay must be a number",
    "data.fingerprint('digits', n=0)": "n must be a whole number of at least 1",
    "data.fingerprint('digits', seed=-1)": "seed must be a whole number from 0",
    "data.Dataset('a', 'train', torch.zeros(2, 3), torch.zeros(3))": "labels must be",
    "data.load('digits', 5).taken([9])": "digits has samples 0 to 4",
    "data.Shards(3)": "Shards are a list of paths",
    "sets.circle(-1)": "n must be a whole number of at least 1, not -1",
    "sets.gaussian(0)": "n must be a whole number of at least 1, not 0",
    "sets.digits('dev')": "There is no split 'dev'",
    "len(sets.digits('test').x) == len(sets.digits('validation').x)": "gave True",
    "type(Plan(np.int64(3), 4).steps).__name__": "gave int",
}


def test_classes_and_data_sets_say_no_in_one_sentence(forks: Forks, tmp_path: Path) -> None:
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forks.run("-c", CLASSES, json.dumps([*OF_CLASSES]), cwd=tmp_path, environment=here)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {line: said[line] for line, words in OF_CLASSES.items() if words not in said[line]} == {}


WIDE = """
import torch
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior
x = torch.randn(20, 4)
named = {name: dict(estimator=name, sources=8, subset=4) for name in ("snis", "dol", "cdol", "neighbours")}
def found():
    curves = [optimal_loss(x, [0.1, 1.0], **more).mean for more in ({}, *named.values())]
    return [posterior(x[:3], 0.5, x).mean, *curves]
before = found()
torch.set_default_dtype(torch.float64)
assert all(map(torch.equal, before, found()))
assert optimal_loss(x, [0.1]) != optimal_loss(x, [0.1])
"""


def test_the_default_type_of_torch_changes_nothing(forks: Forks, tmp_path: Path) -> None:
    done = forks.run("-c", WIDE, cwd=tmp_path, environment={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr


# ------ what the machine and torch are set to


def test_another_default_device_is_told_but_not_to_networks() -> None:
    x = torch.zeros(3, 2)
    with torch.device("meta"):
        with pytest.raises(UserError, match="torch's default device is meta, .* set it back"):
            optimal_loss(x, [1.0])
        assert next(MLP((2,), width=8).parameters()).is_meta
    with pytest.raises(UserError, match="a dense tensor with values"):
        optimal_loss(x.to("meta"), [1.0])
    with pytest.raises(UserError, match="not float32 .3, 2., which holds no values"):
        MLP((2,), width=8)(x.to("meta"), torch.ones(3))


@pytest.mark.parametrize("error", [RuntimeError("you tried to allocate 9 bytes"), MemoryError()])
def test_too_little_memory_is_one_sentence_and_of_torchs_class(error: Exception) -> None:
    @checked()
    def large(n: int) -> None:
        raise error

    @checked()
    def outer(n: int) -> None:
        large(n)

    with pytest.raises(OutOfMemory, match="^There is not enough memory; free some") as caught:
        outer(1)
    assert isinstance(caught.value, UserError | torch.OutOfMemoryError)
    assert caught.value.__cause__ is error


def test_other_faults_of_a_function_stay_what_they_are() -> None:
    @checked()
    def wrong(n: int) -> None:
        raise RuntimeError("storage has not been allocated")

    with pytest.raises(RuntimeError, match="storage"):
        wrong(1)


def test_a_word_is_never_longer_than_a_sentence_can_be() -> None:
    place = "a/b" * 3000
    with pytest.raises(UserError) as caught:
        load("imagenet64", folder=place)
    assert len(str(caught.value)) < 800
    assert "..." in str(caught.value)
