"""What the chapter takes off the record of two networks on disjoint halves."""

from __future__ import annotations

import numpy as np

from diffnotes.store import Record


def apart(record: Record) -> np.ndarray:
    """Distance of two samples from one noise over that of samples from different noises, [n, seed]."""
    found: np.ndarray = record["apart"] / record["unrelated"]
    return found


def again(record: Record) -> np.ndarray:
    """The same for two networks that learned the same half from different starts, [n, seed]."""
    found: np.ndarray = record["again"] / record["unrelated"]
    return found


def strangers(record: Record) -> np.ndarray:
    """The same for two networks on different halves and from different starts, [n, seed]."""
    found: np.ndarray = record["strangers"] / record["unrelated"]
    return found


def own(record: Record) -> np.ndarray:
    """Distance to the nearest image of the own half over that to the nearest of the other half, [n, seed]."""
    found: np.ndarray = record["own"] / record["other"]
    return found


def memorized_halves(record: Record) -> np.ndarray:
    """The share of memorized samples, of both networks, [n, seed]."""
    found: np.ndarray = record["copies"]
    return found


def pairs(record: Record, place: int) -> np.ndarray:
    """Samples of the two networks of the first seed from the same noise, [network, k, c, h, w]."""
    found: np.ndarray = record["sheet"][place, 0]
    return found
