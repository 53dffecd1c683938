"""A run that is interrupted, killed, or spread over processes is the same run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError
from diffnotes.process import VE, VP, FlowMatching
from diffnotes.train import (
    Batch,
    DenoisingLoss,
    LogNormal,
    Plan,
    Snapshot,
    UniformTime,
    batch_indices,
    log_spaced,
)
from diffnotes.train import loop as train
from diffnotes.train.checkpoints import DamagedCheckpoints

ROOT = Path(__file__).resolve().parents[2]
SETTING = """
    import torch
    from torch import nn
    from diffnotes.base import runtime
    from diffnotes.train import DenoisingLoss, LogNormal, Plan, train

    class Toy(nn.Module):
        def __init__(self, width=16):
            super().__init__()
            self.one, self.two = nn.Linear(5, width), nn.Linear(width, 4)
            for place, w in enumerate(self.parameters()):
                w.data = 0.3 * runtime.normals(0, "toy", place, w.shape)[0]

        def forward(self, x, s, labels=None):
            seen = torch.cat([x / (s[:, None] ** 2 + 0.25).sqrt(), s.log()[:, None]], 1)
            return self.two(torch.tanh(self.one(seen)))

    x = runtime.normals(1, "data", range(50), (4,))
    objective = DenoisingLoss(x, LogNormal())
"""
scope: dict[str, object] = {}
exec(textwrap.dedent(SETTING), scope)
Toy, objective = scope["Toy"], scope["objective"]


class Stop(Exception):
    """What a report raises when the time is over."""


def stopper(at: int):  # type: ignore[no-untyped-def]
    """A report that raises once `at` steps are done."""

    def report(done: float, total: float, text: str) -> None:
        if done == at:
            raise Stop

    return report


@pytest.fixture(autouse=True)
def look_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_GLANCE_SECONDS", 0.0)


def run(folder: Path, plan: Plan, stops: list[int], **options) -> tuple[nn.Module, list[Snapshot]]:  # type: ignore[no-untyped-def]
    """A trained Toy and the snapshots on the way."""
    model = Toy()  # type: ignore[operator]
    return model, list(train.train(model, objective, plan, stops, folder, **options))  # type: ignore[arg-type]


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in model.parameters()])


PLAN = Plan(10, 16, rate=3e-3, horizons=(2, 50), clip=1.0, decay=0.01, seed=3)


def test_six_and_four_steps_are_ten(tmp_path: Path) -> None:
    whole, (last,) = run(tmp_path / "a", PLAN, [10])
    with pytest.raises(Stop):
        run(tmp_path / "b", PLAN, [10], report=stopper(6))
    again, (same,) = run(tmp_path / "b", PLAN, [10])
    assert torch.equal(weights(whole), weights(again))
    assert last.loss == same.loss
    for horizon in PLAN.horizons:
        with last.averaged(horizon) as a, same.averaged(horizon) as b:
            assert torch.equal(weights(a), weights(b))
            assert not torch.equal(weights(a), weights(Toy()))  # type: ignore[operator]


def test_half_precision_resumes_bit_for_bit_and_learns_the_same(tmp_path: Path) -> None:
    half = replace(PLAN, precision="bfloat16")
    whole, (last,) = run(tmp_path / "a", half, [10])
    run(tmp_path / "b", half, [6])
    again, _ = run(tmp_path / "b", half, [10])
    assert torch.equal(weights(whole), weights(again))
    single, (exact,) = run(tmp_path / "c", replace(PLAN, precision="float32"), [10])
    assert 0 < abs(last.loss - exact.loss) < 0.01 * exact.loss
    moved = (weights(single) - weights(Toy())).norm()  # type: ignore[operator]
    assert (weights(whole) - weights(single)).norm() < 0.1 * moved
    assert all(w.dtype == torch.float32 for w in whole.parameters())
    same, _ = run(tmp_path / "d", PLAN, [10])
    assert torch.equal(weights(same), weights(single))  # what "auto" is on a CPU


def test_a_longer_plan_continues_a_shorter_one(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "a", PLAN, [10])
    run(tmp_path / "b", Plan(**{**vars(PLAN), "steps": 6}), [6])
    assert torch.equal(weights(whole), weights(run(tmp_path / "b", PLAN, [10])[0]))


def test_stops_are_met_once_more_after_an_interruption(tmp_path: Path) -> None:
    model = Toy()  # type: ignore[operator]
    steps = train.train(model, objective, PLAN, [0, 4, 10], tmp_path)  # type: ignore[arg-type]
    assert [next(steps).step, next(steps).step] == [0, 4]
    _, rest = run(tmp_path, PLAN, [0, 4, 10])  # killed while the caller looked at step 4
    assert [s.step for s in rest] == [4, 10]
    assert [s.step for s in run(tmp_path, PLAN, [0, 4, 10])[1]] == [10]


KILLS = """
    import os, random, signal, sys, time
    from pathlib import Path
    import diffnotes.train.loop
    torch.set_num_threads(1)
    diffnotes.train.loop._GLANCE_SECONDS = 0.0
    folder = Path(sys.argv[1])

    def work(name):
        model = Toy()
        plan = Plan(600, 16, horizons=(20,))
        [end] = train(model, objective, plan, [600], folder / name, save_seconds=0.0)
        found = [end.loss, *[w.data for w in model.parameters()], *end.averages[20]]
        torch.save(found, folder / f"{name}.pt")

    work("whole")
    kills, random.seed = 0, random.Random(int(sys.argv[2])).seed
    while True:
        child = os.fork()
        if child == 0:
            work("killed")
            os._exit(0)
        if kills < 22:
            time.sleep(random.uniform(0.005, 0.06))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        kills += 1
    print(kills, os.waitstatus_to_exitcode(status))
