"""Hostile arguments for the public functions and classes: `calls` yields them, `judge` says what is wrong.

Every target is a public callable with arguments that are good. A call replaces one argument (or two) by what
people pass by mistake: other types, dtypes, layouts, shapes, scales, NaN, empty, wrong counts, wrong names.
An outcome is a fault if
  - anything but UserError with one line of at least four words is raised;
  - what comes back holds NaN or infinity, where that is not documented, or is empty;
  - a value that means the same (a list, a numpy array, a copy in another memory order, one that requires
    gradients) gives another answer than the good one;
  - torch or numpy warn; or it takes longer than LIMIT seconds.
"""

from __future__ import annotations

import dataclasses
import random
import signal
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from good_calls import Target, targets
from hostile import hostile
from torch import Tensor

from diffnotes.base.errors import UserError

LIMIT = 30  # seconds of one call


class Call(NamedTuple):
    target: Target
    arguments: Mapping[str, Any]
    what: str
    same: bool = False  # means the same as the good arguments


def calls(seed: int = 0, pairs: int = 10, *only: str) -> Iterator[Call]:
    """The good call, each argument replaced by each hostile value, and random pairs of them."""
    chance = random.Random(seed)
    for target in targets():
        if only and not any(word in target.name for word in only):
            continue
        yield Call(target, target.good, "good", same=target.name not in ("load_torchscript", "Shards"))
        swaps = [(name, *swap) for name, good in target.good.items() for swap in hostile(good)]
        for name, what, value, same in swaps:
            yield Call(target, {**target.good, name: value}, f"{name}: {what}", same)
        for _ in range(pairs):
            one, two = chance.choice(swaps), chance.choice(swaps)
            yield Call(target, {**target.good, one[0]: one[2], two[0]: two[2]}, f"{one[:2]} and {two[:2]}")


def leaves(found: Any) -> Iterator[Any]:
    """Numbers and tensors in what came back."""
    if isinstance(found, Tensor | np.ndarray | float | int | np.number):
        yield found
    elif isinstance(found, torch.nn.Module | str) or found is None:
        return
    elif isinstance(found, Mapping):
        for one in found.values():
            yield from leaves(one)
    elif isinstance(found, list | tuple):
        for one in found:
            yield from leaves(one)
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        for one in dataclasses.fields(found):
            if one.name not in ("area", "area_stderr", "stderr"):  # NaN is documented there
                yield from leaves(getattr(found, one.name))


def answer_fault(found: Any, target: Target) -> str:
    """What is wrong with an answer, "" for nothing."""
    if found is None:
        return "gave None"
    for leaf in leaves(found):
        array = torch.as_tensor(
            leaf, dtype=None if isinstance(leaf, Tensor | np.ndarray) else torch.float64
        ).detach()
        if array.numel() == 0 and not target.infinite:
            return "gave an empty answer"
        if array.is_floating_point() and array.isnan().any() and not target.infinite:
            return "gave NaN"
        if array.is_floating_point() and not target.infinite and array.isinf().any():
            return "gave infinity"
    return ""


def alike(found: Any, base: Any) -> bool:
    pairs = list(zip(leaves(found), leaves(base), strict=False))
    for one, two in pairs:
        a, b = torch.as_tensor(one).detach().double(), torch.as_tensor(two).detach().double()
        if a.shape != b.shape or not torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True):
            return False
    return True


class TooLong(Exception):
    pass


def _too_long(*_: Any) -> None:
    raise TooLong


def outcome(call: Call) -> Any:
    """What the call gave, or what it raised."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return call.target.function(**call.arguments)
    except Exception as error:
        return error
    finally:
        signal.alarm(0)


def judge(call: Call, found: Any, base: Any) -> str:
    """What is wrong with an outcome, "" for nothing; `base` is the answer to the good arguments."""
    if isinstance(found, UserError):
        text = str(found)
        if len(text.split()) < 4 or len(text) > 400:
            return f"a poor sentence: {text!r}"
        # a list or an array may be refused with one sentence
        return f"the good call is refused: {text}" if call.same and call.what == "good" else ""
    if isinstance(found, BaseException):
        return f"{type(found).__name__}: {str(found)[:150]!r}"
    fault = answer_fault(found, call.target)
    if not fault and call.same and not alike(found, base):
        return "another answer for the same values"
    return fault


def misuse(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """So many calls, drawn from all of them; each good call as well, for its answer."""
    torch.set_warn_always(True)  # or only the first of a kind is seen
    every = list(calls(draw.randrange(1 << 30)))
    chosen = set(draw.sample(range(len(every)), min(count, len(every))))
    counts: Counter[str] = Counter()
    base = None
    for place, call in enumerate(every):
        if call.what != "good" and place not in chosen:
            continue
        found = outcome(call)
        if call.what == "good":
            base = found
        fault = judge(call, found, base)
        told = "one sentence" if isinstance(found, UserError) else "answered"
        counts[f"FAILED: {call.target.name} | {call.what} | {fault}" if fault else told] += 1
    return counts
