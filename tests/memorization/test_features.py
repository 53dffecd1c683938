from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.base.files import sha256_bytes, sha256_file
from diffnotes.base.runtime import normals, uniforms
from diffnotes.chapters.memorization import calibration as experiment
from diffnotes.chapters.memorization import tables as figures
from diffnotes.networks import FeatureNet, coarse, extract, load_torchscript, parameter_count, seeded
from diffnotes.networks.classifier import Convolution, from_arrays, to_arrays
from diffnotes.store import records
from diffnotes.train import Plan, train
from diffnotes.train.objective import SHIFT, ClassifierLoss, moved

STAY = [0.7, 0.5, 0.5, 0.7]  # neither mirrored nor moved nor made coarse


def images(n: int, *shape: int) -> Tensor:
    return normals(0, "images", range(n), shape or (3, 32, 32)).mul(0.4).clamp(-1, 1)


def chance(**changed: float) -> Tensor:
    """One row of four chances: STAY but for what is named."""
    names = ("mirror", "down", "right", "coarse")
    return torch.tensor([[changed.get(name, stay) for name, stay in zip(names, STAY, strict=True)]])


@pytest.fixture(scope="module")
def net() -> FeatureNet:
    return seeded(0, FeatureNet)


# ------------------------------------------------------------------------------------------------- features


def test_network_is_small(net: FeatureNet) -> None:
    arrays = to_arrays(net)
    assert parameter_count(net) == 141_066
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float16)}
    assert sum(a.nbytes for a in arrays.values()) < 400_000
    assert extract(net, images(2)).shape == (2, 64)