"""


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A fresh interpreter on SETTING and `code`."""
    text = textwrap.dedent(SETTING) + textwrap.dedent(code)
    known = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_gradients_that_are_switched_off_around_a_run_change_nothing(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "a", PLAN, [10])
    with torch.no_grad():
        again, _ = run(tmp_path / "b", PLAN, [10])
    assert torch.equal(weights(whole), weights(again))
    with torch.inference_mode(), pytest.raises(UserError, match="inference_mode"):
        run(tmp_path / "c", PLAN, [10])


def test_twenty_kills_change_no_bit(tmp_path: Path) -> None:
    child = python(KILLS, str(tmp_path), "1")
    out, err = child.communicate()
    kills, code = map(int, out.split())
    assert code == 0, err
    assert kills >= 20
    whole, killed = (torch.load(tmp_path / f"{name}.pt") for name in ("whole", "killed"))
    assert whole[0] == killed[0]
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], killed[1:], strict=True))


PROCESSES = """
    import sys
    from pathlib import Path
    torch.set_num_threads(1)
    model = Toy()
    [end] = train(model, objective, Plan(20, 16, clip=0.5), [20], Path(sys.argv[1]))
    if runtime.process_group().rank == 0:
        torch.save([torch.tensor(end.loss), *[w.data for w in model.parameters()]], sys.argv[1] + ".pt")
"""


def together(folder: Path, size: int) -> list[torch.Tensor]:
    """What `size` processes arrive at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [python(PROCESSES, str(folder), RANK=str(r), **address) for r in range(size)]
    for child in children:
        _, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
    return torch.load(f"{folder}.pt")


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    one, two = together(tmp_path / "one", 1), together(tmp_path / "two", 2)
    for a, b in zip(one, two, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------- broken checkpoints


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run stopped after 6 of its steps, with a state of step 5 before that."""
    for at in (5, 6):
        with pytest.raises(Stop):
            run(tmp_path / "run", PLAN, [10], report=stopper(at))
    return tmp_path / "run"


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: c[:-1] + b"x", lambda c: b""])
def test_a_damaged_checkpoint_falls_back(stopped: Path, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = stopped / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    whole, _ = run(tmp_path / "whole", PLAN, [10])
    assert torch.equal(weights(whole), weights(run(stopped, PLAN, [10])[0]))


def test_a_crash_between_the_two_renames_falls_back(stopped: Path, tmp_path: Path) -> None:
    (stopped / "checkpoint.pt").unlink()
    whole, _ = run(tmp_path / "whole", PLAN, [10])
    assert torch.equal(weights(whole), weights(run(stopped, PLAN, [10])[0]))


def test_only_damaged_checkpoints_are_an_error(stopped: Path) -> None:
    for path in stopped.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedCheckpoints, match="damaged; delete them to start over"):
        run(stopped, PLAN, [10])


