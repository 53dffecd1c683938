"""Reports on models whose faults are planted, by the function and by the command."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffnotes import adapters, data
from diffnotes.__main__ import main
from diffnotes.adapters import adapt, live, save_denoiser
from diffnotes.base.errors import UserError
from diffnotes.data import Dataset, given
from diffnotes.diagnose import Diagnosis, Settings, diagnose
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.posterior import ExactDenoiser
from diffnotes.process import FlowMatching
from diffnotes.store import Unfinished
from diffnotes.train import DenoisingLoss, LogNormal, Plan, train

SMALL = Settings(levels=8, draws=64, samples=48, steps=8, probes=3, sources=256)
KNOWN = data.load("digits", n=200)
UNSEEN = data.load("digits", n=200, split="test")
BEST = ExactDenoiser(KNOWN.x)
MEAN, SPREAD = KNOWN.x.mean(0), float(KNOWN.x.var(0).mean())


def shrinking(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The best multiple of the noisy image, about the mean of the training images."""
    share = SPREAD / (SPREAD + sigma.view(-1, 1, 1, 1) ** 2)
    return MEAN + share * (x - MEAN)


def report(model: Callable[..., Any], held: Dataset | None = UNSEEN, **given: Any) -> Diagnosis:
    return diagnose(adapt(model), KNOWN, held, **{"settings": SMALL, **given})


def said(found: Diagnosis, kind: str) -> str:
    return next(one.text for one in found.findings if one.kind == kind)


# ------------------------------------------------------------------------------------------- planted cases


def test_the_optimal_denoiser_has_no_gap_and_copies_all() -> None:
    found = report(BEST)
    assert np.allclose(found.arrays["train_gap"], 0, atol=1e-12)
    assert found.arrays["copies"][0] == 1
    assert found.findings[0].text.startswith("Samples are training images: 100 % of 48 samples")
    assert said(found, "underfits").startswith("It has converged at sigma")


def test_a_gaussian_denoiser_underfits_where_the_theory_says() -> None:
    """Its loss is s^2 v/(s^2 + v) per dimension; beside it stands the optimum of the set."""
    found = report(shrinking)
    sigma, loss = found.arrays["sigma"], found.arrays["train_loss"]
    theory = sigma**2 * SPREAD / (sigma**2 + SPREAD)
    assert np.allclose(loss, theory, rtol=0.25)
    assert found.findings[0].text.startswith("It underfits at sigma")
    worst = (loss / found.arrays["linear"]).argmax()
    assert f"at sigma {sigma[worst]:.2g} the loss is" in found.findings[0].text
    assert said(found, "overfits").startswith("No sign of overfitting")


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_planted_copies_are_found_within_the_interval(share: float) -> None:
    """Some samples are training images with a little noise, the others are held-out images."""
    count = 200
    planted = round(share * count)
    noise = 0.05 * torch.randn(planted, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    samples = torch.cat([KNOWN.x[:planted] + noise, UNSEEN.x[: count - planted]])
    control = data.load("digits", n=300, split="test").taken(np.arange(200, 300))
    found = report(shrinking, control, samples=samples)
    value, low, high = found.arrays["copies"]
    assert low <= share <= high
    assert found.findings[0].text.startswith("Samples are training images: ")
    assert "path_gap" not in found.arrays


def test_copies_of_images_that_are_there_twice_are_found() -> None:
    """Every training image has a double that was saved again, so that both are equally near to a copy."""
    noise = 0.03 * torch.randn(KNOWN.x.shape, generator=torch.Generator().manual_seed(0))
    both = Dataset("twice", "train", torch.cat([KNOWN.x, KNOWN.x + noise]), torch.zeros(400).long())
    copied = KNOWN.x[:100] + noise.flip(0)[:100]
    found = diagnose(adapt(shrinking), both, UNSEEN, samples=copied, settings=SMALL)
    assert found.arrays["copies"][0] == 1
    assert found.findings[0].text.startswith("Samples are training images: 100 % of 100")
    assert re.match("400 of 400 training images that were looked at have a double", said(found, "images"))


def test_without_held_out_images_chance_is_that_of_training_images() -> None:
    """Points in the plane are often three times nearer to one point than to the next."""
    draw = torch.Generator().manual_seed(0)
    points = Dataset("plane", "train", torch.randn(300, 2, generator=draw), torch.zeros(300).long())
    fresh = torch.randn(256, 2, generator=draw)
    found = diagnose(adapt(lambda x, s: x / (1 + s.view(-1, 1) ** 2)), points, samples=fresh, settings=SMALL)
    copies = next(one for one in found.findings if one.kind == "copies")
    assert copies.word != "bad"
    assert 0.03 < found.arrays["control"][0] < 0.3


def test_held_out_images_that_were_trained_on_are_found() -> None:
    mixed = KNOWN.taken(np.arange(150, 200))
    values = torch.cat([mixed.values, UNSEEN.values[:50]])
    both = Dataset("mixed", "validation", values, torch.zeros(100, dtype=torch.int64))
    found = report(BEST, both)
    assert found.findings[0].text.startswith("Held-out images lie in the training set: 50 of 100")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x, s: 2 * BEST(x, s), "Predictions do not denoise: .* Times 0.5 they would fit best"),
        (lambda x, s: -BEST(x, s), "Predictions do not denoise"),
        (lambda x, s: shrinking(x, s / 4), "another number for the noise level: told 4 times|not denoise"),
        (lambda x, s: shrinking(x, 4 * s), "another number for the noise level: told 0.25 |not denoise"),
        (lambda x, s: BEST(x, s / 4), "another number for the noise level: told 4 times"),
    ],
)
def test_a_wrong_convention_is_found_and_said(wrong: Callable[..., Any], words: str) -> None:
    found = report(wrong)
    assert found.findings[0].kind == "denoises"
    assert re.search(words, found.findings[0].text)


