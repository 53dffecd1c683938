"""Live objects, functions and programs as denoisers."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import noisy
from torch import nn

from diffnotes import data
from diffnotes.adapters import DiscreteVP, adapt, load_denoiser, save_denoiser
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.metrics import denoising_error
from diffnotes.networks import MLP, DiT, NetworkDenoiser, UNet, seeded
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import VE, VP, FlowMatching, edm_scalings
from diffnotes.sample import edm_sigmas, sample

SHAPE = (3, 8, 8)  # what the network of denoising-diffusion-pytorch takes
needs_lucid = pytest.mark.skipif(
    importlib.util.find_spec("denoising_diffusion_pytorch") is None,
    reason="denoising-diffusion-pytorch is not installed (make test installs it)",
)


# ------------------------------------------------------------------------------------ the discrete process


def test_a_grid_of_steps_has_the_ratios_of_its_products() -> None:
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    process, steps = DiscreteVP(kept), torch.arange(1000, dtype=torch.float64)
    assert torch.allclose(process.alpha(steps), kept.sqrt())
    assert torch.allclose(process.sigma(steps), (1 - kept).sqrt())
    assert torch.allclose(process.time(process.noise_ratio(steps)), steps)
    middle = torch.tensor([0.5, 10.25, 997.75], dtype=torch.float64)
    assert torch.allclose(process.time(process.noise_ratio(middle)), middle)
    assert torch.allclose(process.alpha(middle) ** 2 + process.sigma(middle) ** 2, torch.ones(3).double())


def test_its_derivatives_are_those_of_its_lines() -> None:
    process = DiscreteVP(torch.cumprod(1 - torch.linspace(1e-3, 0.05, 100, dtype=torch.float64), 0))
    t, h = torch.tensor([3.5, 50.2, 90.7], dtype=torch.float64), 1e-5
    for value, slope in ((process.alpha, process.alpha_dot), (process.sigma, process.sigma_dot)):
        assert torch.allclose((value(t + h) - value(t - h)) / (2 * h), slope(t), rtol=1e-6)


@pytest.mark.parametrize("products", [[0.5], [0.5, 0.6], [1.0, 0.5], [0.0, 0.0]])
def test_what_is_no_schedule_is_refused(products: list[float]) -> None:
    with pytest.raises(UserError, match="none of a diffusion"):
        DiscreteVP(torch.tensor(products))


# ---------------------------------------------------------------------------------------- GaussianDiffusion


def lucid(**settings: Any) -> Any:
    data.load_torchvision()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import denoising_diffusion_pytorch as package

    network = seeded(0, lambda: package.Unet(dim=8, dim_mults=(1, 2), flash_attn=False))
    return package.GaussianDiffusion(network, image_size=8, timesteps=100, **settings).eval()


@needs_lucid
@pytest.mark.parametrize("objective", ["pred_noise", "pred_x0", "pred_v"])
def test_a_gaussian_diffusion_says_what_it_says_itself(objective: str) -> None:
    theirs = lucid(objective=objective)
    model = adapt(theirs)
    assert model.shape == SHAPE
    for step in (5, 50, 90):
        kept = theirs.alphas_cumprod.double()[step]
        sigma = float(((1 - kept) / kept).sqrt())
        x = noisy(sigma, shape=SHAPE)
        with torch.no_grad():
            t = torch.full((len(x),), step)
            wanted = theirs.model_predictions(kept.sqrt().float() * x, t).pred_x_start
        assert torch.allclose(model(x, sigma), wanted, atol=1e-4 * float(wanted.abs().max())), step


@needs_lucid
def test_one_that_does_not_bring_images_to_its_range() -> None:
    """Then the range is what is said of it; else it must not be said."""
    theirs = lucid(objective="pred_noise", auto_normalize=False)
    sigma, x = 1.3, noisy(1.3, shape=SHAPE)
    own, halved = adapt(theirs), adapt(theirs, pixels="0,1")
    assert torch.allclose(halved(x, sigma), 2 * own((x + 1) / 2, sigma / 2) - 1, atol=1e-6)
    assert halved.high == pytest.approx(2 * own.high)
    assert "said to be in [0,1]" in " ".join(halved.notes)
    with pytest.raises(UserError, match="by itself; leave out pixels"):
        adapt(lucid(objective="pred_noise"), pixels="0,1")


@needs_lucid
def test_its_relatives_are_known_or_named() -> None:
    data.load_torchvision()
    import denoising_diffusion_pytorch as package

    settings = {"dim": 8, "dim_mults": (1, 2), "flash_attn": False, "learned_variance": True}
    network = seeded(0, lambda: package.Unet(**settings))
    learned = package.LearnedGaussianDiffusion(network, image_size=8, timesteps=100, objective="pred_noise")
    x = noisy(1.0, shape=SHAPE)
    assert adapt(learned)(x, 1.0).shape == x.shape
    settings = {"dim": 8, "dim_mults": (1, 2), "flash_attn": False, "learned_sinusoidal_cond": True}
    other = package.ElucidatedDiffusion(seeded(0, lambda: package.Unet(**settings)), image_size=8)
    with pytest.raises(UserError, match="ElucidatedDiffusion"):
        adapt(other)(x, 1.0)


# ------------------------------------------------------------------------------ functions and their targets


STATED = ("ve x0", "ve eps", "ve F", "vp eps", "vp v", "vp score", "flow velocity")


@pytest.mark.parametrize(("process", "target"), [one.split() for one in STATED])
def test_every_target_of_one_denoiser_is_that_denoiser(process: str, target: str) -> None:
    best = ExactDenoiser(data.load("digits", n=20).x)
    known = {"ve": VE(), "vp": VP(), "flow": FlowMatching()}[process]

    def predict(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x, s = known.to_ve(xt.double(), t.double())
        return known.from_x0(best(x.float(), s).double(), xt.double(), t.double(), target).float()

    model = adapt(predict, process=process, target=target)
    for sigma in (0.2, 1.0, 5.0):
        x = noisy(sigma)
        assert torch.allclose(model(x, sigma), best(x, sigma), atol=2e-3), (process, target, sigma)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"process": "vp", "target": "eps"}, "process"),
        ({"classes": 3}, "classes"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"context": torch.zeros(1, 2, 3)}, "context"),
    ],
)
def test_what_a_model_says_by_itself_must_not_be_said(given: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=f"says by itself what it is; leave out {word}"):
        adapt(NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 8, 1))), **given)


def test_a_function_can_be_told_classes() -> None:
    def told(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return labels.view(-1, 1, 1, 1).to(x).expand_as(x)

    model = adapt(told, classes=3)
    x = noisy(1.0)
    assert torch.equal(model(x, 1.0, torch.full((len(x),), 2)), torch.full_like(x, 2))
    with pytest.raises(UserError, match="knows the classes 0 to 2"):
        model(x, 1.0, torch.full((len(x),), 3))


def test_a_function_that_fails_is_one_sentence() -> None:
    def fails(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        raise KeyError("my own\nbug")

    with pytest.raises(UserError, match=r"function failed when it was asked for 4 images .KeyError: .*bug"):
        adapt(fails)(noisy(1.0), 1.0)


def test_a_function_may_be_a_denoiser_already() -> None:
    model = adapt(lambda x, sigma: 0.5 * x)
    x = noisy(1.0)
    assert torch.equal(model(x, 1.0), 0.5 * x)
    assert torch.equal(model(x, torch.tensor([0.0, 1.0, 2.0, 0.0]))[0], x[0])
    assert adapt(model) is model


def test_pixels_from_0_to_1() -> None:
    seen: dict[str, torch.Tensor] = {}

    def grey(y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.update(y=y, sigma=sigma)
        return torch.full_like(y, 0.75)

    model, x = adapt(grey, pixels="0,1"), noisy(1.0)
    assert torch.equal(model(x, 1.0), torch.full_like(x, 0.5))
    assert torch.allclose(seen["y"], (x + 1) / 2)
    assert torch.allclose(seen["sigma"], torch.full((len(x),), 0.5))


def test_every_instrument_takes_it() -> None:
    images = data.load("digits", n=30).x
    model = adapt(ExactDenoiser(images))
    error = denoising_error(model, images, torch.tensor([0.1, 1.0]))
    assert torch.isfinite(error).all()
    made = sample(model, (1, 8, 8), 4, edm_sigmas(8))
    assert float(torch.cdist(made.flatten(1), images.flatten(1)).amin(1).max()) < 1e-2


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("needs a target", {"process": "ve"}),
        ("needs a process", {"target": "eps"}),
        ("no process 'edm'", {"process": "edm", "target": "eps"}),
        ('Unknown prediction target "noise"', {"process": "ve", "target": "noise"}),
        ("pixels must be one of", {"pixels": "0-255"}),
    ],
)
def test_what_is_said_of_a_function_must_fit(words: str, given: dict[str, str]) -> None:
    with pytest.raises(UserError, match=words):
        adapt(lambda x, sigma: x, **given)


def test_answers_that_are_none_are_refused() -> None:
    x = noisy(1.0)
    with pytest.raises(UserError, match="returned \\[4, 1, 8\\] for noisy images"):
        adapt(lambda x, sigma: x[..., 0])(x, 1.0)
    with pytest.raises(UserError, match="NaN or infinite"):
        adapt(lambda x, sigma: x / 0)(x, 1.0)
    with pytest.raises(UserError, match="A dict is no model"):
        adapt({})
    with pytest.raises(UserError, match="knows no classes"):
        adapt(lambda x, sigma: x)(x, 1.0, torch.zeros(4, dtype=torch.int64))


# -------------------------------------------------------------------------------------------------- programs


class Half(nn.Module):
    """A denoiser with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return self.weight * x + 0 * sigma.view(-1, 1, 1, 1)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_of_test.py").write_text(
        "import torch\nfrom diffnotes.adapters import adapt\n"
        "def half(x, sigma):\n    return 0.5 * x\n"
        "def make():\n    return half\n"
        "def labelled(x, sigma, labels=None):\n    return x\n"
        "def adapted():\n    return adapt(half, pixels='0,1')\n"
        "def number():\n    return 3\n"
        "text = 'x'\n"
        "def velocity(x, t):\n    return x\n"
        "def broken():\n    raise RuntimeError('in\\nhere')\n"
        "class Net(torch.nn.Module):\n    def forward(self, x, sigma):\n        return 0.5 * x\n"
    )
    (tmp_path / "wrong_of_test.py").write_text("def f(:\n")
    yield tmp_path
    sys.modules.pop("mine_of_test", None)


