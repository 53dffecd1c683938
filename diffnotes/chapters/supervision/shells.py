"""How wide the shell is that holds Gaussian noise, and how wide Proposition 3.2 says (chapter 2).

Song et al. (arXiv 2510.01378) call T_t(delta) the supervision region: the shells of half width sigma sqrt(d
log(1/delta)) around radius sigma sqrt(d). It holds noised data but for probability delta. All numbers here
are those of the chi distribution: nothing is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffnotes.regions import WIDTHS, half_width, outside
from diffnotes.store import Arrays, Experiment, Spec, Tolerance, Work, numbers


@dataclass(frozen=True)
class ShellSpec(Spec):
    """Which dimensions and probabilities."""

    dims: tuple[int, ...] = numbers(
        (1, 2, 3, 4, 8, 16, 20, 32, 64, 128, 256, 512, 784, 1024, 2048, 3072, 4096),
        low=1, high=10**6, help="dimensions",
    )  # fmt: skip
    deltas: tuple[float, ...] = numbers(
        (0.9, 0.5, 0.1, 0.01, 1e-3, 1e-6, 1e-9), low=1e-12, high=0.999, help="probabilities of being outside"
    )


def compute(spec: ShellSpec, work: Work) -> Arrays:
    """Half widths of each kind in units of sigma, and the probability that noise is outside of them: both
    [kind, dimension, delta]."""
    width = np.array(
        [[[half_width(delta, dim, kind) for delta in spec.deltas] for dim in spec.dims] for kind in WIDTHS]
    )
    miss = np.array(
        [
            [[outside(one, dim) for one in row] for dim, row in zip(spec.dims, kind, strict=True)]
            for kind in width
        ]
    )
    return {
        "dim": np.array(spec.dims), "delta": np.array(spec.deltas), "kind": np.array(WIDTHS),
        "width": width, "outside": miss,
    }  # fmt: skip


EXPERIMENT = Experiment(
    name="shell_width",
    version=1,
    spec=ShellSpec,
    profiles={"smoke": ShellSpec(dims=(1, 2, 20, 3072), deltas=(0.5, 0.01, 1e-9)), "laptop": ShellSpec()},
    compute=compute,
    seconds={"smoke": 1, "laptop": 1},
    tolerance=Tolerance(1e-8, 1e-300, "root finding, to 1e-13 of a width"),
)