def test_features_of_an_image_do_not_depend_on_the_others(net: FeatureNet) -> None:
    x = images(9)
    together = extract(net, x)
    assert together.std(0).max() > 0.01  # they do depend on the image
    for batch in (1, 4):
        torch.testing.assert_close(extract(net, x, batch), together, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(extract(net, x[3:4])[0], together[3], rtol=1e-4, atol=1e-5)


def test_filters_are_the_same_whatever_their_mean_and_scale() -> None:
    layer, x = seeded(1, lambda: Convolution(3, 5, 3, 1)), images(2, 3, 8, 8)
    before = layer(x)
    with torch.no_grad():
        layer.weight.mul_(3).add_(0.2)
    torch.testing.assert_close(layer(x), before, rtol=1e-3, atol=1e-3)
    out = (layer(normals(0, "wide", range(400), (3, 8, 8))) - layer.bias.view(-1, 1, 1))[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(out.std((0, 2, 3)), torch.full((5,), 1.7), rtol=0.05, atol=0)


def test_grey_and_small_images_are_brought_to_colour_and_size(net: FeatureNet) -> None:
    x = images(3)
    grey = x[:, :1]
    torch.testing.assert_close(extract(net, grey), extract(net, grey.expand(-1, 3, -1, -1)))
    small = F.avg_pool2d(x, 2)
    torch.testing.assert_close(extract(net, small), extract(net, coarse(x)))
    assert extract(net, images(2, 3, 64, 64)).shape == (2, 64)


def test_values_are_cut_to_those_of_8_bit_images(net: FeatureNet) -> None:
    x = 3 * images(3)
    assert x.abs().max() > 1
    torch.testing.assert_close(extract(net, x), extract(net, x.clamp(-1, 1)))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 3, 32), "not of float32"),
        (torch.zeros(2, 4, 32, 32), "1 or 3"),
        (torch.zeros(0, 3, 32, 32), "not of float32"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "not of uint8"),
        (torch.full((2, 3, 32, 32), torch.nan), "NaN"),
    ],
)
def test_wrong_images_are_told(net: FeatureNet, x: Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        extract(net, x)


# -------------------------------------------------------------------------------------------------- weights


def test_weights_survive_as_arrays(net: FeatureNet) -> None:
    arrays, state = to_arrays(net), torch.get_rng_state()
    again = from_arrays(arrays)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(np.array_equal(w, arrays[name]) for name, w in to_arrays(again).items())
    assert not any(w.requires_grad for w in again.parameters())
    torch.testing.assert_close(extract(again, images(4)), extract(net, images(4)), rtol=0.01, atol=0.01)
    assert parameter_count(from_arrays(to_arrays(FeatureNet(8))).requires_grad_()) < 10_000


def test_other_arrays_are_no_weights(net: FeatureNet) -> None:
    arrays = to_arrays(net)
    fewer = {name: w for name, w in arrays.items() if name != "head.bias"}
    for wrong in ({}, fewer, arrays | {"more": np.zeros(3)}, arrays | {"head.bias": np.zeros(3)}):
        with pytest.raises(UserError, match="not the weights"):
            from_arrays(wrong)


class Means(nn.Module):
    """Colour means as features."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def saved(module: nn.Module, folder: Path, name: str) -> str:
    """The SHA-256 of the module's file."""
    path = folder / "features" / f"{name}.pt"
    path.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings():  # that tracing is deprecated; loading must not warn
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(module, torch.zeros(2, 3, 8, 8)).save(str(path))
    return sha256_file(path)


def test_features_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    digest = saved(Means(), tmp_path, "means")
    x = images(3, 3, 8, 8)
    torch.testing.assert_close(extract(load_torchscript("means", digest.upper()), x), x.mean((2, 3)))
    (tmp_path / "features" / "broken.pt").write_bytes(b"no TorchScript")
    with pytest.raises(UserError, match="is no TorchScript file"):
        load_torchscript("broken", sha256_bytes(b"no TorchScript"))
    with pytest.raises(UserError, match=r"sscd\.pt is missing"):
        load_torchscript("sscd", digest)


def test_a_program_is_loaded_only_with_the_digest_that_its_user_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    digest, path = saved(Means(), tmp_path, "means"), tmp_path / "features" / "means.pt"
    for none in ("", "0" * 63, digest[:8], "x" * 64):
        with pytest.raises(UserError, match=r"means\.pt is a program, which is run when .* give the SHA-256"):
            load_torchscript("means", none)
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), len(content) // 20):
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"not the program that you trust: .* {digest}; it was not"):
            load_torchscript("means", digest)
        content[place] ^= 1
    monkeypatch.setenv("DIFFNOTES_FEATURES", "means")  # its digest is missing
    for ask in (experiment.extractor, experiment.weights_digest):
        with pytest.raises(UserError, match="give the SHA-256"):
            ask()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x, "must map"),
        (lambda x: x.mean((2, 3))[:1], "must map"),
        (lambda x: (x.mean((2, 3)),), "gave tuple"),
        (lambda x: x.mean((2, 3)) / 0, "damaged"),
    ],
)
def test_a_module_that_gives_no_features_is_told(function, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=words):
        extract(function, images(2))


# ------------------------------------------------------------------------------------------------- training


def test_changes_of_training_images() -> None:
    x = images(1)
    torch.testing.assert_close(moved(x, chance()), x)
    torch.testing.assert_close(moved(x, chance(mirror=0.2)), x.flip(3))
    torch.testing.assert_close(moved(x, chance(coarse=0.2)), coarse(x))
    torch.testing.assert_close(moved(x, chance(down=0.999))[:, :, :-SHIFT], x[:, :, SHIFT:])
    torch.testing.assert_close(moved(x, chance(right=0.0))[:, :, :, SHIFT:], x[:, :, :, :-SHIFT])
    pixels = ((x + 1) * 127.5).round().byte()
    torch.testing.assert_close(moved(pixels, chance()), pixels.float() / 127.5 - 1)


def test_coarse_keeps_what_is_coarse() -> None:
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(coarse(flat), flat)
    x = images(1)
    assert coarse(x).std() < 0.5 * x.std()
    torch.testing.assert_close(coarse(x).mean(), x.mean(), rtol=0, atol=0.01)


@given(step=st.integers(0, 50), first=st.integers(0, 15), more=st.integers(1, 16))
def test_loss_of_a_row_depends_on_its_place_alone(step: int, first: int, more: int) -> None:
    loss, plan = ClassifierLoss(images(10, 3, 8, 8), torch.arange(10)), Plan(100, 16, seed=2)
    last = min(16, first + more)

    def model(x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10]

    part, whole = loss(model, plan.batch_at(step, range(first, last))), loss(model, plan.batch_at(step))
    torch.testing.assert_close(part, whole[first:last])