def test_a_full_disk_keeps_what_is_there(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device"):
            run(stopped, PLAN, [10])
    assert sorted(path.name for path in stopped.iterdir()) == ["checkpoint-before.pt", "checkpoint.pt"]
    whole, _ = run(tmp_path / "whole", PLAN, [10])
    assert torch.equal(weights(whole), weights(run(stopped, PLAN, [10])[0]))


# ------------------------------------------------------------------------------------------ what a run does


@dataclass(frozen=True)
class Breaks:
    """The objective, until a step at which it is not a number."""

    at: int

    def __call__(self, model, batch: Batch) -> torch.Tensor:  # type: ignore[no-untyped-def]
        losses = objective(model, batch)  # type: ignore[operator]
        return losses * float("nan") if batch.step == self.at else losses


def test_a_loss_that_is_not_finite_stops_with_its_step(tmp_path: Path) -> None:
    breaks = Breaks(7)
    with pytest.raises(UserError, match=r"loss of step 7 is nan; lower the learning rate.*step 4 is kept"):
        list(train.train(Toy(), breaks, PLAN, [4, 10], tmp_path))  # type: ignore[operator]
    identity = train._identity(Toy(), breaks, PLAN, half=False)  # type: ignore[operator]
    state = train.Checkpoints(tmp_path, identity).load(torch.device("cpu"))
    assert state is not None
    assert state["step"] == 4


def test_the_first_steps_are_those_of_adam_by_hand(tmp_path: Path) -> None:
    plan = Plan(3, 16, rate=1e-2, warmup=2, anneal="cosine")
    model, (end,) = run(tmp_path, plan, [3])
    other = Toy()  # type: ignore[operator]
    optimizer = torch.optim.Adam(other.parameters())
    losses = []
    for step, rate in enumerate((0.005, 0.01, 0.01)):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        losses.append(objective(other, plan.batch_at(step)).mean())  # type: ignore[operator]
        losses[-1].backward()
        optimizer.step()
    assert torch.allclose(weights(model), weights(other), atol=1e-6)
    assert end.loss == pytest.approx(sum(loss.item() for loss in losses) / 3)


@pytest.mark.parametrize(("precision", "taken"), [("float32", "ieee"), ("bfloat16", "tf32")])
def test_a_step_in_float32_takes_no_tf32(tmp_path: Path, precision: str, taken: str) -> None:
    switches = [torch.backends.cuda.matmul, torch.backends.cudnn.conv]
    before, seen = [switch.fp32_precision for switch in switches], []

    def note(*_: object) -> None:
        seen.append([switch.fp32_precision for switch in switches])

    model = Toy()  # type: ignore[operator]
    model.two.register_forward_hook(note)
    model.one.weight.register_hook(note)  # in the backward pass
    try:
        for switch in switches:
            switch.fp32_precision = "tf32"
        list(train.train(model, objective, Plan(1, 16, precision=precision), [1], tmp_path))  # type: ignore[arg-type]
        note()
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value
    assert seen == [[taken] * 2, [taken] * 2, ["tf32"] * 2]


def test_averages_follow_their_definition(tmp_path: Path) -> None:
    plan = Plan(40, 16, horizons=(3,))
    model, seen = run(tmp_path / "a", plan, [40])
    assert train.average_weight(5, 3) == 1  # early on: the newest weights
    assert train.average_weight(20, 3) == 1 / 2
    assert train.average_weight(4000, 3) == 1 / 3
    expected = weights(Toy())  # type: ignore[operator]
    single = Toy()  # type: ignore[operator]
    for snapshot in train.train(single, objective, plan, list(range(1, 41)), tmp_path / "b"):  # type: ignore[arg-type]
        expected = torch.lerp(expected, weights(single), train.average_weight(snapshot.step, 3))
    before = weights(model)
    with seen[-1].averaged(3) as mean:
        assert torch.allclose(weights(mean), expected, atol=1e-6)
        assert not torch.equal(weights(mean), before)
    assert torch.equal(weights(model), before)
    with (
        pytest.raises(UserError, match=r"No average over 7 steps is kept; choose from \[0, 3\]"),
        seen[-1].averaged(7),
    ):
        pass


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    _, (first, last) = run(tmp_path, Plan(300, 16, rate=1e-2), [20, 300])
    assert last.loss < 0.8 * first.loss
    assert last.speed > 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"batch": True}, "batch must be a whole number"),
        ({"horizons": (0,)}, "horizon 0 must be"),
        ({"rate": float("nan")}, "rate must be a finite number of at least 0, not nan"),
        ({"anneal": "linear"}, "anneal must be one of constant, cosine, not 'linear'"),
        ({"precision": "half"}, "precision must be one of auto, float32, bfloat16, not 'half'"),
    ],
)
def test_bad_plans(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Plan(**{"steps": 10, "batch": 4, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("stops", [[], [3, 2], [2, 2], [11], [-1]])
def test_bad_stops(tmp_path: Path, stops: list[int]) -> None:
    with pytest.raises(UserError, match="stops must rise within 0 to 10"):
        run(tmp_path, PLAN, stops)


# ---------------------------------------------------------------------------------------------- the batches


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 30))
def test_every_epoch_holds_every_sample_once(n: int, batch: int, seed: int) -> None:
    steps = -(-3 * n // batch)
    order = torch.cat([batch_indices(seed, n, batch, step) for step in range(steps)])[: 3 * n]
    assert all(sorted(epoch.tolist()) == list(range(n)) for epoch in order.split(n))


def test_epochs_differ() -> None:
    first, second = batch_indices(0, 100, 100, 0), batch_indices(0, 100, 100, 1)
    assert not torch.equal(first, second)


def test_a_batch_knows_its_places_and_samples() -> None:
    batch = Plan(10, 8, seed=5).batch_at(4, range(2, 6))
    assert batch == Batch(seed=5, size=8, step=4, rows=range(2, 6))
    assert batch.places == range(34, 38)
    assert batch.indices(20).tolist() == [16, 4, 8, 7]  # of the stream that every record was made with
    whole = Plan(10, 8, seed=5).batch_at(4)
    assert torch.equal(whole.indices(20), batch_indices(5, 20, 8, 4))
    assert torch.equal(whole.indices(20)[2:6], batch.indices(20))


def test_log_spaced() -> None:
    assert log_spaced(1, 1000, 4) == [1, 10, 100, 1000]
    assert log_spaced(1, 5, 20) == [1, 2, 3, 4, 5]
    assert log_spaced(1, 7, 1) == [7]
    with pytest.raises(UserError, match="1 <= first <= last"):
        log_spaced(5, 4, 2)


# -------------------------------------------------------------------------------------------- the objective


@pytest.mark.parametrize(
    ("process", "target", "weight"),
    [
        (VE(), "F", lambda s: (s**2 + 0.25) / (0.5 * s) ** 2),
        (FlowMatching(), "velocity", lambda s: ((1 + s) / s) ** 2),
        (VP(), "eps", lambda s: s**-2),
        (VE(), "x0", lambda s: torch.ones_like(s)),
    ],
)
def test_the_loss_is_that_of_its_target(process, target, weight) -> None:  # type: ignore[no-untyped-def]
    x = runtime.normals(0, "x", range(20), (3,))
    loss = DenoisingLoss(x, LogNormal(), process, target)
    seen = []

    def model(noisy: torch.Tensor, s: torch.Tensor, labels: object) -> torch.Tensor:
        seen.append((noisy, s))
        return torch.zeros_like(noisy)

    found = loss(model, Plan(10, 8, seed=5).batch_at(4))  # type: ignore[arg-type]
    x0, (noisy, s) = x[batch_indices(5, 20, 8, 4)], seen[0]
    assert torch.allclose(found, weight(s) * x0.square().mean(1), rtol=1e-4)
    noise = runtime.normals(5, "train, noise", range(32, 40), (3,))
    assert torch.allclose(noisy - x0, s[:, None] * noise, atol=1e-5)


def test_the_draws_are_those_that_every_record_was_made_with() -> None:
    x, labels = runtime.normals(1, "data", range(20), (3,)), torch.arange(20) % 4
    loss = DenoisingLoss(x, UniformTime(), FlowMatching(), "velocity", labels=labels, drop=0.3)
    seen = []

    def model(noisy: torch.Tensor, s: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        seen.append((s, given))
        return noisy / (1 + s[:, None])

    found = loss(model, Plan(10, 8, seed=5).batch_at(4, range(2, 6)))  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([0.79734534, 2.02600002, 1.86684501, 2.62552118], rel=1e-6)
    assert seen[0][0].tolist() == pytest.approx([1.80609822, 0.505437791, 11.6948385, 1.43726373], rel=1e-6)
    assert seen[0][1].tolist() == [0, 0, -1, -1]


def test_size_and_seed_of_the_batch_are_said_once() -> None:
    x = torch.zeros(4, 2)
    for twice in ({"batch": 2}, {"seed": 0}):
        with pytest.raises(TypeError, match="unexpected keyword"):
            DenoisingLoss(x, LogNormal(), **twice)  # type: ignore[arg-type]


def test_rows_of_the_loss_do_not_depend_on_the_others() -> None:
    loss = DenoisingLoss(torch.randn(20, 3), UniformTime(), FlowMatching(), "velocity")
    plan, model = Plan(10, 8, seed=5), lambda x, s, labels: x / (1 + s[:, None])
    parts = [loss(model, plan.batch_at(2, range(a, a + 2))) for a in range(0, 8, 2)]  # type: ignore[arg-type]
    assert torch.equal(torch.cat(parts), loss(model, plan.batch_at(2)))  # type: ignore[arg-type]


def test_levels_follow_their_laws() -> None:
    u = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    s = LogNormal(-1.2, 1.2)(u)
    assert float(s.log().mean()) == pytest.approx(-1.2, abs=0.01)
    assert float(s.log().std()) == pytest.approx(1.2, abs=0.01)
    t = FlowMatching().time(UniformTime(FlowMatching())(u))
    assert torch.allclose(t, 1e-4 + u * (1 - 2e-4))


def test_labels_are_passed_and_dropped() -> None:
    labels = torch.arange(40) % 10
    seen = []

    def model(x: torch.Tensor, s: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        seen.append(given)
        return x

    for drop in (0.0, 0.3):
        loss = DenoisingLoss(torch.zeros(40, 2), LogNormal(), labels=labels, drop=drop)
        loss(model, Plan(1, 4000).batch_at(0))  # type: ignore[arg-type]
    assert torch.equal(seen[0], labels[batch_indices(0, 40, 4000, 0)])
    assert float((seen[1] == -1).float().mean()) == pytest.approx(0.3, abs=0.03)


def test_bad_objectives() -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(UserError, match="float32 tensor"):
        DenoisingLoss(x.double(), LogNormal())
    with pytest.raises(UserError, match="3 labels for 4 samples"):
        DenoisingLoss(x, LogNormal(), labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UserError, match="probability"):
        DenoisingLoss(x, LogNormal(), drop=1.5)
