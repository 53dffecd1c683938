"""Checkpoints of a training run, damaged by accident or made by somebody: the same run, or one sentence."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import faults
import torch
from programs import Program

from diffnotes.base import runtime
from diffnotes.networks import MLP
from diffnotes.train import DenoisingLoss, LogNormal, Plan, loop

NAMES = ("checkpoint.pt", "checkpoint-before.pt")
STEPS = 6
OTHER = "FAILED: other weights"


class Stop(Exception):
    """What ends a run in the middle."""


def trained(folder: Path, steps: int = STEPS) -> torch.Tensor:
    """The weights after the whole run, which goes on from the checkpoints that are there; Stop before."""

    def report(done: float, total: float, text: str) -> None:
        if done == steps < STEPS:
            raise Stop

    model = MLP((4,), width=8, depth=1)
    for place, weight in enumerate(model.parameters()):
        weight.data = 0.1 * runtime.normals(0, "weights", place, tuple(weight.shape))[0]
    objective = DenoisingLoss(runtime.normals(1, "data", range(30), (4,)), LogNormal())
    for _ in loop.train(model, objective, Plan(STEPS, 8), [STEPS], folder, report=report):
        pass
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def made_up(content: bytes, program: bytes, draw: random.Random) -> bytes:
    """A checkpoint with a right digest and a wrong inside: no state, another state, or a program."""
    kind = draw.choice(("pickle", "program in a zip", "no state", "part of a state", "noise"))
    if kind == "pickle":
        inside = program
    elif kind == "program in a zip":
        inside = rezipped(content[32:], program)
    elif kind == "noise":
        inside = faults.damaged(content[32:], program, draw)
    else:
        state = torch.load(io.BytesIO(content[32:]), weights_only=True)
        gone = draw.choice(list(state))
        other = draw.choice((None, 3, [], {}, torch.zeros(2), "x", float("nan")))
        state = other if kind == "no state" else {**state, gone: other}
        if kind != "no state" and draw.random() < 0.5:
            del state[gone]
        buffer = io.BytesIO()
        torch.save(state, buffer)
        inside = buffer.getvalue()
    return hashlib.sha256(inside).digest() + inside


def rezipped(content: bytes, program: bytes) -> bytes:
    """What torch wrote, with a program in place of its pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


def compared(found: torch.Tensor, expected: torch.Tensor) -> str:
    """Whether the weights are those of an undisturbed run."""
    return "same weights" if torch.equal(found, expected) else OTHER


def damage(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Damage one checkpoint or both, and go on."""
    loop._GLANCE_SECONDS = 0.0  # look at the time after every step
    counts: Counter[str] = Counter()
    original, proof = folder / "original", folder / "proof"
    program = pickle.dumps(Program(proof))
    for at in (3, 4):
        try:
            trained(original, at)
        except Stop:
            continue
    expected = trained(folder / "whole")
    for number in range(count):
        root = folder / f"case {number}"
        shutil.copytree(original, root)
        forged = draw.random() < 0.5
        for name in draw.choice((NAMES, NAMES[:1], NAMES[1:])):
            content = (original / name).read_bytes()
            change = made_up if forged else faults.damaged
            (root / name).write_bytes(change(content, program, draw))
        outcome = faults.judged(lambda root=root: compared(trained(root), expected))
        if forged and outcome == OTHER:  # who can sign a state can choose its numbers
            outcome = "the weights that a forger chose"
        counts[outcome] += 1
        if proof.exists():
            counts["FAILED: a program ran"] += 1
            proof.rmdir()
        shutil.rmtree(root)
    return counts
