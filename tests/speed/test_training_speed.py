"""The benchmarks of networks: every method does the work it stands for, and the seconds are its own."""

from __future__ import annotations

import dataclasses
import sys
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import run_benchmarks
import torch
from torch import nn

from diffnotes import store
from diffnotes.chapters.speed import methods as training_methods
from diffnotes.chapters.speed import readings
from diffnotes.chapters.speed import training as speed
from diffnotes.chapters.speed import training_figures as figures
from diffnotes.store.staleness import compare
from diffnotes.train import checkpoints
from diffnotes.train import loop as train

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PEERS = ("diffusers", "denoising-diffusion-pytorch")
METHODS = ("diffnotes", *PEERS, readings.DEEPER)
SMALL = speed.EXPERIMENT.twin.replace(steps=3, width=32, repeats=1, half=False)
pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """The twin's arrays."""
    return speed.compute(speed.EXPERIMENT.twin, store.Work(tmp_path_factory.mktemp("twin")))


@pytest.fixture
def record(monkeypatch, arrays):
    """The twin's record; it is computed once."""
    made = dataclasses.replace(speed.EXPERIMENT, compute=lambda spec, work: arrays)
    return store.run(made, "smoke")


# --- stand-ins for the peers, with the interface that the loops use ---


class Network(nn.Module):
    def __init__(self, *args, **settings):
        super().__init__()
        self.args, self.settings, self.seen = args, settings, []
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, t):
        self.seen.append((x.shape, t))
        y = 100 * self.conv(x)  # steep enough for the bound of the gradient to matter
        return y if self.args else types.SimpleNamespace(sample=y)


class Scheduler:
    def __init__(self, count):
        self.count = count

    def add_noise(self, x, noise, t):
        assert t.min() >= 0
        assert t.max() < self.count
        return x + noise

    def set_timesteps(self, count):
        self.timesteps = torch.linspace(self.count - 1, 0, count).long()

    def step(self, output, t, x):
        return types.SimpleNamespace(prev_sample=x - 0.01 * output)


class Average:
    def __init__(self, *args, **settings):
        self.count = 0

    def to(self, where):
        return self

    def step(self, weights):
        assert len(list(weights)) == 2
        self.count += 1

    def update(self):
        self.count += 1


class Diffusion(nn.Module):
    def __init__(self, network, image_size, timesteps, sampling_timesteps):
        super().__init__()
        self.network, self.steps, self.seen = network, sampling_timesteps, []

    def forward(self, x):
        self.seen.append(x)
        return self.network(x, torch.zeros(len(x))).square().mean()

    def ddim_sample(self, shape):
        x = torch.zeros(shape)
        for _ in range(self.steps):
            print("a bar of progress", file=sys.stderr)
            x = self.network(x, torch.zeros(shape[0]))
        return x


@pytest.fixture
def peers(monkeypatch):
    fakes = {
        "diffusers": {"UNet2DModel": Network, "DDPMScheduler": Scheduler, "DDIMScheduler": Scheduler},
        "diffusers.training_utils": {"EMAModel": Average},
        "denoising_diffusion_pytorch": {"Unet": Network, "GaussianDiffusion": Diffusion},
        "ema_pytorch": {"EMA": Average},
    }
    for name, members in fakes.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**members))
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0" if name in PEERS else version(name))


def methods(folder, **settings):
    spec = SMALL.replace(**{"peers": True, **settings})
    x = speed._images(spec)
    return x, speed._methods(spec, x, folder)


# --- the work that is timed ---


