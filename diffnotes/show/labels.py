"""The words for data sets and verdicts that every page uses, numbers as pages write them, and which
records may stand together. No matplotlib: checks of claims use it on a bare machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from diffnotes.base.errors import UserError
from diffnotes.store import Record

VERDICTS = ("reproduced", "partly", "not reproduced", "only on paper", "pending")
OPEN = VERDICTS[3:]  # nothing has been found out
DATASETS = {
    "digits": "digits",
    "cifar10": "CIFAR-10",
    "imagenet64": "Tiny ImageNet",
    "imagenet64-all": "Tiny ImageNet",
    "imagenet64-sample": "ImageNet",
    "gaussian": "a Gaussian",
    "circle": "a circle",
    "specimens": "specimens",
    "specimens64": "specimens, 64 × 64",
    "specimens64-all": "specimens, 64 × 64",
}


def dataset(record: Record) -> str:
    """'CIFAR-10': the data set that a record's settings name; a folder of images goes by its own name."""
    name = str(record.spec["dataset"])
    return DATASETS.get(name, name.rstrip("/").rsplit("/", 1)[-1])


def images(record: Record, n: str = "n") -> str:
    """'1,000 digits', '200 CIFAR-10 images': as many as the setting `n` of a record says."""
    count, name = f"{record.spec[n]:,}", dataset(record)
    if record.spec["dataset"] == "gaussian":
        return f"{count} draws of {name}"
    return f"{count} {name}" if name in ("digits", "specimens") else f"{count} {name} images"


def minus(text: str) -> str:
    """The text with true minus signs, as the mathematics around it has them."""
    return text.replace("-", "−")


def bounds(low: float, high: float, digits: int = 0, unit: str = "") -> str:
    """'3 to 5 %'; one number where both ends read the same, so never '0 to 0 %'; zero has no sign."""
    ends = [f"{value:z.{digits}f}" for value in (low, high)]
    return minus(f"{' to '.join(dict.fromkeys(ends))}{unit}")


def power_of_ten(value: float) -> str:
    """A number far from 1 as people write it: 5 × 10⁻⁴⁰; zero stays 0."""
    if value == 0:
        return "0"
    digits, exponent = f"{value:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits} × 10{raised}"


def at_95(interval: np.ndarray, digits: int = 2, unit: str = "") -> str:
    """'0.59 to 0.78 at 95 %' of [value, low, high]."""
    return f"{bounds(interval[1], interval[2], digits, unit)} at 95 %"


def joined(texts: Iterable[str]) -> str:
    """Sentences one after the other."""
    return " ".join(texts)


def check_profiles(records: Sequence[Record]) -> None:
    """Raise UserError when two records of one experiment are of two profiles: no figure mixes them."""
    profiles: dict[str, str] = {}
    for record in records:
        first = profiles.setdefault(record.experiment, record.profile)
        if record.profile != first:
            raise UserError(
                f"{record.experiment} records of the profiles {first} and {record.profile} cannot be shown "
                "together; load them with store.load_all, which takes one profile for all."
            )
