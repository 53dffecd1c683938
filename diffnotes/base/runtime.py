"""Device, memory, precision and random numbers: how a number is computed, never which number.

Random numbers are stateless. Each draw is a function of (seed, stream name, index) alone, so resuming,
batching, ordering or sharding a computation cannot change it. A device hashes the same words as the CPU, and
so draws the same numbers, but for the last digit of a few.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from diffnotes.base.errors import UserError, quoted
from diffnotes.base.shapes import Array, Tensor

MEBIBYTE = 1 << 20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiples of it visit all 64-bit words
_BLOCK = 1 << 15  # words hashed at a time: small enough to stay in the level-2 cache


# --------------------------------------------------------------------------------------- device and memory


def device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is the first CUDA device if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'Device "{name}" is not available here; use "auto" or "cpu".') from error
    return chosen


def device_name(where: torch.device) -> str:
    """The name of a GPU; "" for the CPU, which records name by themselves."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else ""


def memory_budget(where: torch.device) -> int:
    """Scratch bytes for one call: a quarter of the free device memory, or 256 MiB on the CPU."""
    if where.type == "cuda":
        return torch.cuda.mem_get_info(where)[0] // 4
    return 256 * MEBIBYTE


def keep_memory() -> None:
    """Let the C library of Linux keep freed memory for later use, in this process, whatever its size.

    By default it hands large blocks back to the system, which gives them out anew, page by page, at every
    step of a training run. No number changes. Elsewhere: nothing.
    """
    with contextlib.suppress(OSError, AttributeError):  # another system, another C library
        change = ctypes.CDLL(None).mallopt
        change(-3, 1 << 30)  # M_MMAP_THRESHOLD: blocks beyond it are always handed back
        change(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD: how much may be kept


def rows_within(budget: int, bytes_per_row: int, most: int) -> int:
    """How many rows of `bytes_per_row` fit in `budget`: at least 1 and at most `most`."""
    return max(1, min(most, budget // max(1, bytes_per_row)))


def blocks(total: int, size: int) -> Iterator[slice]:
    """Slices of length `size` (the last may be shorter) that cover range(total) in order."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_threads(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """work(piece) for each, in order, made by as many threads as torch uses.

    A thread takes piece after piece, so that one that has to wait for a busy processor holds up nobody else.
    Operations of torch within a piece run in its thread alone: no thread waits in a loop for others, as after
    every operation that torch shares out by itself.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(work, pieces)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, pieces)
    finally:
        # A setting of each thread, and of all to come: one that another part of the process begins meanwhile
        # would stay alone.
        torch.set_num_threads(threads)


# ----------------------------------------------------------------------------------------------- precision


def _precision_switches() -> list[object]:
    """Those of products and of convolutions, on GPUs and on CPUs, as far as this torch has them."""
    places = (("cuda", "matmul"), ("cudnn", "conv"), ("mkldnn", "matmul"), ("mkldnn", "conv"))
    found = (getattr(getattr(torch.backends, library), kind, None) for library, kind in places)
    return [switch for switch in found if switch is not None]


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Inside, float32 products and convolutions are float32: no TF32, bfloat16 or autocast. The old settings
    return after.
    """
    switches = _precision_switches()
    before = [switch.fp32_precision for switch in switches]  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            for switch in switches:
                switch.fp32_precision = "ieee"  # type: ignore[attr-defined]
            yield
        finally:
            for switch, value in zip(switches, before, strict=True):
                switch.fp32_precision = value  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------ random numbers


def _mix(words: Array) -> Array:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), in place: every bit affects every bit."""
    scratch = np.right_shift(words, np.uint64(30))
    words ^= scratch
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= np.right_shift(words, np.uint64(27), out=scratch)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= np.right_shift(words, np.uint64(31), out=scratch)
    return words


def _row_keys(seed: int, stream: str, index: Array) -> tuple[Array, Array]:
    """Two 64-bit keys for each index; a digest keeps seeds and streams apart however alike they look."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    first, second = (np.uint64(int.from_bytes(digest[at : at + 8], "little")) for at in (0, 8))
    step = (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    return _mix(step + first), _mix(_mix(step ^ second))


def _indices(index: int | Sequence[int] | range | Array) -> Array:
    rows = np.atleast_1d(np.asarray(index))
    if rows.size and (not np.issubdtype(rows.dtype, np.integer) or rows.min() < 0):
        raise UserError(f"A random stream needs whole indices of at least 0, not {index!r}.")
    return rows.astype(np.uint64)


def words(seed: int, stream: str, index: int | Sequence[int] | range | Array, count: int) -> Array:
    """Random uint64 words [len(index), count]; row i is a function of (seed, stream, index[i]) alone."""
    rows = _indices(index)
    first, second = _row_keys(seed, stream, rows)
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    out = np.empty((len(rows), count), np.uint64)
    for part in blocks(len(rows), max(1, _BLOCK // max(1, count))):
        block = _mix(first[part, None] + steps)
        block ^= second[part, None]
        out[part] = _mix(block)
    return out


def uniforms(seed: int, stream: str, index: int | Sequence[int] | range | Array, count: int = 1) -> Array:
    """Uniform numbers in [0, 1), float64 [len(index), count], multiples of 2^-53; see `words`."""
    return (words(seed, stream, index, count) >> np.uint64(11)) * 2.0**-53


def _gauss(block: Array) -> Array:
    """Two normals per word (Box and Muller 1958): one half gives the radius, the other the angle."""
    radius = np.sqrt(-2.0 * np.log(((block >> np.uint64(32)) + 0.5) * 2.0**-32))
    angle = (block & np.uint64(0xFFFFFFFF)) * (2.0 * math.pi * 2.0**-32)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def normals(
    seed: int,
    stream: str,
    index: int | Sequence[int] | range | Array,
    shape: Sequence[int] = (),
    dtype: torch.dtype = torch.float32,
    where: torch.device | None = None,
) -> Tensor:
    """Standard normals [len(index), *shape]; row i depends on (seed, stream, index[i]) alone.

    An int `index` counts as one row. |draw| < 6.8, the price of 32 random bits for the radius. float32
    draws are rounded float64 draws. They are made on `where`, the CPU unless told otherwise.
    """
    if not dtype.is_floating_point:
        raise UserError(f"Normal numbers need a floating-point dtype, such as torch.float32, not {dtype}.")
    rows = _indices(index)
    size = math.prod(shape)
    pairs = (size + 1) // 2
    if where is not None and where.type != "cpu":
        return _normals_on(where, seed, stream, rows, pairs, dtype)[:, :size].reshape(len(rows), *shape)
    out = np.empty((len(rows), size), np.float64 if dtype == torch.float64 else np.float32)
    for part in blocks(len(rows), max(1, _BLOCK // max(1, pairs))):
        block = _gauss(words(seed, stream, rows[part], pairs))
        out[part] = block.reshape(len(block), -1)[:, :size]
    return torch.from_numpy(out).to(dtype).reshape(len(rows), *shape)


def _normals_on(
    where: torch.device, seed: int, stream: str, rows: Array, pairs: int, dtype: torch.dtype
) -> Tensor:
    """Normals [len(rows), 2 pairs] as `normals` makes them, by torch on a device. int64 stands for uint64:
    products wrap around alike, and shifts are made logical."""
    keys = _row_keys(seed, stream, rows)
    first, second = (torch.from_numpy(one.view(np.int64)).to(where) for one in keys)
    steps = torch.arange(1, pairs + 1, device=where) * _signed(int(_GOLDEN))
    block = _mix_on(first[:, None] + steps).bitwise_xor_(second[:, None])
    block = _mix_on(block)
    radius = (_shifted(block, 32).double() + 0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = (block & 0xFFFFFFFF).double().mul_(2.0 * math.pi * 2.0**-32)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1).flatten(1).to(dtype)


def _signed(word: int) -> int:
    """The int64 with the bits of a uint64."""
    return word - (1 << 64) if word >> 63 else word


def _shifted(block: Tensor, count: int) -> Tensor:
    """A logical shift to the right; that of torch copies the sign."""
    return (block >> count).bitwise_and_((1 << (64 - count)) - 1)


def _mix_on(block: Tensor) -> Tensor:
    """See `_mix`; in place."""
    block.bitwise_xor_(_shifted(block, 30)).mul_(_signed(0xBF58476D1CE4E5B9))
    block.bitwise_xor_(_shifted(block, 27)).mul_(_signed(0x94D049BB133111EB))
    return block.bitwise_xor_(_shifted(block, 31))


def permutation(seed: int, stream: str, size: int, index: int = 0) -> Array:
    """A uniformly random order of range(size), int64 [size]: the order of `size` random words."""
    return np.argsort(words(seed, stream, index, size)[0], kind="stable")


# --------------------------------------------------------------------------------------- several processes


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that torchrun started: number `rank` of `size`; alone it is 0 of 1."""

    rank: int = 0
    size: int = 1

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange."""
        if self.size > 1:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            torch.distributed.all_reduce(flat)
            for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def any(self, here: bool) -> bool:
        """Whether it holds in any process; every process gets the same answer."""
        if self.size == 1:
            return here
        flag = torch.tensor([float(here)], device=device())
        torch.distributed.all_reduce(flag)
        return bool(flag.item())

    def share(self, value: Any) -> Any:
        """What the first process has."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box)
        return box[0]


ALONE = ProcessGroup()


def launched() -> ProcessGroup:
    """This process among those that torchrun started, which it has not joined yet.

    UserError for variables that torchrun never sets so.
    """
    size, rank = _whole("WORLD_SIZE", 1), _whole("RANK", 0)
    if not rank < size or (size > 1 and not os.environ.get("RANK")):
        said = {name: os.environ.get(name) or "not set" for name in ("RANK", "WORLD_SIZE")}
        raise UserError(
            f"RANK is {said['RANK']} and WORLD_SIZE is {said['WORLD_SIZE']}, which do not go together; "
            "start with torchrun, which sets both, or unset both."
        )
    return ProcessGroup(rank, size)


def _whole(variable: str, default: int) -> int:
    """The whole number of at least 0 in an environment variable."""
    text = os.environ.get(variable) or str(default)
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UserError(
            f"{variable} must be a whole number, as torchrun sets it, or unset; not {quoted(text)}."
        )
    return int(text)


def process_group() -> ProcessGroup:
    """Join the processes that torchrun started; without torchrun, a group of one.

    UserError when its variables make no sense, or when the others cannot be reached.
    """
    group = launched()
    if group.size == 1:
        return group
    if not torch.distributed.is_initialized():
        _join(group.size, _whole("LOCAL_RANK", 0))
    return ProcessGroup(torch.distributed.get_rank(), group.size)


def _leave() -> None:
    """Before Python ends: threads of a group that are still there then would abort the process."""
    with contextlib.suppress(Exception):
        torch.distributed.destroy_process_group()


def _join(size: int, local: int) -> None:
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(local)
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)
    except (ValueError, RuntimeError) as error:  # torch's words for a variable, an address or a device
        why = str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(
            f"The {size} processes that WORLD_SIZE asks for cannot join ({why}); start with torchrun, or "
            "unset RANK and WORLD_SIZE."
        ) from error
