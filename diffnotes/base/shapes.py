"""Tensor shapes in annotations: jaxtyping where it is installed, stand-ins that say nothing elsewhere (a bare
GPU node). `checked` holds public functions to their annotations, with or without it.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from diffnotes.base.errors import NO_MEMORY, UserError, out_of_memory

__all__ = ["Array", "Float", "Int", "Num", "Tensor", "UInt8", "checked", "finite", "whole"]

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Num, UInt8
    from numpy import ndarray as Array
    from torch import Tensor
else:
    from numpy import ndarray as Array
    from torch import Tensor

    try:
        from jaxtyping import Float, Int, Num, UInt8
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, item: Any) -> Any:
                return Any

        Float = Int = Num = UInt8 = _Unchecked

Made = TypeVar("Made", bound=Callable[..., Any])

_SHAPED = re.compile(r"""(Float|Int|Num)\[Tensor, ['"](.*)['"]\]""")
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_WORDS = {"Float": "floating-point numbers", "Int": "whole numbers", "Num": "numbers"}
_PLAIN = {"int": "a whole number", "float": "a number", "str": "a string", "None": "None"}
_SEVERAL = ("Sequence[int]", "tuple[int, ...]")


# ----------------------------------------------------------------------------------- arguments of functions


def checked(**least: int) -> Callable[[Made], Made]:
    """A decorator: arguments are what their annotations say, or one sentence names the one that is not. Of a
    class, those that it is made with.

    For annotations as text, that is, in modules with `from __future__ import annotations`.

    - `Float[Tensor, "b d"]`: arrays and (nested) lists of numbers become tensors, whole numbers float64 ones;
      uint8 is refused, for it means pixels. The shape must fit, with sizes of one name equal. Values are
      finite, and there are some. On a GPU they are not looked at: that would wait for it.
    - `Int[Tensor, ...]` becomes int64. `Num[Tensor, ...]` is any real type; the function looks at the values.
    - `int` is a whole number, of at least least[name] where that is given; `float` is a number, or NaN.
      numpy's and 0-dimensional tensors are taken; truth values are no numbers.
    - `Sequence[int]`: whole numbers, each of at least least[name].
    - A class: an instance of it; a `Path` may come as a string. `Callable`: something to call.

    Alternatives stand between bars. What else there is, such as results and default values, is not looked at.
    Inside torch.compile nothing is.

    OutOfMemory where the function finds too little memory. UserError where torch makes its tensors on another
    device than the CPU by default: code that says itself where its tensors are would mix them.
    """

    def decorate(function: Made) -> Made:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function
        of_network = function.__name__ in ("__init__", "forward")  # it may be made and used anywhere
        parameters = inspect.signature(function).parameters.values()
        ordered = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        places = [one.name for one in parameters if one.kind in ordered]
        scope = inspect.unwrap(function).__globals__
        wanted = {
            one.name: _Wanted(one.name, _alternatives(one.annotation), least.get(one.name), scope)
            for one in parameters
            if isinstance(one.annotation, str) and one.kind in (*ordered, inspect.Parameter.KEYWORD_ONLY)
        }

        @functools.wraps(function)
        def wrapper(*args: Any, **given: Any) -> Any:
            if torch.compiler.is_compiling():
                return function(*args, **given)
            sizes: dict[str, Any] = {}
            names = places + [""] * (len(args) - len(places))  # what *rest takes has no place
            fitted = [
                wanted[name].fit(value, sizes) if name in wanted else value
                for name, value in zip(names, args, strict=False)
            ]
            named = {
                name: wanted[name].fit(value, sizes) if name in wanted else value
                for name, value in given.items()
            }
            if not of_network:
                _check_default_device()
            return _called(function, fitted, named)

        return typing.cast(Made, wrapper)

    return decorate


class OutOfMemory(UserError, torch.OutOfMemoryError):
    """Too little memory, on a GPU or beside it."""


def _called(function: Callable[..., Any], args: list[Any], given: dict[str, Any]) -> Any:
    """What it returns; too little memory is told in a sentence."""
    try:
        return function(*args, **given)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, OutOfMemory) or not out_of_memory(error):
            raise
        raise OutOfMemory(NO_MEMORY.capitalize()) from error


def _check_default_device() -> None:
    if (device := torch.get_default_device()).type != "cpu":
        raise UserError(
            f"torch's default device is {device}, and diffnotes says itself where its tensors are; set it "
            "back for this call (torch.set_default_device('cpu')), and give tensors on the device you want."
        )


