"""What people pass in place of good arguments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffnotes import (
    process,
)

NAN, INF = math.nan, math.inf
NOTHING: list[Any] = [
    None,
    "",
    "x",
    b"x",
    [],
    {},
    (),
    object(),
    lambda *_: None,
    torch.nn.Linear,
    1j,
    Path("x"),
]
NUMBERS: list[Any] = [
    NAN,
    INF,
    -INF,
    0,
    0.0,
    -0.0,
    -1,
    -1.0,
    1,
    2,
    3,
    1.5,
    1e-30,
    1e-300,
    5e-324,
    1e200,
    1e300,
    True,
    False,
    np.float64(0.5),
    np.float32(0.5),
    np.int64(2),
    np.float64(NAN),
    np.array(0.5),
    torch.tensor(0.5),
    torch.tensor(2),
    torch.tensor(NAN),
    "0.5",
    "nan",
    [0.5],
    [1, 2],
    (1,),
    np.array([0.5, 0.5, 0.5]),
]


def tensors(good: Tensor) -> list[tuple[str, Any, bool]]:
    """Values in place of a tensor: what they are, and whether they mean the same."""
    whole, n = not good.is_floating_point(), len(good) if good.ndim else 1
    spaced = torch.stack([good, good], -1)[..., 0]
    out: list[tuple[str, Any, bool]] = [
        ("non-contiguous", spaced, True),
        ("numpy", good.numpy(), True),
        ("list", good.tolist(), True),
        ("numpy read-only", np.broadcast_to(good.numpy(), good.shape), True),
        ("numpy big-endian", good.numpy().astype(good.numpy().dtype.newbyteorder(">")), True),
        ("numpy reversed", good.flip(0).numpy()[::-1] if good.ndim else good.numpy(), True),
        ("Parameter", torch.nn.Parameter(good.clone(), requires_grad=not whole), True),
        ("tuple", tuple(good.tolist()) if good.ndim else good.tolist(), True),
    ]
    if not whole:
        out.append(("requires grad", good.clone().requires_grad_(), True))
    kinds = (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.int8,
        torch.uint16,
        torch.float8_e4m3fn,
    )
    out += [(str(kind), good.to(kind), False) for kind in kinds]
    if not whole:
        for value in (NAN, INF, -INF):
            one = good.clone()
            one.view(-1)[-1] = value
            out += [(f"one {value}", one, False), (f"all {value}", torch.full_like(good, value), False)]
    scales = (0.0, -1.0, 1e-18, 1e-20, 1e-30, 1e-38, 1e-42, 1e15, 1e17, 1e19, 1e30, 1e38)
    for scale in scales if not whole else (-1, 100, 0):
        out.append((f"times {scale}", good * scale, False))
    for scale in (1e-200, 1e-300, 1e-310, 1e160, 1e200, 1e300) if not whole else ():
        out.append((f"double times {scale}", good.double() * scale, False))
    out += [
        ("empty", good[:0] if good.ndim else good.new_zeros(0), False),
        ("one row", good[:1] if good.ndim else good, False),
        ("twice the rows", torch.cat([good, good]) if good.ndim else good, False),
        ("same rows", good[:1].expand(good.shape) if good.ndim else good, False),
        ("another axis", good[..., None], False),
        ("images", good.reshape(n, -1)[:, :, None, None], False),
        ("flat", good.flatten(), False),
        ("scalar", good.flatten()[0], False),
        ("no width", good[..., :0] if good.ndim else good, False),
        ("transposed", good.T if good.ndim == 2 else good.flip(-1) if good.ndim else good, False),
        ("meta", good.to("meta"), False),
        ("sparse", good.to_sparse(), False),
        ("strings", ["a"] * n, False),
        ("ragged", [[1.0], [1.0, 2.0]], False),
        ("object array", np.array([None] * n), False),
        ("list of tensors", list(good) if good.ndim else [good], False),
    ]
    return out


STRINGS: list[Any] = ["", "none", "TRAIN", "val", "../x", None, 3, NAN, b"x", ["train"], {}, object()]
CALLABLES: list[tuple[str, Any]] = [
    ("None", None),
    ("a string", "x"),
    ("a number", 3),
    ("returns None", lambda *a, **k: None),
    ("returns a number", lambda *a, **k: 0.0),
    ("returns NaN", lambda x, *a, **k: x * NAN),
    ("returns inf", lambda x, *a, **k: x + INF),
    ("returns another shape", lambda x, *a, **k: x[:, :1]),
    ("returns numpy", lambda x, *a, **k: x.numpy()),
    ("returns int", lambda x, *a, **k: x.long()),
    ("returns complex", lambda x, *a, **k: x + 0j),
    ("a class", torch.nn.Linear),
]
OTHERS: list[tuple[str, Any]] = [
    (repr(type(v)), v) for v in (None, "VP", 3, NAN, process.VE, object(), [], {})
]


def hostile(good: Any) -> list[tuple[str, Any, bool]]:
    """What to pass in place of a good argument."""
    nothing = [(f"{type(v).__name__} {v!r}"[:40], v, False) for v in NOTHING]
    numbers = [(f"{type(v).__name__} {v!r}", v, False) for v in NUMBERS]
    if isinstance(good, Tensor):
        return tensors(good) + nothing + numbers
    if isinstance(good, np.ndarray) and good.dtype.kind not in "fiu":
        return []
    if isinstance(good, np.ndarray):
        made = tensors(torch.from_numpy(good))
        return (
            [(w, v.numpy(), s) for w, v, s in made if isinstance(v, Tensor) and _numpy(v)] + nothing + numbers
        )
    if isinstance(good, bool | int | float):
        return numbers + nothing + [("tensor", torch.ones(2, 2), False)]
    if isinstance(good, str):
        return [(repr(v), v, False) for v in STRINGS] + numbers[:4]
    if isinstance(good, range):
        made = (range(0), range(3, 1), range(0, 8, 2), range(-3, 3), range(4), [0, 1], 4)
        return [(repr(v), v, False) for v in made] + nothing + numbers
    if isinstance(good, slice):
        made = (slice(3, 1), slice(0, 0), slice(0, 4, 2), slice(99), slice(-2, None), slice("a"), 3)
        return [(repr(v), v, False) for v in made] + nothing
    if isinstance(good, list | tuple):
        made = (
            (),
            (0,),
            (-1,),
            (1.5,),
            ("a",),
            (NAN,),
            3,
            "ab",
            (2, 1),
            (1, 1),
            (10**6,) * 0 + (2,),
            np.array([1, 2]),
            torch.tensor([1, 2]),
            (True,),
            ([1],),
            None,
            (1, 8),
            (1, 8, 7),
            (0, 8, 8),
            (1, 1, 1),
        )
        return [(repr(v), v, False) for v in made] + nothing
    if good is None:
        return nothing + numbers + [("tensor", torch.ones(6), False)]
    if callable(good) and not isinstance(good, torch.nn.Module):
        code = getattr(good, "__code__", None)  # a builder, a statistic: what it raises is its own
        own = code is None or code.co_argcount == 0 or "s" in code.co_varnames
        return [(w, v, False) for w, v in CALLABLES if not (own and callable(v))]
    return [(w, v, False) for w, v in OTHERS]


def _numpy(value: Tensor) -> bool:
    try:
        value.numpy()
    except (TypeError, RuntimeError):
        return False
    return True
