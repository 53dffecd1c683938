"""When a run breaks down: it loses again what it had learned, and what comes after says nothing of onsets."""

from __future__ import annotations

import numpy as np

GREW = 1.2  # times an earlier training loss
FELL_FROM = 0.1  # share of memorized samples that can be lost
FAR = 2.0  # times the distance of the first samples, which are little better than noise


def broken_at(train_loss: np.ndarray, copies: np.ndarray) -> int:
    """The first evaluation of one run, arguments [l], at which the training loss is more than GREW times an
    earlier one, or of a tenth of memorized samples or more less than half is left; l where there is none."""
    top = np.maximum.accumulate(copies)
    lost = (top >= FELL_FROM) & (copies < top / 2)
    found = np.flatnonzero(lost | (train_loss > GREW * np.minimum.accumulate(train_loss)))
    return int(found[0]) if len(found) else len(copies)


def astray_from(distance: np.ndarray) -> int:
    """The evaluation from which on the distance to held-out images [l] stays above FAR times the first: the
    sampler diverges, and says nothing of what is memorized. l where it does not."""
    near = np.flatnonzero(distance <= FAR * distance[0])
    return int(near[-1]) + 1 if len(near) else 0
