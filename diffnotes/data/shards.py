"""Pixels in files, read as they are needed: data sets larger than memory."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Array, Int, Tensor, UInt8


class Shards:
    """Images [n, ...] in one or more uint8 .npy files of equal image shape, in the order given.

    Stands where a uint8 tensor may stand in `posterior`, `accumulate` and `optimal_loss`: pixel p means
    p/127.5 - 1. Nothing is loaded. A slice is copied out of the mapped files, and the system is asked
    to read the slice after it (the first one after the last), so reading and computing overlap. Pages that
    were used may leave memory again.

    Raises UserError for a file that is missing, damaged, of another type or of another image shape.
    """

    dtype = torch.uint8
    device = torch.device("cpu")

    def __init__(self, paths: Sequence[Path | str]) -> None:
        if isinstance(paths, str | Path):
            paths = [paths]
        if not isinstance(paths, list | tuple) or not all(isinstance(path, str | Path) for path in paths):
            raise UserError(f"Shards are a list of paths of .npy files, not {type(paths).__name__}.")
        if not paths:
            raise UserError("There are no shards; give at least one .npy file of uint8 images [n, ...].")
        self.parts = [_mapped(Path(path)) for path in paths]
        shapes = {part.shape[1:] for part in self.parts}
        if len(shapes) > 1:
            raise UserError(
                f"Shards must hold images of one shape, not {sorted(shapes)}; convert them first."
            )
        self.ends = list(accumulate(len(part) for part in self.parts))
        self.shape = torch.Size([self.ends[-1], *shapes.pop()])

    def __len__(self) -> int:
        return self.shape[0]

    def flat(self) -> Shards:
        """The same images as rows [n, d]."""
        view = object.__new__(Shards)
        view.parts = [part.reshape(len(part), -1) for part in self.parts]
        view.ends, view.shape = self.ends, torch.Size([len(self), self.shape[1:].numel()])
        return view

    def __getitem__(self, part: slice | Int[Tensor, "m"]) -> UInt8[Tensor, "m ..."]:
        """A copy of the images of a slice, or of a list of positions."""
        if not isinstance(part, slice):
            return torch.from_numpy(self._gather(part.numpy()))
        start, stop, step = part.indices(len(self))
        if step != 1:
            return self[torch.arange(start, stop, step)]
        found = np.empty((max(0, stop - start), *self.shape[1:]), np.uint8)
        for piece, inside in self._pieces(start, stop):
            found[inside] = piece
        ahead = stop % len(self)
        for piece, _ in self._pieces(ahead, min(len(self), ahead + len(found))):
            _will_need(piece)
        return torch.from_numpy(found)

    def _pieces(self, start: int, stop: int) -> list[tuple[Array, slice]]:
        """The mapped pieces that hold images start to stop, and where each goes in the slice."""
        pieces = []
        for part, end in zip(self.parts, self.ends, strict=True):
            first = end - len(part)
            a, b = max(start, first), min(stop, end)
            if a < b:
                pieces.append((part[a - first : b - first], slice(a - start, b - start)))
        return pieces

    def _gather(self, index: Array) -> Array:
        found = np.empty((len(index), *self.shape[1:]), np.uint8)
        for place, i in enumerate(index.tolist()):
            shard = bisect_right(self.ends, i)
            found[place] = self.parts[shard][i - self.ends[shard]]  # negative: counted from the shard's end
        return found


def _mapped(path: Path) -> Array:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"There is no shard {path}; check the path.") from error
    except Exception as error:  # numpy raises whatever it stumbles over in a header
        raise UserError(f"The shard {path} is damaged ({error}); write it again with numpy.save.") from error
    if not isinstance(found, np.memmap):  # an npz file
        found.close()
        raise UserError(
            f"The shard {path} is an npz file; write its images [n, ...] to a .npy file by numpy.save."
        )
    if found.offset + found.nbytes != path.stat().st_size:
        raise UserError(f"The shard {path} is longer than its header says; write it again with numpy.save.")
    if found.dtype != np.uint8 or found.ndim < 2 or found.size == 0:
        kind = f"{found.dtype} {list(found.shape)}"
        raise UserError(f"The shard {path} must hold uint8 images [n, ...], not {kind}; convert it first.")
    return found


def _will_need(piece: Array) -> None:
    """Ask the operating system to read a mapped piece in the background; a hint, so nothing depends on it."""
    base: Any = piece
    while isinstance(base.base, np.ndarray):
        base = base.base
    if not isinstance(base.base, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
        return
    start = piece.ctypes.data - base.ctypes.data + base.offset % mmap.ALLOCATIONGRANULARITY
    start -= start % mmap.PAGESIZE
    base.base.madvise(mmap.MADV_WILLNEED, start, min(piece.nbytes + mmap.PAGESIZE, len(base.base) - start))
