"""A small experiment without torch, for tests of the store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes import store


@dataclass(frozen=True)
class SmallSpec(store.Spec):
    n: int = store.number(3, low=1, high=100, help="how many numbers")
    factor: float = store.number(1.5, low=0.0)
    kind: str = store.choice("x", "x", "y")
    many: tuple[float, ...] = store.numbers((1.0, 2.0), low=0.0)
    both: bool = store.flag(True)
    seed: int = store.number(0, low=0)


def compute(spec, work):
    saved = work.load("sums")
    values = list(saved["values"]) if saved else []
    for i in range(len(values), spec.n):
        values.append(spec.factor * i)
        work.save("sums", {"values": np.array(values)})
        work.step(i + 1, spec.n)
    return {"values": np.array(values), "name": np.array([spec.kind])}


EXPERIMENT = store.Experiment(
    name="small",
    version=1,
    spec=SmallSpec,
    profiles={"smoke": SmallSpec(), "laptop": SmallSpec(n=7), "paper": SmallSpec(n=90)},
    compute=compute,
    seconds={"smoke": 1, "laptop": 2, "paper": 9000},
    shown=({"kind": "x"}, {"kind": "y"}),
    machine={"paper": "one H200"},
)
