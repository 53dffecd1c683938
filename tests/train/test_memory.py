"""An objective with a memory: the memory is state like the weights, and the run is no less the same run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from launched import together

from diffnotes.base import runtime
from diffnotes.base.errors import UserError
from diffnotes.networks import MLP, NetworkDenoiser, seeded
from diffnotes.optimal_loss import optimal_loss
from diffnotes.process import noise_levels
from diffnotes.schedule import LossGapLaw, ScheduledLoss
from diffnotes.train import Batch, DenoisingLoss, LogNormal, Plan, Remembering, Snapshot
from diffnotes.train import loop as train

X = runtime.normals(1, "data", range(50), (4,))
LAW = LossGapLaw.of(optimal_loss(X, noise_levels(20, 0.02, 20.0)), 4, bins=8, memory=8)
PLAN = Plan(10, 16, rate=3e-3, horizons=(3,), seed=3)


class Stop(Exception):
    """What a report raises when the time is over."""


def stopper(at: int):  # type: ignore[no-untyped-def]
    def report(done: float, total: float, text: str) -> None:
        if done == at:
            raise Stop

    return report


@pytest.fixture(autouse=True)
def look_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_GLANCE_SECONDS", 0.0)


def fresh() -> NetworkDenoiser:
    return NetworkDenoiser(seeded(0, lambda: MLP((4,), 16, 1)))


def run(folder: Path, law: LossGapLaw = LAW, stops: tuple[int, ...] = (10,), **options) -> Snapshot:  # type: ignore[no-untyped-def]
    return list(train.train(fresh(), ScheduledLoss(X, law), PLAN, stops, folder, **options))[-1]


def same(a: Snapshot, b: Snapshot) -> bool:
    both = zip(a.model.parameters(), b.model.parameters(), strict=True)
    assert a.memory is not None
    assert b.memory is not None
    return all(torch.equal(x, y) for x, y in both) and torch.equal(a.memory, b.memory) and a.loss == b.loss


def test_only_objectives_that_say_so_have_a_memory(tmp_path: Path) -> None:
    assert isinstance(ScheduledLoss(X, LAW), Remembering)
    assert not isinstance(DenoisingLoss(X, LogNormal()), Remembering)
    [end] = train.train(fresh(), DenoisingLoss(X, LogNormal()), PLAN, [2], tmp_path)
    assert end.memory is None


def test_a_run_that_was_interrupted_is_bit_for_bit_the_same(tmp_path: Path) -> None:
    whole = run(tmp_path / "a")
    for at in (3, 6):
        with pytest.raises(Stop):
            run(tmp_path / "b", report=stopper(at))
    assert same(whole, run(tmp_path / "b"))
    assert not same(whole, run(tmp_path / "c", replace(LAW, memory=9)))


def test_a_lost_memory_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "a")
    run(tmp_path / "b", stops=(6,))
    with monkeypatch.context() as patch:
        patch.setattr(train.Memory, "restore", lambda self, value: None)
        forgetful = run(tmp_path / "b")
    assert not same(whole, forgetful)


def test_the_memory_is_that_of_the_losses_by_hand(tmp_path: Path) -> None:
    end = run(tmp_path, stops=(1,))
    base = DenoisingLoss(X, lambda u: LAW.levels(u, LAW.begin()))
    sigma, error = base.errors(fresh(), PLAN.batch_at(0))
    error = error.detach().double()
    assert end.memory is not None
    expected = LAW.begin()
    for k in range(8):
        mine = error[LAW.place(sigma) == k]
        if len(mine):
            kept = (1 - 1 / 8) ** len(mine)
            expected[k] = kept * expected[k] + (1 - kept) * mine.mean()
    torch.testing.assert_close(end.memory, expected)
    assert end.loss == pytest.approx(float((LAW.weight(sigma) * error).mean()), rel=1e-5)


def test_identity_does_not_depend_on_the_memory(tmp_path: Path) -> None:
    run(tmp_path, stops=(4,))
    before = torch.load(_content(tmp_path), weights_only=True)
    end = run(tmp_path)
    after = torch.load(_content(tmp_path), weights_only=True)
    assert before["identity"] == after["identity"]
    assert not torch.equal(before["memory"], after["memory"])
    assert torch.equal(after["memory"], end.memory)
    with pytest.raises(UserError, match=r"other objective \(law\)"):
        run(tmp_path, replace(LAW, exponent=0.5))


def _content(folder: Path):  # type: ignore[no-untyped-def]
    import io

    return io.BytesIO((folder / "checkpoint.pt").read_bytes()[32:])


def test_levels_share_their_uniform_numbers_with_other_laws() -> None:
    seen = []

    def note(x: torch.Tensor, s: torch.Tensor, labels: object = None) -> torch.Tensor:
        seen.append((x, s))
        return torch.zeros_like(x)

    batch = PLAN.batch_at(2)
    DenoisingLoss(X, LogNormal())(note, batch)
    losses, _ = ScheduledLoss(X, LAW)(note, batch, LAW.begin())
    (x, s), (y, r) = seen
    x0 = X[batch.indices(len(X))]
    torch.testing.assert_close((x - x0) / s[:, None], (y - x0) / r[:, None], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(s.argsort(), r.argsort())  # one number, two laws
    expected = LAW.weight(r) * x0.double().square().mean(1)
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=0)


@dataclass(frozen=True)
class Counts:
    """Remembers how many rows there were; its losses are those of another objective."""

    base: DenoisingLoss

    def begin(self) -> torch.Tensor:
        return torch.zeros(1, dtype=torch.float64)

    def __call__(self, model, batch: Batch, memory: torch.Tensor):  # type: ignore[no-untyped-def]
        losses = self.base(model, batch)
        return losses, torch.tensor([float(len(losses))], dtype=torch.float64)

    def updated(self, memory: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        return memory + seen


def test_a_memory_that_is_not_used_changes_no_bit(tmp_path: Path) -> None:
    base = DenoisingLoss(X, LogNormal())
    [plain] = train.train(fresh(), base, PLAN, [10], tmp_path / "a")
    [counted] = train.train(fresh(), Counts(base), PLAN, [10], tmp_path / "b")
    assert counted.memory.tolist() == [160.0]
    both = zip(plain.model.parameters(), counted.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in both)
    assert plain.loss == counted.loss


PROCESSES = """
    import sys
    from pathlib import Path
    import torch
    from diffnotes.base import runtime
    from diffnotes.networks import MLP, NetworkDenoiser, seeded
    from diffnotes.optimal_loss import optimal_loss
    from diffnotes.process import noise_levels
    from diffnotes.schedule import LossGapLaw, ScheduledLoss
    from diffnotes.train import Plan, train
    torch.set_num_threads(1)
    x = runtime.normals(1, "data", range(50), (4,))
    law = LossGapLaw.of(optimal_loss(x, noise_levels(20, 0.02, 20.0)), 4, bins=8, memory=8)
    model = NetworkDenoiser(seeded(0, lambda: MLP((4,), 16, 1)))
    [end] = train(model, ScheduledLoss(x, law), Plan(20, 16, rate=3e-3), [20], Path(sys.argv[1]))
    rank = runtime.process_group().rank
    torch.save([end.memory, *[w.data for w in model.parameters()]], f"{sys.argv[1]}-{rank}.pt")
"""


def test_two_processes_remember_what_one_does(tmp_path: Path) -> None:
    [one], two = (together(PROCESSES, tmp_path / str(size), size) for size in (1, 2))
    for a, b, c in zip(one, *two, strict=True):
        assert torch.equal(b, c)
        assert torch.allclose(a, b, rtol=0, atol=1e-5)