def network(steps: int, images: torch.Tensor, folder: Path, width: int = 64) -> NetworkDenoiser:
    denoiser = NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), width, 2)))
    plan = Plan(steps, 64, 3e-3, precision="float32")
    for _ in train(denoiser, DenoisingLoss(images, LogNormal()), plan, [steps], folder):
        pass
    return denoiser


def test_a_network_that_memorizes_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    """One saw eight images, again and again, the other a thousand, a few times."""
    few, many = data.load("digits", n=8), data.load("digits", n=1000)
    settings = Settings(levels=8, draws=128, samples=64, steps=12, probes=3, sources=256)
    one = diagnose(network(1500, few.x, tmp_path / "few", 128), few, UNSEEN, settings=settings)
    two = diagnose(network(300, many.x, tmp_path / "many"), many, UNSEEN, settings=settings)
    words = [{f.kind: f.word for f in found.findings} for found in (one, two)]
    assert words[0]["overfits"] == "bad"
    assert words[0]["copies"] == "bad"
    assert words[1]["overfits"] != "bad"
    assert words[1]["copies"] != "bad"
    assert one.findings[0].kind == "copies"


# ----------------------------------------------------------------------------------------- one denoiser


def test_every_target_of_one_denoiser_gives_one_report() -> None:
    flow = FlowMatching()

    def velocity(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x, s = flow.to_ve(xt.double(), t.double())
        answer = shrinking(x.float(), s.float()).double()
        return flow.from_x0(answer, xt.double(), t.double(), "velocity").float()

    plain, other = report(shrinking), report(adapt(velocity, process=flow, target="velocity"))
    for name in ("train_loss", "held_loss", "train_gap", "copies"):
        assert np.allclose(plain.arrays[name], other.arrays[name], rtol=1e-3, atol=1e-7), name
    assert [one.text for one in plain.findings] == [one.text for one in other.findings]


def test_a_report_can_be_stopped_and_goes_on(tmp_path: Path) -> None:
    whole = report(shrinking)
    turns, found = 0, None
    while found is None and turns < 100:
        turns += 1
        with contextlib.suppress(Unfinished):
            found = report(shrinking, folder=tmp_path, max_seconds=1e-9)
    assert turns > 5
    assert found is not None
    for name, array in whole.arrays.items():
        assert np.array_equal(array, found.arrays[name]), name
    other = report(BEST, folder=tmp_path)  # another model does not take these parts
    assert other.arrays["copies"][0] == 1


def test_without_held_out_images_there_is_a_report() -> None:
    found = report(shrinking, None)
    assert "without images that it was not trained on" in said(found, "overfits")
    assert "(training images among the others)" in said(found, "copies")
    found.html()


def test_a_model_of_classes_is_compared_within_its_class() -> None:
    class Told(NetworkDenoiser):
        """The optimum of the class that it is told."""

        def forward(self, x: Any, sigma: Any, labels: Any = None) -> torch.Tensor:
            found = torch.empty_like(x)
            for label in labels.unique():
                own = ExactDenoiser(KNOWN.x[KNOWN.labels == label])
                found[labels == label] = own(x[labels == label], sigma[labels == label])
            return found

    model = adapt(Told(MLP((1, 8, 8), 8, 1, classes=10)))
    found = diagnose(model, KNOWN, UNSEEN, labels=True, settings=SMALL)
    assert np.allclose(found.arrays["train_gap"], 0, atol=1e-12)
    assert float(found.arrays["optimum"].sum()) < float(report(shrinking).arrays["optimum"].sum())


def test_a_model_that_needs_a_class_is_not_told_that_all_are_of_the_first() -> None:
    def told(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return shrinking(x, sigma)

    model = replace(adapt(told, classes=10), needs_label=True)
    flat = Dataset("flat", "train", KNOWN.values, torch.zeros(200).long())
    with pytest.raises(UserError, match="must be told a class, and the training images have none"):
        diagnose(model, flat, settings=SMALL)
    assert diagnose(model, flat, labels=True, settings=SMALL).findings


def test_a_report_on_points_has_no_pictures() -> None:
    points = data.load("circle", n=12)
    found = diagnose(ExactDenoiser(points.x), points, settings=SMALL)
    assert "sheet" not in found.arrays
    assert "<img" not in found.html()


def test_features_of_the_user_are_a_second_distance() -> None:
    found = report(shrinking, features=lambda x: x.flatten(1)[:, :8])
    assert "feature_frechet_sample_held" in found.arrays
    assert "in features" in said(found, "samples")


# ------------------------------------------------------------------------------------------- what is written


def test_what_is_written_needs_nothing_else(tmp_path: Path) -> None:
    found = report(shrinking)
    path = found.save(tmp_path / "report")
    page = path.read_text()
    assert found.findings[0].text.split(":")[0] in page
    assert page.count("<svg") == 4
    foreign = r"""(src|href)=["'](?!data:)|<script|@import|url\((?!#)"""
    assert not re.search(foreign, page)
    said = json.loads((path.parent / "record.json").read_text())
    assert said["about"]["unit"] == "squared error of x0 per dimension, images in [-1, 1]"
    assert [one["text"] for one in said["findings"]] == [one.text for one in found.findings]
    with np.load(path.parent / "arrays.npz") as arrays:
        assert set(arrays.files) == set(found.arrays)
    assert str(found).splitlines()[0].endswith(found.findings[0].text)


def test_names_of_models_and_images_are_text_in_the_page() -> None:
    found = report(shrinking)
    found.about["model"], found.about["train"][0] = "<b>&", "<script>"
    page = found.html()
    assert "&lt;b&gt;&amp;" in page
    assert "<script>" not in page


# -------------------------------------------------------------------------------------------------- bad input


def test_images_that_do_not_fit_are_one_sentence() -> None:
    model = adapt(NetworkDenoiser(MLP((1, 8, 8), 8, 1)))
    wide = data.load("specimens", n=10)
    bad: list[tuple[str, Callable[[], Any]]] = [
        ("denoises images 1 × 8 × 8, and the training images are 3 × 32 × 32", lambda: diagnose(model, wide)),
        ("the held-out images are 3 × 32 × 32", lambda: diagnose(model, KNOWN, wide)),
        ("the sampled images are", lambda: diagnose(model, KNOWN, samples=torch.zeros(4, 1, 4, 4))),
        ("needs at least 3", lambda: diagnose(model, KNOWN.taken(np.arange(2)))),
        ("give at least 3, or none", lambda: diagnose(model, KNOWN, UNSEEN.taken(np.arange(2)))),
        ("knows no classes", lambda: diagnose(model, KNOWN, labels=True)),
        ("All training images are the same", lambda: diagnose(model, KNOWN.taken(np.zeros(5, int)))),
        ("levels must be a whole number of at least 4", lambda: Settings(levels=2)),
    ]
    for words, make in bad:
        with pytest.raises(UserError, match=words):
            make()


# ----------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A denoiser of the book in the working folder."""
    monkeypatch.chdir(tmp_path)
    return save_denoiser(NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 16, 1))), tmp_path / "own.npz")