def test_changes_are_those_that_the_pinned_features_were_trained_with() -> None:
    pixels = (uniforms(0, "pix", range(10), 3 * 8 * 8) * 255).round()
    x = torch.from_numpy(pixels).to(torch.uint8).reshape(10, 3, 8, 8)
    batch = Plan(10, 16, seed=2).batch_at(3, range(4, 8))
    found = ClassifierLoss(x, torch.arange(10))(lambda x: x.flatten(1)[:, :10], batch)
    assert found.tolist() == pytest.approx([2.44136596, 2.11119771, 2.41735911, 2.77529097], rel=1e-6)


def test_different_steps_see_different_changes() -> None:
    loss = ClassifierLoss(images(1), torch.zeros(1, dtype=torch.int64))
    seen: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros(len(x), 10)

    for step in range(8):
        loss(model, Plan(8, 4).batch_at(step))
    assert len(torch.cat(seen).unique(dim=0)) > 20


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    labels = torch.arange(64) % 2
    x = (0.2 * images(64) + (labels - 0.5).view(-1, 1, 1, 1)).clamp(-1, 1)  # dark and bright
    net = seeded(0, lambda: FeatureNet(4))
    plan = Plan(40, 16, 1e-2)
    losses = [s.loss for s in train(net, ClassifierLoss(x, labels), plan, [5, 40], tmp_path)]
    assert losses[1] < 0.6 * losses[0]
    with torch.no_grad():
        assert (net(x).argmax(1) == labels).float().mean() > 0.9


# ----------------------------------------------------------------------------------------------- experiment

SMOKE = experiment.EXPERIMENT.twin


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> store.Arrays:
    """What the smoke profile computes, interrupted once in its training."""
    folder = tmp_path_factory.mktemp("features")
    with pytest.raises(store.Unfinished):
        experiment.compute(SMOKE, store.Work(folder, max_seconds=0))
    return experiment.compute(SMOKE, store.Work(folder))


def test_interrupted_run_is_the_same(arrays: store.Arrays, tmp_path: Path) -> None:
    again, curve = experiment._trained(SMOKE, store.Work(tmp_path))
    for name, w in again.items():
        assert np.array_equal(arrays[experiment.PREFIX + name], w)
    assert np.array_equal(arrays["loss"], curve["loss"])
    assert np.isfinite(curve["loss"]).all()


def test_calibration_says_what_is_known(arrays: store.Arrays) -> None:
    copies = dict(zip(arrays["kind"], arrays["copies"][0], strict=True))
    assert copies["copies"][0] == copies["noisy"][0] == 1
    assert copies["test"][0] == copies["noise"][0] == 0
    assert copies["tenth"][1] <= 0.1 <= copies["tenth"][2]
    names = list(arrays["kind"])
    for distance in ("wasserstein", "frechet"):
        value = dict(zip(names, arrays[distance][0, :, 0], strict=True))
        assert value["copies"] == pytest.approx(0, abs=1e-6)
        assert value["noise"] > 3 * value["test"]
    assert arrays["similarity"][0, names.index("copies")] == pytest.approx(1, abs=1e-6)
    assert arrays["similarity"].max() <= 1


def test_known_sets() -> None:
    reference, sets = experiment.known_sets(SMOKE)
    assert set(sets) == set(experiment.KINDS)
    assert all(x.shape == reference.shape == (SMOKE.count, 3, 32, 32) for x in sets.values())
    assert all(x.abs().max() <= 1 for x in sets.values())
    assert torch.equal(sets["copies"], reference)
    assert not (sets["train"][:, None] == reference[None]).flatten(2).all(2).any()  # no image in both
    assert (sets["tenth"] == sets["noisy"]).flatten(1).all(1).sum() == SMOKE.count // 10
    assert (sets["tenth"] == sets["test"]).flatten(1).all(1).sum() == SMOKE.count - SMOKE.count // 10