@pytest.mark.parametrize("precision", training_methods.PRECISIONS)
def test_every_loop_trains_its_network_and_averages_its_weights(peers, tmp_path, precision):
    everyone = methods(tmp_path, half=True)[1]
    all_methods = [method for method in everyone if method.precision == precision]
    inner, kinds = [(m.network.network if m is all_methods[0] else m.network) for m in all_methods], set()
    for network in inner:
        last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
        last.register_forward_hook(lambda layer, args, out: kinds.add(str(out.dtype)))
    for method in all_methods:
        before = [w.detach().clone() for w in method.network.parameters()]
        assert method.training() > 0
        pairs = zip(method.network.parameters(), before, strict=True)
        assert any(not torch.equal(w, old) for w, old in pairs), method.name
    assert [method.ema.count for method in all_methods[1:]] == [3, 3, 3]
    assert tuple(method.name for method in all_methods) == METHODS
    assert kinds == {f"torch.{precision}"}
    assert next((tmp_path / precision).glob("*")).exists()  # ours was `train`, which left its checkpoint


@pytest.mark.parametrize("place", [1, 2, 3])
def test_the_peers_step_with_a_bounded_gradient(peers, tmp_path, place):
    peer = methods(tmp_path)[1][place]
    norms, step = [], peer.optimizer.step

    def watched():
        grads = [w.grad for w in peer.network.parameters()]
        norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
        step()

    peer.optimizer.step = watched
    peer.training()
    assert norms == pytest.approx([1.0] * 3, rel=1e-3)
    assert all(w.grad is None for w in peer.network.parameters())


def test_all_loops_see_the_same_images(peers, tmp_path):
    x, (_, diffusers, lucid, _) = methods(tmp_path, batch=8)
    lucid.training()
    order = torch.cat([train.batch_indices(0, len(x), 8, step) for step in range(3)])
    torch.testing.assert_close(torch.cat(lucid.diffusion.seen), (x[order] + 1) / 2)
    diffusers.training()
    assert [shape for shape, _ in diffusers.network.seen] == [(8, 3, 8, 8)] * 3


def test_every_sampler_evaluates_its_network_as_often(peers, tmp_path, capsys):
    _, (ours, *others) = methods(tmp_path, images=5, sampler_steps=7)
    seen = []
    ours.network.network.register_forward_hook(lambda net, args, out: seen.append(args[0].shape))
    for method in (ours, *others):
        assert method.sampling() > 0
    assert seen == [(5, 3, 8, 8)] * 7
    for method in others:
        assert [shape for shape, _ in method.network.seen] == seen
    assert capsys.readouterr().err == ""


def test_diffusers_gets_the_layers_of_ours(peers, tmp_path):
    spec = {"width": 32, "multipliers": (1, 2, 4), "blocks": 3, "attention": (1, 2)}
    layers = methods(tmp_path, **spec)[1][1].network.settings
    assert layers["block_out_channels"] == (32, 64, 128)
    assert layers["down_block_types"] == ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    assert layers["up_block_types"] == ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    assert layers["layers_per_block"] == 3


def test_the_other_peer_gets_the_widths_of_ours_or_a_level_more(peers, tmp_path):
    settings = {"width": 32, "multipliers": (1, 2, 4), "attention": (1, 2)}
    _, (*_, alike, deeper) = methods(tmp_path, **settings)
    assert alike.network.args == deeper.network.args == (32, 32)
    assert alike.network.settings["dim_mults"] == (2, 4, 4)
    assert deeper.network.settings["dim_mults"] == (1, 2, 4, 4)


def test_operations_are_counted_with_those_of_attention(tmp_path):
    class Attends(speed.Ours):
        def evaluate(self, x):
            q = nn.functional.conv2d(x, torch.ones(4, 3, 3, 3), padding=1).flatten(2).transpose(1, 2)[:, None]
            return nn.functional.scaled_dot_product_attention(q, q, q)

    method = Attends(SMALL, speed._images(SMALL), "float32", tmp_path)
    assert speed._flop(method, torch.ones(1, 3, 8, 8)) == 2 * (64 * 9 * 3 * 4 + 2 * 64 * 64 * 4)


