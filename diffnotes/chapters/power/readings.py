"""What records of several chapters say of their own scatter, over seeds and over samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from diffnotes.show.resolution import Counted, Seen, told
from diffnotes.store import Record

AVERAGE = -1  # of the weights: the longest
TIMES = {"split": "step where the losses part", "copies 0.1": "step of 10 % memorized samples"}
SHARE = 0.1  # of memorized samples
LOW, MIDDLE = 0.1, 0.5  # of the data variance, which a loss is to be near


def onsets(record: Record) -> list[Seen]:
    """Times of a sweep of chapter 3, and the least distance before the losses part, over its settings."""
    places = {name: list(record["definition"]).index(name) for name in TIMES}
    found = {word: record["onset"][:, :, AVERAGE, places[name]] for name, word in TIMES.items()}
    found["sliced Wasserstein distance, least"] = record["best"][:, :, AVERAGE]
    return told((word, values[np.isfinite(values).all(1)]) for word, values in found.items())


def schedules(record: Record) -> list[Seen]:
    """Outcomes of the training schedules of chapter 4, over these."""
    place = int(np.abs(np.log(record["sigma"] / record["critical"])).argmin())
    found = {
        "Fréchet distance": record["frechet"],
        "held-out error, at σ*": record["held_out"][:, :, place],
        "loss gap, at σ*": record["gap"][:, :, place],
    }
    return told(found.items())


# ------------------------------------------------------------------------------------------------- samples


def optimum(record: Record) -> Iterator[Counted]:
    """The optimal loss where it is nearest to two shares of the data variance."""
    for share in (LOW, MIDDLE):
        place = int(np.abs(record["mean"] / record["variance"] - share).argmin())
        error = float(record["stderr"][place] / record["mean"][place])
        name = f"optimal loss, {100 * share:.0f} % of the variance"
        yield Counted(name, "sources", int(record["sources"]), error)


def gap(record: Record) -> Counted:
    """The loss gap at the level where the optimal loss is nearest to LOW of the variance, of the first
    network; the median over seeds."""
    share = record["optimum"].mean(0) / record["variance"].mean()
    place = int(np.abs(share - LOW).argmin())
    errors = record["stderr"][0, :, -1, place] / record["gap"][0, :, -1, place]
    return Counted("loss gap", "draws", int(record.spec["draws"]), float(np.median(errors)))


def relative(record: Record) -> Counted:
    """The largest relative gap, at the end; the median over seeds."""
    top = record["gap"][:, -1].argmax(1)
    seeds = np.arange(len(top))
    errors = record["gap_stderr"][seeds, -1, top] / record["gap"][seeds, -1, top]
    count = min(record.spec["images"], record.spec["held_out"])
    return Counted("relative gap, largest", "held-out images", count, float(np.median(errors)))


def held_out(record: Record) -> Counted:
    """The held-out loss at the end of the first setting; the median over seeds."""
    last = (record["step"][0] > 0).sum(1) - 1
    seeds = np.arange(len(last))
    loss, error = (record[f"test_loss{end}"][0, seeds, last, AVERAGE] for end in ("", "_stderr"))
    return Counted(
        "held-out loss", "held-out images", int(record.spec["images"]), float(np.median(error / loss))
    )


def share(record: Record) -> Counted:
    """A share of samples, which is binomial, where it is SHARE."""
    count = int(record.spec["samples"])
    error = math.sqrt((1 - SHARE) / (SHARE * count))
    return Counted(f"share of memorized samples, at {100 * SHARE:.0f} %", "samples", count, error)
