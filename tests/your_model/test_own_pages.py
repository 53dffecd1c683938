"""Reports as records: what is computed, and figures, tables, sentences and exercises of chapter 6."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import cases, changed
from layout import collisions, texts

from diffnotes import data, store
from diffnotes.adapters import adapt, fingerprint, load_denoiser, save_denoiser
from diffnotes.base.errors import UserError
from diffnotes.chapters import checks
from diffnotes.chapters.your_model import cifar, claims, exercises, figures, findings, own, readings, tables
from diffnotes.diagnose import Settings, diagnose
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.optimal_loss import optimal_loss
from diffnotes.posterior import posterior
from diffnotes.store.records import Record

CASES = cases("your_model")
fake = CASES.fake

# --- what is computed ---


def test_a_record_is_what_diagnose_says(tmp_path: Path, elsewhere: Path) -> None:
    model = NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 16, 1)))
    path = save_denoiser(model, tmp_path / "own.npz")
    record = store.run(own.EXPERIMENT, "smoke", model=str(path))
    spec = own.SMOKE
    settings = Settings(
        levels=spec.levels, draws=spec.draws, samples=spec.samples, steps=spec.sampler_steps
    )
    whole, unseen = data.load("digits"), data.load("digits", split="test")
    wanted = diagnose(adapt(path), whole, unseen, settings=settings)
    assert set(record.arrays) == set(wanted.arrays)
    for name, array in wanted.arrays.items():
        assert np.array_equal(record[name], array), name
    assert readings.remarks(record) == wanted.findings
    assert record.meta["data"][f"model {path}"] == fingerprint(str(path))
    assert readings.title(record) == "own.npz"
    assert readings.own(record)


def test_a_model_that_has_changed_is_another_result(tmp_path: Path, elsewhere: Path) -> None:
    path = tmp_path / "own.npz"
    for seed in (0, 1):
        save_denoiser(NetworkDenoiser(seeded(seed, lambda: MLP((1, 8, 8), 16, 1))), path)
        found = store.run(own.EXPERIMENT, "smoke", model=str(path), samples=0, held_out="")
        assert found.meta["data"][f"model {path}"] == fingerprint(str(path))
        assert "held_loss" not in found.arrays
        assert "rho" not in found.arrays
    assert load_denoiser(path) is not None


def test_a_network_is_trained_where_none_is_given(record: Record) -> None:
    assert int(record["train_count"]) == own.SMOKE.n
    assert int(record["parameters"]) > 1000
    assert 0 < readings.training_loss(record) < 2
    assert not readings.own(record)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 5000}, "digits has 1,198 images; lower n"),
        ({"model": "nowhere"}, "There is no nowhere"),
        ({"train": "nowhere"}, "There are no images nowhere"),
        ({"model": "math:nothing"}, "names no function"),
        ({"model": "no_such_module:function"}, "names no module"),
        ({"target": "eps", "model": "math:sqrt"}, "needs a process"),
        ({"train": "two\nlines"}, "train must be a text of one line"),
        ({"model": 3}, "model must be a text of one line"),
        ({"held_out": "specimens"}, "held-out images are 3 × 32 × 32"),
    ],
)
def test_what_does_not_fit_is_one_sentence(given: dict[str, Any], words: str, elsewhere: Path) -> None:
    with pytest.raises(UserError, match=words) as told:
        store.run(own.EXPERIMENT, "smoke", **given)
    assert "\n" not in str(told.value)


def test_a_fingerprint_is_of_files_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('run')\n")
    first = fingerprint("mine:function")
    (tmp_path / "mine.py").write_text("raise SystemExit('run, too')\n")
    assert fingerprint("mine:function") != first
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("1")
    one = fingerprint("folder")
    (folder / "a").rename(folder / "b")
    assert fingerprint("folder") != one


def test_the_pair_of_a_profile() -> None:
    assert [one["n"] for one in cifar.pair("pinned")] == list(claims.COUNTS)
    assert max(one["n"] for one in cifar.pair("smoke")) < 100


# --- figures, tables, sentences ---


def both() -> tuple[Record, Record]:
    return fake(), fake(claims.COUNTS[1])


@pytest.mark.parametrize("draw", [figures.own_curves, figures.own_samples])
def test_figures(draw: Any, record: Record, pictured: Record) -> None:
    for one in (record, pictured):
        assert f'id="{draw.__name__}' in draw(one)._repr_html_()
    figure = draw(*both())
    assert not re.search(r"\bnan\b|\binf\b", f"{figure.caption.finding} {figure.caption.shows}")
    assert figure.get_size_inches()[0] <= 6.9
    boxes, frame = texts(figure), figure.bbox.padded(1)
    assert all(frame.contains(*box.p0) and frame.contains(*box.p1) for box in boxes.values())
    assert collisions(boxes) == []


def test_figures_without_samples_and_without_held_out_images(record: Record) -> None:
    bare = changed(record)
    for name in ("held_loss", "held_loss_stderr", "rho", "copies"):
        del bare.arrays[name]
    figure = figures.own_curves(bare)
    assert "no samples and no held-out images were given" in figure.caption.finding


def test_tables_say_every_finding(record: Record) -> None:
    table = tables.own_report(record)
    assert len(table.rows) == len(readings.remarks(record))
    pair = tables.two_reports(*both())
    assert pair.header == ("question", "N = 32 on CIFAR-10, 16 × 16", "N = 20,000 on CIFAR-10, 16 × 16")
    text = " ".join(str(cell) for row in pair.rows for cell in row)
    assert "Samples are training images" in text
    assert "No sign of copies" in text
    assert "<table>" in table._repr_html_()


def test_sentences_say_numbers_of_the_records() -> None:
    few, many = both()
    said = str(findings.answer_found(few, many))
    assert f"N = 32 on CIFAR-10, 16 × 16: “{readings.remarks(few)[0].text}”" in said
    assert "was 0.200, lower than the 0.300 of N = 20,000" in str(findings.losses_found(few, many))
    assert "was 0.300, no lower than the 0.200 of N = 32" in str(findings.losses_found(many, few))
    assert "60 % of 256 samples are copies (55.0 to 65.0 %)" in findings.compared([few])


@pytest.mark.parametrize("name", ["ours-report-copies", "ours-report-clean"])
def test_what_is_no_example_is_not_judged(name: str) -> None:
    wrong = fake(few={"copies": np.array([0.1, 0.05, 0.2])}, many={"copies": np.array([0.0, 0.0, 0.04])})
    with pytest.raises(checks.Nothing):
        claims.CHECKS[name](wrong)


# --- exercises ---


def test_the_first_exercise() -> None:
    def right(network: Any, x: torch.Tensor, sigma: float) -> torch.Tensor:
        ratio = torch.full((len(x),), sigma)
        return x - sigma * network(x / (1 + sigma**2) ** 0.5, ratio)

    assert exercises.check_denoiser(lambda network, x, sigma: None) == exercises.UNSOLVED
    assert exercises.check_denoiser(right) == exercises.SOLVED
    wrong = exercises.check_denoiser(lambda network, x, s: x - s * network(x, torch.full((len(x),), s)))
    assert wrong.startswith("Not yet: at sigma 0.3")


def test_the_second_exercise() -> None:
    def drawn(train: torch.Tensor, sigma: float) -> float:
        x0 = train.repeat(100, 1, 1, 1)
        x = x0 + sigma * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
        return float((posterior(x, sigma, train).mean - x0).square().mean() / sigma**2)

    def summed(train: torch.Tensor, sigma: float) -> float:
        return float(optimal_loss(train, torch.tensor([sigma])).mean[0])

    assert exercises.check_expected_loss(lambda train, sigma: None) == exercises.UNSOLVED
    assert exercises.check_expected_loss(drawn) == exercises.SOLVED
    assert exercises.check_expected_loss(summed).startswith("Not yet: at sigma 0.5")