def whole(value: object, name: str, least: int = 1, most: int | None = None, unit: str = "") -> int:
    """A whole number from `least` to `most`, as an int; UserError names it and says what it is not."""
    found: Any = value
    if not _is_whole(found) or found < least or (most is not None and found > most):
        limits = f"at least {least}" + ("" if most is None else f" and at most {most}{unit}")
        raise UserError(f"{name} must be a whole number of {limits}, not {_shown(value)}.")
    return int(found)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def finite(found: float | Tensor, what: str) -> Any:
    """`found`, unless something in it is NaN or infinite, as of numbers that are too large or too small."""
    if not (bool(torch.isfinite(found).all()) if isinstance(found, Tensor) else math.isfinite(found)):
        raise UserError(f"{what} is not finite: numbers are too large, or too small; rescale them.")
    return found


@dataclass(frozen=True)
class _Wanted:
    """What an argument must be: one of `kinds`, the parts of its annotation."""

    name: str
    kinds: tuple[str, ...]
    least: int | None
    scope: Mapping[str, Any]

    @functools.cached_property
    def shaped(self) -> tuple[str, list[str]] | None:
        """The kind of tensor that it may be, and the words for its shape."""
        found = next(filter(None, map(_SHAPED.fullmatch, self.kinds)), None)
        return None if found is None else (found[1], found[2].split())

    def fit(self, value: Any, sizes: dict[str, Any]) -> Any:
        """The value as one of the kinds."""
        if self.shaped and isinstance(value, Tensor) and value.ndim:
            return _tensor(value, self.name, *self.shaped, sizes)
        if value is None and "None" in self.kinds:
            return None
        scalar = value.item() if isinstance(value, Tensor | Array) and _single(value) else value
        number = isinstance(scalar, Real) and not isinstance(scalar, bool | np.bool_)
        if number and "int" in self.kinds and isinstance(scalar, Integral):
            return int(scalar) if self.least is None else whole(scalar, self.name, self.least)
        if number and "float" in self.kinds:
            kept = isinstance(value, int | float) or (self.shaped and isinstance(value, Tensor))
            return value if kept else float(scalar)
        if self.shaped and (number or isinstance(value, Tensor | Array | list | tuple)):
            return _tensor(value, self.name, *self.shaped, sizes)
        if set(_SEVERAL) & set(self.kinds) and isinstance(value, list | tuple | range | Array | Tensor):
            return self._several(value)
        if any(self._is_of(kind, value) for kind in self.kinds):
            return value
        if "Path" in self.kinds and isinstance(value, str):
            return Path(value)
        raise UserError(f"{self.name} must be {self._words()}, not {_shown(value)}.")

    def _several(self, value: Any) -> Any:
        least = -math.inf if self.least is None else self.least
        items = value.tolist() if isinstance(value, Tensor | Array) else value
        if isinstance(value, range):
            return value
        if not isinstance(items, list | tuple) or not all(_is_whole(one) and one >= least for one in items):
            raise UserError(f"{self.name} must be {self._words()}, not {_shown(value)}.")
        return type(items)(map(int, items)) if type(items) in (list, tuple) else tuple(items)

    def _is_of(self, kind: str, value: Any) -> bool:
        """Whether the value is an instance of the class `kind`; also where that is no class that we know."""
        if kind == "str":
            return isinstance(value, str)
        if kind in _PLAIN or kind in _SEVERAL or _SHAPED.fullmatch(kind):
            return False
        meant = _named(kind, self.scope)
        answers = (*typing.get_args(meant), None)[:2][-1]
        network = isinstance(value, type) and issubclass(value, torch.nn.Module)
        if network and (kind.endswith("Tensor]") or answers is Tensor):
            return False  # a class of networks makes one, and no tensor
        meant = typing.get_origin(meant) or meant
        known = isinstance(meant, type) and meant is not types.UnionType
        return isinstance(value, meant) if known else True

    def _words(self) -> str:
        return " or ".join(map(self._word, self.kinds))

    def _word(self, kind: str) -> str:
        shaped = _SHAPED.fullmatch(kind)
        if shaped:
            return f"a tensor of {_WORDS[shaped[1]]} [{', '.join(shaped[2].split())}]"
        limit = "" if self.least is None else f" of at least {self.least}"
        if kind in _SEVERAL:
            return f"a list of whole numbers{', each' if limit else ''}{limit}"
        words = _PLAIN.get(kind) or f"a {kind.partition('[')[0].rpartition('.')[2]}"
        return words + (limit if kind == "int" else "")