@pytest.mark.usefixtures("module")
def test_a_function_that_is_named() -> None:
    x = noisy(1.0)
    for name in ("half", "make", "Net"):
        assert torch.equal(adapt(f"mine_of_test:{name}")(x, 1.0), 0.5 * x)
    assert torch.equal(adapt("mine_of_test:labelled")(x, 1.0), x)
    assert any("[0, 1]" in note for note in adapt("mine_of_test:adapted").notes)
    flow = adapt("mine_of_test:velocity", process="flow", target="velocity")
    assert torch.allclose(flow(x, 1.0), 0.5 * x - 0.5 * 0.5 * x)  # x_t = x/2 at t = 1/2, D = x_t - t v


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("mine_of_test:none", "names no function here"),
        ("no_such_module_of_test:f", "names no function here"),
        ("mine_of_test:text", "is no function, but a str"),
        ("mine_of_test:number", "returns a int; it must return a denoiser"),
        ("mine_of_test:broken", "failed when it was called .RuntimeError: in here."),
        ("wrong_of_test:f", "wrong_of_test cannot be loaded .SyntaxError: "),
        ("nowhere/at/all", "There is no nowhere/at/all"),
    ],
)
def test_a_name_of_nothing_is_one_sentence(named: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        adapt(named)


def script(path: Path) -> Path:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(Half()).save(str(path))
    return path


def exported(path: Path) -> Path:
    some = {"x": {0: torch.export.Dim("b")}, "sigma": {0: torch.export.Dim("b")}}
    program = torch.export.export(Half(), (torch.ones(2, 1, 8, 8), torch.ones(2)), dynamic_shapes=some)
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize("make", [script, exported])
def test_a_program_is_loaded_with_its_digest_alone(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path / ("half.pt2" if make is exported else "half.pt"))
    x = noisy(1.0)
    with pytest.raises(UserError, match="give the SHA-256 of the file that you trust") as told:
        adapt(path)
    digest = files.sha256_file(path)
    assert digest in str(told.value)
    for wrong, words in (("0" * 64, "is not the program that you trust"), ("abc", "64 hexadecimal digits")):
        with pytest.raises(UserError, match=words):
            adapt(path, sha256=wrong)
    model = adapt(path, sha256=digest.upper())
    assert torch.allclose(model(x, 1.0), 0.5 * x)
    assert model.identity == digest


@pytest.mark.parametrize("name", ["model.pt", "model.pt2"])
def test_a_damaged_program_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="neither TorchScript"):
        adapt(path, sha256=files.sha256_file(path))