def test_our_seconds_are_those_of_steps_and_not_of_checkpoints(monkeypatch, tmp_path):
    clock = [0.0]

    def passes(seconds, call):
        def slow(*args):
            clock[0] += seconds
            return call(*args)

        return slow

    monkeypatch.setattr(training_methods.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(checkpoints.Checkpoints, "save", passes(1000.0, checkpoints.Checkpoints.save))
    ours = speed.Ours(SMALL.replace(repeats=2), speed._images(SMALL), "float32", tmp_path)
    forward = ours.network.network.forward
    ours.network.network.forward = passes(2.0, forward)
    assert [ours.training() for _ in range(3)] == pytest.approx([6.0] * 3)


# --- what is made of it ---


class Scripted(speed.Method):
    """A method that takes the seconds it is told, call after call."""

    def __init__(self, name, seconds, precision="float32"):
        super().__init__(SMALL, torch.zeros(1, 2), precision)
        self.name = self.package = name
        self.network, self.seconds, self.calls = nn.Linear(2, 2), iter(seconds), 0

    def training(self):
        self.calls += 1
        return next(self.seconds)

    sampling = training

    def evaluate(self, x):
        return next(self.seconds)


@pytest.mark.parametrize("question", speed.QUESTIONS)
def test_ratios_are_taken_within_a_repeat_after_a_warm_up(question, tmp_path):
    spec = SMALL.replace(batch=8, steps=3, images=48, repeats=2)
    both = [Scripted("diffnotes", [9.0, 2.0, 4.0]), Scripted("peer", [1.0, 3.0, 8.0])]
    half = [Scripted("diffnotes", [9.0, 1.0, 2.0], "bfloat16"), Scripted("peer", [1.0, 2.0, 5.0])]
    found = speed._answer(question, [*both, *half], spec, store.Work(tmp_path))
    images = 24 if question == "training" else 48
    assert found["seconds"].tolist() == [[2.0, 3.0, 1.0, 2.0], [4.0, 8.0, 2.0, 5.0]]
    np.testing.assert_allclose(found["rate"], images / found["seconds"])
    assert found["ratio"].tolist() == [[1.0, 1.5, 1.0, 2.0], [1.0, 2.0, 1.0, 2.5]]


def test_slices_resume_without_measuring_again(monkeypatch):
    made = []

    monkeypatch.setattr(speed, "_flop", lambda method, x: 1.0)

    def scripted(spec, x, folder):
        made.append(Scripted("diffnotes", [1.0] * 9))
        return made[-1:]

    monkeypatch.setattr(speed, "_methods", scripted)
    stops = 0
    while stops < 9:
        try:
            store.run(speed.EXPERIMENT, "smoke", max_seconds=1e-9, question="training", repeats=3)
            break
        except store.Unfinished:
            stops += 1
    assert stops == 2
    assert [method.calls for method in made] == [2, 2, 2]  # one to warm up, one that counts


def test_the_twin_needs_no_peer_and_compares_no_seconds(arrays):
    assert arrays["methods"].tolist() == ["diffnotes"] * 2
    assert arrays["precision"].tolist() == ["float32", "bfloat16"]
    assert arrays["training_rate"].shape == arrays["sampling_ratio"].shape == (2, 2)
    assert (arrays["training_ratio"] == 1).all()
    slower = {k: v * 1e9 if "seconds" in k else v for k, v in arrays.items()}
    assert compare(arrays, slower, speed.EXPERIMENT) == ""
    fewer = arrays | {"training_seconds": arrays["training_seconds"][1:]}
    assert "training_seconds was" in compare(arrays, fewer, speed.EXPERIMENT)


def test_each_question_is_pinned_and_loaded_on_its_own():
    small = speed.EXPERIMENT.twin.replace(question="training", repeats=1)
    profiles = {"smoke": speed.EXPERIMENT.twin, "laptop": small}
    experiment = dataclasses.replace(speed.EXPERIMENT, profiles=profiles)
    for shown in experiment.shown:
        key = store.pin(experiment, store.run(experiment, "laptop", **shown).key).key
        found = store.load(experiment, **shown)
        assert (found.key, found.state) == (key, "valid")
        assert readings.answered(found) == [shown["question"]]


@pytest.mark.parametrize("package", ["diffusers", "denoising_diffusion_pytorch"])
def test_a_missing_peer_gets_a_sentence(peers, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    name = package.replace("_", "-")
    with pytest.raises(ValueError, match=f"{name} is not installed here.*make bench"):
        store.run(speed.EXPERIMENT, "smoke", peers=True)


@pytest.mark.parametrize(
    ("settings", "word"), [({"question": "memory"}, "question"), ({"sampler_steps": 1}, "sampler_steps")]
)
def test_bad_settings_get_a_sentence(settings, word):
    with pytest.raises(store.SpecError, match=f"{word} must be"):
        store.run(speed.EXPERIMENT, "smoke", **settings)


# --- what is shown ---


def compared():
    """What a record with peers holds, two repeats: the deeper one is the fastest in one of them only, and in
    bfloat16 never."""
    ratio = np.array([[1.0, 1.3, 1.6, 1.2, 1.0, 2.0, 3.0, 4.0], [1.0, 1.5, 1.4, 1.6, 1.0, 1.1, 3.0, 4.0]])
    sizes = {"methods": np.array(METHODS * 2), "parameters": np.array([100, 99, 98, 103] * 2)}
    return sizes | {
        "precision": np.repeat(["float32", "bfloat16"], 4), "flop": np.array([2e6, 2e6, 3e6, 1e6] * 2),
        "shape": np.array([3, 32, 32]), "threads": np.array(2),
        "training_seconds": ratio, "training_rate": 10 / ratio, "training_ratio": ratio,
        "versions": np.array(["torch 2"]),
    }  # fmt: skip


def test_the_fastest_peer_of_a_precision_counts_in_each_repeat():
    speedup, alike, half, half_alike, mixed, parameters = readings.network_targets(compared())
    assert speedup.found.tolist() == [1.2, 1.4]
    assert speedup.row()[1:] == ("at least 1.2", "1.3 (1.2 to 1.4)", "holds")
    assert alike.found.tolist() == [1.3, 1.4]
    assert half.found.tolist() == half_alike.found.tolist() == [2.0, 1.1]
    assert "bfloat16" in half.row()[0]
    assert mixed.found.tolist() == [1.2, 1.4]  # ours is as fast in both
    assert parameters.found == pytest.approx(0.03)
    assert parameters.holds
    slow = compared() | {"training_ratio": compared()["training_ratio"] - 0.12}
    holds = [target.holds for target in readings.network_targets(slow)]
    assert holds == [False, True, True, True, True, True]
    other = compared() | {"parameters": np.array([100, 99, 94, 98] * 2)}
    assert not readings.network_targets(other)[-1].holds


def test_without_peers_nothing_is_judged(record):
    assert readings.network_targets(record) == []
    assert [row[1] for row in figures.timings(record).rows] == ["ours"] * 4


def test_pages_show_the_record(monkeypatch):
    experiment = dataclasses.replace(speed.EXPERIMENT, compute=lambda spec, work: compared())
    record = store.run(experiment, "smoke")
    for name in ("network_speed", "network_targets"):
        page = getattr(figures, name)(record)._repr_html_()
        assert record.key in page
        assert f'id="{name}"' in page
    text = figures.network_targets(record)._repr_html_()
    assert "times faster than the fastest peer" in text
    assert "Training in bfloat16, ours takes" in figures.network_speed(record).caption.finding
    rows = figures.timings(record).rows
    assert [row[1] for row in rows] == ["ours", *METHODS[1:]] * 2
    assert [row[-1] for row in rows[:4]] == ["1", "1.4 (1.3 to 1.5)", "1.5 (1.4 to 1.6)", "1.4 (1.2 to 1.6)"]


def test_the_benchmarks_answer_every_question():
    texts = [script.read_text() for script in run_benchmarks.scripts(BENCHMARKS)]
    asked = [shown["question"] for shown in speed.EXPERIMENT.shown]
    assert sorted(q for q in asked for text in texts if f'networks("{q}"' in text) == sorted(asked)


def test_the_peers_are_pinned():
    lines = (BENCHMARKS / "requirements.txt").read_text().splitlines()
    for name in PEERS:
        assert any(line.startswith(f"{name}==") for line in lines)
