"""Samples with labels: what every data set is once it is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, Float, Int, Num, Tensor, UInt8, checked
from diffnotes.data import part as data_part


@checked()
@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels; `values` are raw uint8 pixels or, where there are none, float32 samples.

    `x` [n, ...] float32, `pixels` [n, c, h, w] uint8 or None, `labels` [n] int64; `x` and `fingerprint` are
    computed when first read and then kept, so that a user of `pixels` never pays the fourfold memory of `x`.
    """

    name: str
    split: str
    values: Num[Tensor, "n *d"] = field(repr=False)  # uint8 or float32
    labels: Int[Tensor, "n"] = field(repr=False)

    def __post_init__(self) -> None:
        typed = self.values.is_floating_point() or self.values.dtype == torch.uint8
        if not typed or self.values.numel() == 0:
            kind = f"{str(self.values.dtype).removeprefix('torch.')} {[*self.values.shape]}"
            raise UserError(f"Samples must be uint8 or float32, and at least one, not {kind}.")
        if self.labels.shape != self.values.shape[:1]:
            count = self.labels.numel()
            raise UserError(f"There are {count} labels for {len(self.values)} samples; give one each.")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def pixels(self) -> UInt8[Tensor, "n c h w"] | None:
        """The raw pixels p behind x = p/127.5 - 1, or None for data that never were 8-bit pixels."""
        return self.values if self.values.dtype == torch.uint8 else None

    @cached_property
    def x(self) -> Float[Tensor, "n *d"]:
        """The samples as float32, images in [-1, 1]."""
        return as_floats(self.values)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over type, shape and bytes of `values` and of `labels`, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for array in (self.values.numpy(), self.labels.numpy()):
            digest.update(f"{array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def taken(self, index: Int[Array, "m"]) -> Dataset:
        """The samples of these numbers, in this order."""
        given: Any = index
        chosen = _numbers(given, self)
        return Dataset(self.name, self.split, self.values[chosen], self.labels[chosen])


@checked()
def _numbers(index: Int[Tensor, "m"], data: Dataset) -> Int[Tensor, "m"]:
    """Numbers of samples that a set has."""
    if len(index) == 0 or not 0 <= int(index.min()) <= int(index.max()) < len(data):
        ends = f"{int(index.min())} to {int(index.max())}" if len(index) else "none"
        raise UserError(f"{data.name} has samples 0 to {len(data) - 1}, not {ends}.")
    return index


class InPart(Dataset):
    """A stored set of which only a part is here (`data_part`): its length, its fingerprint, and the samples
    that are here. Whatever needs others raises UserError."""

    part: data_part.DataPart

    def __init__(self, name: str, split: str, part: data_part.DataPart) -> None:
        vars(self).update(name=name, split=split, fingerprint=part.fingerprint, part=part)

    def __len__(self) -> int:
        return self.part.total

    def __getattr__(self, name: str) -> Tensor:
        if name in ("values", "labels"):  # of the whole set; they are never set here
            raise UserError(self._lacking(len(self) - len(self.part.places)))
        raise AttributeError(name)

    def taken(self, index: Int[Array, "m"]) -> Dataset:
        found = self.part.at(index)
        if lacking := int((found < 0).sum()):
            raise UserError(self._lacking(lacking))
        values, labels = (torch.from_numpy(array[found]) for array in (self.part.values, self.part.labels))
        return Dataset(self.name, self.split, values, labels)

    def _lacking(self, count: int) -> str:
        return (
            f"{count:,} of the samples asked for are not in the part of {self.name} ({self.split}) that was "
            f"brought here ({len(self.part.places):,} of {len(self):,}); bring a part for this run, or all."
        )


@checked()
def as_floats(values: Num[Tensor, "n *d"]) -> Float[Tensor, "n *d"]:
    """Pixels p as p/127.5 - 1, float32; numbers as they are."""
    return values.float().div_(127.5).sub_(1.0) if values.dtype == torch.uint8 else values


@checked()
def as_bytes(x: Float[Tensor, "*n"]) -> UInt8[Array, "*n"]:
    """Numbers in [-1, 1] as pixels 0..255, for pictures; what lies beyond is cut off."""
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()