FEW = ["--draws", "16", "--levels", "4", "--samples", "16", "--steps", "4"]


@pytest.mark.usefixtures("saved")
def test_the_command_writes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["diagnose", "--model", "own.npz", "--train", "digits", "--held-out", "digits", *FEW]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "own.npz; trained on 1,198 images 1 × 8 × 8; held out 599" in out
    assert out.splitlines()[-1].endswith("report.html")
    assert {path.name for path in Path("report").iterdir()} >= {"report.html", "arrays.npz", "record.json"}


@pytest.mark.usefixtures("saved")
def test_a_share_is_held_out_and_samples_are_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("made.npz", x=KNOWN.x[:20].numpy())
    words = ["diagnose", "--model", "own.npz", "--train", "digits", "--held-out-share", "0.1", *FEW[:4]]
    assert main([*words, "--samples", "made.npz", "--out", "other"]) == 0
    out = capsys.readouterr().out
    assert "trained on 1,078 images 1 × 8 × 8; held out 120" in out
    assert "of 20 samples" in out


BAD = {
    "no model": (["--model", "nowhere"], "There is no nowhere"),
    "no images": (["--train", "nowhere"], "There are no images nowhere"),
    "two ways to hold out": (["--held-out", "digits", "--held-out-share", "0.1"], "not both"),
    "a share of all": (["--held-out-share", "1.5"], "between 0 and 1"),
    "no levels": (["--levels", "1"], "levels must be"),
    "no samples": (["--samples", "nothing.npz"], "There are no images nothing.npz"),
    "other images": (["--train", "specimens"], "denoises images 1 × 8 × 8"),
    "a target without a process": (["--model", "math:sqrt", "--target", "eps"], "needs a process"),
    "features without a digest": (["--features", "inception"], "There are no features|program"),
    "context": (["--context", "none.npy"], "cannot be read"),
    "labels": (["--labels"], "knows no classes"),
}  # fmt: skip


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("name", BAD)
def test_bad_words_are_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    more, words = BAD[name]
    given = {"--model": "own.npz", "--train": "digits"}
    flags = [*[w for pair in given.items() if pair[0] not in more for w in pair], *more]
    assert main(["diagnose", *flags]) == 2
    err = capsys.readouterr().err
    assert re.search(words, err)
    assert err.count("\n") == 1


