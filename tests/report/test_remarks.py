"""What a report says of given numbers: each rule on numbers whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diffnotes.report.findings import BAD, GOOD, LOOK, OPEN, Remark, findings, plain

SIGMA = np.geomspace(0.02, 30, 12)
VARIANCE = 0.3
LINEAR = VARIANCE * SIGMA**2 / (SIGMA**2 + 3 * VARIANCE)
OPTIMUM = LINEAR * SIGMA**4 / (0.2 + SIGMA**4)


def numbers(**changed: Any) -> dict[str, np.ndarray]:
    """A model that denoises, neither under- nor overfits, and does not copy."""
    loss = np.maximum(1.02 * OPTIMUM, 0.9 * LINEAR)
    found = {
        "sigma": SIGMA, "variance": np.array(VARIANCE), "optimum": OPTIMUM, "linear": LINEAR,
        "train_loss": loss, "train_loss_stderr": 1e-3 * loss, "train_gap": loss - OPTIMUM,
        "train_gap_stderr": 1e-3 * loss, "held_loss": 1.01 * loss, "held_loss_stderr": 1e-3 * loss,
        "train_count": np.array(1000), "held_count": np.array(500), "train_apart": np.full(1000, 0.3),
        "held_apart": np.full(500, 0.3), "probe_sigma": SIGMA[2:9:3],
        "probe_factor": np.array([0.5, 1.0, 2.0]),
        "probe_loss": np.array([[1.4, 1.0, 1.3]] * 3) * 0.1, "probe_fit": np.array([[1.01, 0.0, 1.0]] * 3),
        "same_within": np.array(0.04),
        "rho": np.full(1000, 0.9), "copies": np.array([0.0, 0.0, 0.004]),
        "control": np.array([0.0, 0.0, 0.01]),
    }  # fmt: skip
    return found | {name: np.asarray(value) for name, value in changed.items()}


def said(kind: str, **changed: Any) -> Remark:
    return next(one for one in findings(numbers(**changed)) if one.kind == kind)


def test_a_model_without_a_fault_is_told_so() -> None:
    found = findings(numbers())
    assert [one.word for one in found if one.word in (BAD, LOOK)] == []
    assert found[0].text.startswith("It has converged at sigma")
    assert found[1].text.startswith("No sign of copies: 0 % of 1,000 samples [0.0, 0.4], control 0 %")


# --- copies ---


@pytest.mark.parametrize(
    ("copies", "control", "word"),
    [
        ([0.03, 0.01, 0.07], [0.0, 0.0, 0.004], BAD),
        ([0.03, 0.01, 0.07], [0.02, 0.0, 0.05], LOOK),  # as many by chance, maybe
        ([0.02, 0.0, 0.05], [0.03, 0.01, 0.07], OPEN),
        ([0.0, 0.0, 0.015], [0.0, 0.0, 0.004], GOOD),
        ([0.0, 0.0, 0.06], [0.0, 0.0, 0.004], OPEN),
    ],
)
def test_copies(copies: list[float], control: list[float], word: str) -> None:
    found = said("copies", copies=copies, control=control)
    assert found.word == word
    if word == BAD:
        assert found.text == "Samples are training images: 3.0 % of 1,000 samples [1.0, 7.0], control 0 %."
    if copies == [0.0, 0.0, 0.06]:
        assert found.advice == "Make 3 times the samples."


# --- overfitting ---


def test_overfitting_is_told_with_its_noise_levels() -> None:
    held = numbers()["train_loss"] * np.where((SIGMA > 0.1) & (SIGMA < 1), 3.0, 1.0)
    found = said("overfits", held_loss=held)
    assert found.word == BAD
    inside = SIGMA[(SIGMA > 0.1) & (SIGMA < 1)]
    assert f"sigma {inside.min():.2g} to {inside.max():.2g}: the held-out loss is 3 times" in found.text
    slight = said("overfits", held_loss=1.3 * numbers()["train_loss"])
    assert slight.word == LOOK


def test_too_few_images_are_told_with_how_many_it_takes() -> None:
    loss = numbers()["train_loss"]
    found = said("overfits", held_loss=1.05 * loss, held_loss_stderr=0.1 * loss)
    assert found.word == OPEN
    assert found.advice.startswith("It needs about 16 times the held-out images")


def test_without_held_out_images_overfitting_is_open() -> None:
    bare = {k: v for k, v in numbers().items() if not k.startswith("held")}
    found = [one for one in findings(bare) if one.kind == "overfits"]
    assert found[0].word == OPEN
    assert "without images that it was not trained on" in found[0].text


def test_the_sentence_names_the_levels_and_the_gap_that_are_sure() -> None:
    loss = numbers()["train_loss"]
    held = loss * np.where(np.isin(np.arange(12), [3, 4, 9]), 1.3, 1.0)
    held[0] = 1.5 * loss[0]  # larger, and not sure
    error = np.where(np.arange(12) == 0, 0.5, 1e-3) * loss
    text = said("overfits", held_loss=held, held_loss_stderr=error).text
    where = f"{SIGMA[3]:.2g} to {SIGMA[4]:.2g}, and {SIGMA[9]:.2g}"
    assert text.startswith(f"It overfits at sigma {where}: the held-out loss is 1.3 times")


def test_few_held_out_images_have_wide_intervals() -> None:
    loss = numbers()["train_loss"]
    changed = {"held_loss": 1.3 * loss, "held_loss_stderr": 0.09 * loss}
    assert said("overfits", **changed).word == LOOK
    assert said("overfits", held_count=4, **changed).word == OPEN


# --- underfitting ---


def test_underfitting_is_what_a_linear_denoiser_does_better() -> None:
    base = numbers()
    loss = np.where(SIGMA > 2, 1.8 * base["optimum"], base["train_loss"])
    found = said("underfits", train_loss=loss, held_loss=loss)
    assert found.word == LOOK
    first = SIGMA[SIGMA > 2][0]
    assert found.text.startswith(f"It underfits at sigma {first:.2g} to 30: at sigma")
    assert "the loss is 1.8 times the optimum" in found.text
    below = np.where(SIGMA < 0.1, 1.5 * LINEAR, base["train_loss"])  # where only a copy has the optimum
    found = said("underfits", train_loss=below, held_loss=below)
    assert "the loss is 1.5 times that of a linear denoiser" in found.text


def test_a_loss_far_above_the_optimum_of_a_copy_is_no_underfitting() -> None:
    """Where the optimum is near 0 and a linear denoiser is not, no network reaches it without copying."""
    found = said("underfits")
    assert found.word == GOOD
    assert found.text.startswith("It has converged at sigma")
    nowhere = said("underfits", optimum=1e-9 * SIGMA)
    assert nowhere.word == OPEN


def test_that_nothing_was_rejected_is_not_converged() -> None:
    loss = np.where(SIGMA > 2, 1.5 * OPTIMUM, numbers()["train_loss"])
    found = said("underfits", train_loss=loss, train_loss_stderr=0.3 * loss)
    assert found.word == OPEN
    assert "cannot be told: the loss is up to 1.5 times the optimum, and known to 60 %" in found.text


# --- samples ---


@pytest.mark.parametrize(("far", "word"), [(1.2, GOOD), (31.0, LOOK)])
def test_the_distance_of_samples(far: float, word: str) -> None:
    given = {"pixel_frechet_sample_train": far, "pixel_frechet_sample_held": far,
             "pixel_frechet_train_held": 1.0, "distance_count": 100}  # fmt: skip
    found = said("samples", **given)
    assert found.word == word
    assert f"{far:.3g}, {far:.2g} times that of as many training images (1)" in found.text


# --- what makes the rest void ---


def test_predictions_worse_than_a_multiple_of_the_noisy_image_make_the_rest_void() -> None:
    loss = 1.114 * plain(numbers())
    found = findings(numbers(train_loss=loss, held_loss=5 * loss, probe_fit=[[2.0, -1.0, 0.1]] * 3))
    assert found[0].text == (
        "Predictions are worse than a multiple of the noisy image: in the median over noise levels their "
        "loss is 111 % of its loss. Twice them, less 1, would fit: the model works on pixels in [0, 1]."
    )
    assert not {"overfits", "underfits"} & {one.kind for one in found}


def test_predictions_that_do_not_denoise_come_first_and_losses_are_not_read() -> None:
    loss = 2 * np.minimum(SIGMA**2, VARIANCE)
    found = findings(numbers(train_loss=loss, held_loss=5 * loss, probe_fit=[[0.5, 0.0, 0.1]] * 3))
    assert found[0].kind == "denoises"
    assert "Predictions do not denoise: at 12 of 12" in found[0].text
    assert "Times 0.5 they would fit best" in found[0].text
    assert not {"overfits", "underfits"} & {one.kind for one in found}


def test_another_meaning_of_the_noise_level_is_found() -> None:
    found = findings(numbers(probe_loss=np.array([[1.0, 1.0, 0.4]] * 3) * 0.1))
    assert found[0].text == (
        "The model takes another number for the noise level: told 2 times the level that is there, its loss "
        "is "
        "0.4 times as large."
    )


def test_predictions_that_denoise_little() -> None:
    curve = plain(numbers())
    found = said("denoises", train_loss=0.995 * curve, held_loss=0.995 * curve)
    assert found.word == LOOK


def test_held_out_images_in_the_training_set_come_first() -> None:
    apart = np.full(500, 0.3)
    apart[:40] = 0.001
    found = findings(numbers(held_apart=apart, copies=[1.0, 0.99, 1.0]))
    assert found[0].text.startswith("Held-out images lie in the training set: 40 of 500")


def test_doubles_in_the_training_set_are_told() -> None:
    apart = np.full(1000, 0.3)
    apart[:7] = 0.0
    found = said("images", train_apart=apart)
    assert (found.word, found.text[:22]) == (LOOK, "7 of 1,000 training im")


# --- where the sampler goes ---


def test_the_way_of_the_sampler() -> None:
    known = np.random.default_rng(0).normal(1, 0.01, (3, 200))
    path = {"path_sigma": [10.0, 1.0, 0.1], "known_ratio": known, "path_gap": np.ones((3, 200)),
            "known_gap": np.full((3, 200), 0.5)}  # fmt: skip
    inside = said("path", path_ratio=known, **path)
    assert inside.text == "Along its way the sampler stays where noised training images are."
    outside = known + np.array([0.0, 0.5, 3.0])[:, None]
    left = said("path", path_ratio=outside, **path)
    assert left.text.startswith("From sigma 1 on, 100 % of the states of the sampler lie where at most 2 %")
    assert "2 times as far from the optimal answer" in left.text