@pytest.mark.parametrize("name", ["model.bin", "model.ckpt", "model.pth", "model.pkl"])
def test_a_pickle_is_not_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"cposix\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(UserError, match="is a pickle, which may run code when it is loaded, so it was not"):
        adapt(path)
    assert not (tmp_path / "ran").exists()


def test_weights_alone_and_runs_say_what_lacks(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="holds weights alone"):
        adapt(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="holds no model"):
        adapt(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(UserError, match="the state of a training run"):
        adapt(tmp_path)


# ---------------------------------------------------------------------------------- denoisers of the book


NETWORKS = {
    "mlp": lambda: MLP((1, 8, 8), 16, 2, classes=3),
    "unet": lambda: UNet((1, 8, 8), 8, (1, 2), 1, (1,), embedding=16),
    "dit": lambda: DiT((1, 8, 8), 16, 1),
}
PROCESSES = {"F": VE(t_max=40.0), "velocity": FlowMatching(), "eps": VP(beta_max=15.0)}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("target", PROCESSES)
def test_a_saved_denoiser_is_the_same(tmp_path: Path, network: str, target: str) -> None:
    before = NetworkDenoiser(seeded(0, NETWORKS[network]), PROCESSES[target], target, sigma_data=0.7)
    with torch.no_grad():
        for weight in before.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    path = save_denoiser(before, tmp_path / "own.npz")
    x = noisy(1.0)
    assert torch.equal(load_denoiser(path)(x, 1.0), before(x, 1.0))
    model = adapt(path)
    assert torch.equal(model(x, 1.0), before(x, 1.0).detach())
    assert model.shape == (1, 8, 8)
    assert model.classes == (3 if network == "mlp" else 0)
    assert model.identity == files.sha256_file(path)


def test_other_networks_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="A Half under VE cannot be saved so"):
        save_denoiser(NetworkDenoiser(Half()), tmp_path / "own.npz")