def _alternatives(annotation: str) -> tuple[str, ...]:
    """The parts of an annotation between bars that stand in no brackets."""
    parts, depth = [""], 0
    for letter in annotation:
        depth += (letter in "[(") - (letter in "])")
        if letter == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple('Num[Tensor, "..."]' if part.strip() == "Tensor" else part.strip() for part in parts)


def _named(name: str, scope: Mapping[str, Any]) -> Any:
    """What a dotted name means in a module; None where nothing is called so."""
    first, *rest = name.partition("[")[0].split(".")
    try:
        return functools.reduce(getattr, rest, scope.get(first) or vars(builtins)[first])
    except (KeyError, AttributeError):
        return None


def _single(value: Tensor | Array) -> bool:
    return value.ndim == 0 and not (isinstance(value, Tensor) and value.is_meta)


def _shown(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, Tensor | Array) and not _single(value):
        empty = ", which holds no values" if isinstance(value, Tensor) and value.is_meta else ""
        return f"{str(value.dtype).removeprefix('torch.')} {[*value.shape]}{empty}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shown = repr(value.item() if isinstance(value, Tensor | Array) else value)
    plain = isinstance(value, str | Real | complex | list | tuple | Tensor | Array) or value is None
    return shown if plain and len(shown) < 80 and "\n" not in shown else type(value).__name__


def _tensor(value: Any, name: str, kind: str, spec: list[str], sizes: dict[str, Any]) -> Tensor:
    """The value as a tensor of a kind whose shape fits; `sizes` are those of the names met so far."""
    found = value if isinstance(value, Tensor) else _from_list(value)
    good = {"Float": (*_FLOATS, *_WHOLE[1:]), "Int": _WHOLE, "Num": (*_FLOATS, *_WHOLE)}[kind]
    if found is None or found.layout != torch.strided or found.is_meta:
        raise UserError(f"{name} must be a tensor of {_WORDS[kind]}, not {_shown(value)}.")
    if found.dtype not in good:
        kept = str(found.dtype).removeprefix("torch.")
        advice = "; convert with .float()" if kind == "Float" and found.dtype == torch.uint8 else ""
        raise UserError(f"{name} must be {_WORDS[kind]}, not {kept}{advice}.")
    _check_shape(name, spec, [*found.shape], sizes)
    if kind == "Int":
        return found.long()
    if kind == "Num":
        return found
    if found.numel() == 0:
        raise UserError(f"{name} is empty, {[*found.shape]}; give at least one value.")
    if found.is_cpu and not bool(found.isfinite().all()):
        raise UserError(f"{name} contains NaN or infinite values; give finite ones.")
    return found if found.is_floating_point() else found.double()


def _from_list(value: Any) -> Tensor | None:
    """A number, an array or a nested list as a tensor; None where there is none."""
    try:
        array = np.asarray(value)
        array = np.require(array, array.dtype.newbyteorder("="), ["C_CONTIGUOUS", "WRITEABLE"])
        return torch.from_numpy(array)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        return None


def _check_shape(name: str, spec: list[str], shape: list[int], sizes: dict[str, Any]) -> None:
    """The shape fits jaxtyping's words for it, of which "..." and "*any" stand for as many as there are."""
    open_at = next((k for k, word in enumerate(spec) if word == "..." or word[0] == "*"), None)
    ends = spec if open_at is None else spec[:open_at] + spec[open_at + 1 :]
    fits = len(shape) == len(ends) if open_at is None else len(shape) >= len(ends)
    cut = len(ends) if open_at is None else open_at
    pairs: list[tuple[str, Any]] = [*zip(ends[:cut], shape, strict=False)]
    pairs += [*zip(reversed(ends[cut:]), reversed(shape), strict=False)]
    if open_at is not None and spec[open_at] != "...":  # what a name with a star stands for is one as well
        pairs.append((spec[open_at], shape[cut : len(shape) - len(ends) + cut]))
    for word, size in pairs:
        wanted = int(word) if word.isdigit() else sizes.get(word, size)
        fits &= word == "_" or size == wanted
    if not fits:
        known = [f"{word} = {sizes[word]}" for word in spec if word in sizes]
        where = f" with {' and '.join(known)}" if known else ""
        raise UserError(f"{name} must be [{', '.join(spec)}]{where}, but its shape is {shape}.")
    sizes.update((word, size) for word, size in pairs if word != "_")