def test_accuracy_is_a_share(net: FeatureNet) -> None:
    x = images(60)
    with torch.no_grad():
        best = net(x).argmax(1)
    wrong = torch.where(torch.arange(60) < 15, (best + 1) % 10, best)
    found = experiment._accuracy(net, x, wrong)
    assert found["accuracy"][0] == 0.75
    assert found["accuracy_stderr"][0] == pytest.approx((0.75 * 0.25 / 60) ** 0.5)


def test_pinned_features_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    record = store.best(experiment.EXPERIMENT, {})
    assert record is not None, "no record of features is pinned"
    assert record["accuracy"].min() > 0.7
    assert record["accuracy"][0] >= 0.75
    monkeypatch.delenv(experiment.CHOICE, raising=False)
    monkeypatch.setattr(store, "load", lambda _: record)
    features = experiment.extractor()
    made = features(torch.from_numpy(uniforms(0, "made up", range(3), 768)).float().view(3, 3, 16, 16))
    assert made.shape == (3, 64)
    assert len(experiment.weights_digest()) == 64
    changed = {name: w + 1 for name, w in experiment._weights().items()}
    before = experiment.weights_digest()
    monkeypatch.setattr(experiment, "_weights", lambda: changed)
    assert experiment.weights_digest() != before


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of the test's own trace
def test_a_file_takes_the_place_of_the_pinned_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    monkeypatch.setenv("DIFFNOTES_FEATURES", "means")
    with pytest.raises(UserError, match=r"means\.pt is missing"):
        experiment.weights_digest()
    digest = saved(Means(), tmp_path, "means")
    monkeypatch.setenv("DIFFNOTES_FEATURES", f"means:{digest}")
    x = images(3, 1, 8, 8)
    torch.testing.assert_close(experiment.extractor()(x), x.mean((2, 3)).expand(-1, 3))
    assert experiment.weights_digest() == digest
    (tmp_path / "features" / "means.pt").write_bytes(b"another file")
    with pytest.raises(UserError, match="not the program that you trust"):
        experiment.weights_digest()


# -------------------------------------------------------------------------------------------------- figures


@pytest.fixture(scope="module")
def record(arrays: store.Arrays, tmp_path_factory: pytest.TempPathFactory) -> store.Record:
    folder = tmp_path_factory.mktemp("record")
    made = {"key": "0", "data": {}, "device": "cpu", "seconds": 1.0, "code": "", "commit": None}
    made |= {"dirty": None}
    return records.write(folder, experiment.EXPERIMENT, SMOKE, "smoke", arrays, **made)


def test_table_says_what_the_record_holds(record: store.Record, arrays: store.Arrays) -> None:
    for place, side in enumerate(experiment.SIDES):
        table = figures.calibration(record, side)
        assert [row[0] for row in table.rows] == [figures.SETS[kind] for kind in experiment.KINDS]
        assert {len(row) for row in table.rows} == {len(table.header)}
        copies, tenth = table.rows[experiment.KINDS.index("copies")], table.rows[-1]
        assert copies[1].startswith("100.0 % (91.2 to 100.0")
        assert copies[2] == "1.000 (1.000 to 1.000)"
        assert copies[3].startswith("0.000")  # resampling lifts all of a range above 0: no interval
        assert tenth[1].startswith("10.0 %")
        shown = float(tenth[4].split()[0])
        assert shown == pytest.approx(arrays["frechet"][place, -1, 0], rel=0.1)
        assert f"{side} × {side}" in table._repr_html_()


def test_sentences_hold_the_numbers_of_the_record(record: store.Record, arrays: store.Arrays) -> None:
    said = str(figures.classifier_found(record))
    for share, error in zip(arrays["accuracy"], arrays["accuracy_stderr"], strict=True):
        assert f"{100 * share:.1f} ± {100 * error:.1f} %" in said
    kinds = {kind: k for k, kind in enumerate(experiment.KINDS)}
    calibrated = figures.calibration(record).caption.finding
    for kind in ("noisy", "blurred", "flipped", "test"):
        assert f"{100 * arrays['copies'][0, kinds[kind], 0]:.1f} % of the" in calibrated
    assert f"{arrays['similarity'][0, kinds['flipped'], 10]:.3f} for mirrored" in calibrated