@pytest.mark.parametrize("change", ["arrays", "words", "network", "weights", "bytes", "folder"])
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, change: str) -> None:
    path = save_denoiser(NetworkDenoiser(NETWORKS["mlp"]()), tmp_path / "own.npz")
    arrays = files.npz_arrays(path.read_bytes())
    if change == "arrays":
        arrays.pop("denoiser")
    if change == "words":
        arrays["denoiser"] = np.array("{")
    if change == "network":
        arrays["denoiser"] = np.array(str(arrays["denoiser"]).replace("MLP", "Net"))
    if change == "weights":
        arrays.pop("network.enter.bias")
    files.save_npz_atomic(path, arrays)
    if change == "bytes":
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="save_denoiser|cannot be (loaded|read)") as told:
        load_denoiser(tmp_path if change == "folder" else path)
    assert "\n" not in str(told.value)


def test_weights_without_numbers_are_refused() -> None:
    network = NETWORKS["mlp"]()
    with torch.no_grad():
        network.enter.bias[0] = torch.nan
    with pytest.raises(UserError, match=r"enter\.bias has NaN"):
        adapt(NetworkDenoiser(network))


def test_edm_scalings_are_those_of_the_network() -> None:
    """F of a stated function is with sigma_data 0.5."""
    model = adapt(lambda x, s: torch.zeros_like(x), process="ve", target="F")
    skip, _, _ = edm_scalings(torch.tensor([1.0]))
    x = noisy(1.0)
    assert torch.allclose(model(x, 1.0), float(skip) * x, atol=1e-6)
