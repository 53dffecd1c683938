"""What a training run is a function of, in words that can be compared: a checkpoint is of one run alone.

A description is a text in which equal things are equal and different things differ: numbers and strings as
Python writes them, tensors by the SHA-256 of their bytes, frozen dataclasses by their name and fields. The
code of a class is not part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Tensor

Parts = dict[str, dict[str, str]]
"""Part of a run (plan, network, data, objective) -> name of a setting -> its description."""

INITIAL = "initial weights"
_BLOCK = 1 << 24  # entries of a tensor brought from its device at once


def run_parts(model: nn.Module, objective: object, settings: Mapping[str, object]) -> Parts:
    """The parts of a run that begins with `model` as it is now; `settings` are those of its plan.

    Raises UserError for an objective that is no frozen dataclass, or holds what cannot be described.
    """
    fields = _fields(objective, "objective")
    data = {name for name, value in fields.items() if isinstance(value, Tensor | np.ndarray)}
    words = {name: described(value, f"{name} of the objective") for name, value in fields.items()}
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "plan": {name: described(value, name) for name, value in settings.items()},
        "network": {
            "shapes": described({name: tuple(w.shape) for name, w in weights.items()}, "network"),
            "layers": described({name: _layer(part) for name, part in model.named_modules()}, "network"),
            "trained": described([n for n, w in model.named_parameters() if w.requires_grad], "network"),
            INITIAL: described(weights, "network"),
        },
        "data": {name: words[name] for name in fields if name in data},
        "objective": {"class": _name(objective)} | {name: words[name] for name in fields if name not in data},
    }  # fmt: skip


def _layer(part: nn.Module) -> dict[str, object]:
    """The class of a module, and its settings that are plain numbers and words."""
    plain = {k: v for k, v in vars(part).items() if isinstance(v, int | float | str) and k[0] != "_"}
    return {"class": type(part).__qualname__, **{k: v for k, v in plain.items() if k != "training"}}


def differences(ours: Parts, other: Parts) -> list[str]:
    """The parts in which two runs differ, each with what differs in it: ["plan (rate)", "data (x)"]."""
    found = {}
    for part, mine in ours.items():
        yours = other.get(part, {})
        found[part] = [name for name in mine | yours if mine.get(name) != yours.get(name)]
    return [f"{part} ({', '.join(names)})" for part, names in found.items() if names]


def described(value: object, name: str) -> str:
    """The description of a value; `name` is what an error calls it.

    Raises UserError for anything but None, numbers, strings, tensors, arrays, and tuples, lists, dictionaries
    and frozen dataclasses of these: what else there is (a lambda, an open file) may change unseen.
    """
    if value is None or isinstance(value, bool | bytes):
        return repr(value)
    for plain, kinds in ((str, str), (int, int | np.integer), (float, float | np.floating)):
        if isinstance(value, kinds):
            return repr(plain(value))
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype}{list(value.shape)} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, Tensor) and value.layout == torch.strided:
        return f"{value.dtype}{list(value.shape)} {_digest(value)}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(described(one, name) for one in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{described(key, name)}: {described(one, name)}" for key, one in value.items())
        return f"{{{', '.join(sorted(pairs))}}}"
    fields = (
        f"{field}={described(one, f'{field} of {name}')}" for field, one in _fields(value, name).items()
    )
    return f"{_name(value)}({', '.join(fields)})"


def _fields(value: object, name: str) -> dict[str, object]:
    """The fields of a frozen dataclass."""
    if isinstance(value, type) or not dataclasses.is_dataclass(value) or not _frozen(value):
        raise UserError(
            f"A checkpoint cannot tell what the {name} is, a {type(value).__name__}; make it a frozen "
            "dataclass of tensors, numbers and strings."
        )
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _frozen(value: object) -> bool:
    return type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _digest(tensor: Tensor) -> str:
    """SHA-256 of the bytes of a tensor, wherever it lies and in whatever order of memory."""
    digest = hashlib.sha256()
    for part in tensor.detach().reshape(-1).split(_BLOCK):
        digest.update(part.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
