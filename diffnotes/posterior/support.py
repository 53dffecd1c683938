"""The empirical support, n equally likely data points, as the estimators see it: checked, flattened, read in
tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import MEBIBYTE, blocks, rows_within
from diffnotes.base.shapes import Float, Int, Num, Tensor
from diffnotes.data import Shards

LARGEST = 1e17  # of |x|: float32 cannot hold squares far beyond
SMALLEST = 1e-15  # of the values of a data set: far below, their squares are nothing in float32
UNIT = 2.0**-24  # half the spacing of float32 numbers around 1
_SAMPLE = 512  # rows that tell where the data lie

Data = Num[Tensor, "n ..."] | Shards
"""What estimators take: points [n, ...] in a tensor, or images in files."""


@dataclass(frozen=True)
class Support:
    """The points x_i = offset + scale * r_i; r_i [d] is what is stored: float32 as it is, uint8 p for
    p/127.5 - 1.

    Products are formed from `tile`, the stored rows minus `shift` in float32 (a shift near the mean saves
    digits when the data lie far from 0), and decisive distances again from `rows`, the points in float64.
    """

    raw: Num[Tensor, "n d"] | Shards
    shift: Float[Tensor, "d"] | None  # float32, in stored units
    scale: float
    offset: float
    halves: dict[int, Float[Tensor, "m"]] | None = None  # what `half` remembers, by a tile's first row

    @staticmethod
    def of(data: Data) -> Support:
        """Check `data` [n, ...] (float32, or uint8 pixels p standing for p/127.5 - 1) and find a good shift.

        Values are checked by whoever reads them, in passing: see `half_squares`.
        """
        raw = _flat(data)
        sample = raw[:: -(-len(raw) // _SAMPLE)].double()
        centre = sample.mean(0)
        largest = float(sample.abs().max())
        if 0 < largest < SMALLEST or LARGEST < largest < math.inf:
            kind, limit = ("huge", LARGEST) if largest > 1 else ("too small", SMALLEST)
            raise UserError(f"The data are {kind} for float32, whose limit is {limit:g} here; rescale them.")
        if raw.dtype == torch.uint8:
            return Support(raw, centre.round().float(), 1 / 127.5, -1.0)
        far = centre.square().sum() > (sample - centre).square().sum(1).mean() / 2
        return Support(raw, centre.float() if far else None, 1.0, 0.0)

    @property
    def count(self) -> int:
        return self.raw.shape[0]

    @property
    def tile_rows(self) -> int:
        """Rows of a tile: 24 MiB in float32, which stays in a level-3 cache between its uses."""
        return rows_within(24 * MEBIBYTE, 4 * self.raw.shape[1], self.count)

    def centred(self, x: Float[Tensor, "b d"], who: str = "x contains") -> Float[Tensor, "b d"]:
        """Points x (in data units) in the float32 frame of the tiles; UserError where it cannot hold them."""
        stored = (x.double() - self.offset) / self.scale
        y = (stored if self.shift is None else stored - self.shift.to(x.device)).float()
        if not bool((torch.linalg.vector_norm(y, dim=1) < LARGEST).all()):
            raise UserError(f"{who} huge values (beyond {LARGEST:g}); rescale them or make them again.")
        return y

    def uncentred(self, y: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Tile coordinates (any float type) to data units, in float64."""
        stored = y.double() if self.shift is None else y.double() + self.shift.to(y.device)
        return self.offset + self.scale * stored

    def tile(self, part: slice | Int[Tensor, "m"], where: torch.device) -> Float[Tensor, "m d"]:
        """The selected stored rows minus the shift, float32 on `where`; a view where nothing changes."""
        stored = self.raw[part].to(where)
        if self.shift is None:
            return stored.float()
        if stored.dtype == torch.uint8:  # converted first: `stored - shift` would make two new tiles
            return stored.float().sub_(self.shift.to(where))
        return stored - self.shift.to(where)

    def half(self, part: slice, tile: Float[Tensor, "m d"]) -> Float[Tensor, "m"]:
        """`half_squares` of the tile of these rows; formed once where `halves` remembers them."""
        if self.halves is None:
            return half_squares(tile)
        if part.start not in self.halves:
            self.halves[part.start] = half_squares(tile)
        return self.halves[part.start].to(tile.device)

    def rows(self, index: Int[Tensor, "k"], where: torch.device) -> Float[Tensor, "k d"]:
        """The points number `index`, exact in float64."""
        stored = self.raw[index.to(self.raw.device)].to(where).double()
        return stored if (self.scale, self.offset) == (1, 0) else stored.mul_(self.scale).add_(self.offset)

    def rounding(self, norms: Float[Tensor, "b"], radius: float | Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Bound on the float32 error of y.y_i - |y_i|^2/2 for |y| = norms [b] and |y_i| <= radius, for all
        rows or for each (float64 [b]).

        Rounding errors of a sum of d products add like a random walk: measured on CIFAR-10 (d = 3,072),
        the worst of a million products was off by 0.15 sqrt(d) units of |y||y_i|; the bound allows twice
        that, and 8 units more.
        """
        return UNIT * (8 + 0.3 * math.sqrt(self.raw.shape[1])) * (norms.double() * radius + radius**2)


def _flat(data: Data) -> Num[Tensor, "n d"] | Shards:
    """The data as rows; UserError for what is none."""
    if not isinstance(data, Tensor | Shards):
        raise UserError(f"The data must be a tensor, not {type(data).__name__}; use torch.as_tensor(data).")
    if isinstance(data, Tensor) and (data.layout != torch.strided or data.is_meta):
        raise UserError("The data must be a dense tensor with values, not sparse; use data.to_dense().")
    if data.dtype not in (torch.float32, torch.uint8):
        kind = str(data.dtype).removeprefix("torch.")
        raise UserError(f"The data must be float32, or uint8 pixels, not {kind}; convert with data.float().")
    if len(data.shape) < 2 or data.shape.numel() == 0:
        raise UserError(f"The data must be [n, ...] with at least one point and value, not {[*data.shape]}.")
    return data.flat() if isinstance(data, Shards) else data.detach().reshape(len(data), -1)


def half_squares(tile: Float[Tensor, "m d"]) -> Float[Tensor, "m"]:
    """|y_i|^2 / 2 of a tile; NaN or infinite values in the data end the computation here."""
    step = rows_within(MEBIBYTE, 4 * tile.shape[1], len(tile)) if tile.device.type == "cpu" else len(tile)
    return checked_halves(torch.cat([part.square().sum(1) for part in tile.split(step)]).mul_(0.5))


def checked_halves(half: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """Half squares of points; UserError where one tells of a value that is no number, or too large."""
    if not bool((half < LARGEST**2 / 2).all()):
        raise UserError(
            f"The data contain NaN, infinite or huge (beyond {LARGEST:g}) values; clean or rescale them."
        )
    return half


def squared_distances(
    support: Support, x: Float[Tensor, "b d"], row: Int[Tensor, "k"], index: Int[Tensor, "k"]
) -> Float[Tensor, "k"]:
    """|x[row] - x_index|^2 in difference form and float64, for k pairs, a bounded number at a time."""
    size = 3 * MEBIBYTE // 2 if x.device.type == "cpu" else 32 * MEBIBYTE  # a level-2 cache, or few launches
    found = torch.empty(len(row), dtype=torch.float64, device=x.device)
    for part in blocks(len(row), rows_within(size, 8 * x.shape[1], max(1, len(row)))):
        gap = support.rows(index[part], x.device).sub_(x[row[part]])
        found[part] = torch.einsum("kd,kd->k", gap, gap)
    return found


def true_pairs(mask: Tensor) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"]]:
    """Row and column of every True, in order."""
    if mask.device.type != "cpu":
        row, column = mask.nonzero(as_tuple=True)
        return row, column
    flat = torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times faster than torch.nonzero
    return flat // mask.shape[1], flat % mask.shape[1]