def test_help_says_the_defaults_and_choices_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """They stand in `commands`, too, which is loaded without torch."""
    with contextlib.suppress(SystemExit):
        main(["diagnose", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name in ("draws", "levels", "steps", "samples"):
        flag = text[text.rindex(f"--{name} ") :]
        assert f"({getattr(Settings(), name)})" in flag[: flag.index(")") + 1], name
    assert f"--process {{{','.join(live.PROCESSES)}}}" in text
    assert f"--pixels {{{','.join(adapters.RANGES)}}}" in text
    assert f"--values {{{','.join(given.RANGES)}}}" in text


def test_the_optimal_loss_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimal-loss", "--data", "digits", "--sources", "1200", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    area = float(re.search(r"over ln sigma: ([\d.]+)", out)[1])  # type: ignore[index]
    assert abs(area - math.log(1198)) < 0.15
    assert "sigma* = " in out
    assert "noise levels to train on" in out
    with np.load(tmp_path / "optimal-loss.npz") as arrays:
        assert len(arrays["sigma"]) == 48
        assert float(arrays["optimal"][-1]) == pytest.approx(float(arrays["variance"]), rel=0.02)


def test_some_levels_alone_give_no_law(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimal-loss", "--data", "digits", "--sources", "64", "--sigmas", "0.1,1,10"]) == 0
    out = capsys.readouterr().out
    assert "Without --sigmas: what a loss can reach, sigma*" in out
    assert "area of" not in out


@pytest.mark.parametrize("text", ["a,b", "0,1", "-1", "", "nan", "1,1"])
def test_bad_noise_levels_are_one_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimal-loss", "--data", "digits", f"--sigmas={text or ','}"]) == 2
    assert capsys.readouterr().err.count("\n") <= 2
