"""What an experiment is asked: frozen specs whose fields check themselves, one clear sentence per mistake."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from diffnotes.base.errors import UserError, quoted

if TYPE_CHECKING:
    from diffnotes.store.experiment import Experiment

PINNED = "pinned"
NOT_PLAIN = (ValueError, TypeError, MemoryError, RecursionError)  # what literal_eval says of other values
RANK = ("paper", "laptop")  # what pages show, best first; the smoke profile only stands for them


class SpecError(UserError):
    """A parameter has an unknown name, a wrong type or a value out of range."""


def number(
    default: float, *, low: float = -math.inf, high: float = math.inf, help: str = "", later: bool = False
) -> Any:
    """A field for one number in [low, high]; an int default makes an int field. `later`: see `Spec`."""
    kind = "int" if isinstance(default, int) else "float"
    return _field(default, kind, help, later, low=low, high=high)


def numbers(
    default: tuple[float, ...],
    *,
    low: float = -math.inf,
    high: float = math.inf,
    help: str = "",
    later: bool = False,
) -> Any:
    """A field for one or more numbers, each in [low, high]; int defaults make them ints."""
    kind = "ints" if all(isinstance(x, int) for x in default) else "floats"
    return _field(default, kind, help, later, low=low, high=high)


def choice(default: str, *options: str, help: str = "", later: bool = False) -> Any:
    """A field for one of the named options."""
    return _field(default, "choice", help, later, options=options)


def text(default: str, *, help: str = "", later: bool = False) -> Any:
    """A field for a text of one line, such as the name of a file."""
    return _field(default, "text", help, later)


def flag(default: bool, *, help: str = "", later: bool = False) -> Any:
    """A field for True or False."""
    return _field(default, "flag", help, later)


def _field(default: Any, kind: str, help: str, later: bool, **limits: Any) -> Any:
    return field(default=default, metadata={"kind": kind, "help": help, "later": later, **limits})


@dataclass(frozen=True)
class Spec:
    """Base of every experiment's settings. Subclasses are frozen dataclasses whose fields come from the
    helpers above.

    A field marked `later` came after records had been made without it. At its default it means what they did,
    so it is left out of their identity there.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = _checked(item.name, getattr(self, item.name), item.metadata)
            object.__setattr__(self, item.name, value)

    def replace(self, **settings: Any) -> Self:
        """The same settings with some changed; an unknown name is an error that lists the known ones."""
        for name in settings:
            known(name, self.names())
        return dataclasses.replace(self, **settings)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values (tuples become lists)."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def identity(self) -> dict[str, Any]:
        """`as_dict` without the fields that came `later` and have their default: what keys are made of."""
        silent = {f.name for f in dataclasses.fields(self) if f.metadata["later"]}
        plain = type(self)().as_dict() if silent else {}
        return {k: v for k, v in self.as_dict().items() if k not in silent or v != plain[k]}

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Self:
        """The spec of a record's settings. SpecError for a name that is none, and for wrong values."""
        for name in stored:
            known(name, cls.names())
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})

    @classmethod
    def completed(cls, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a record, with the default of each field that came `later` than the record."""
        later = [f for f in dataclasses.fields(cls) if f.metadata["later"]]
        return {**{f.name: _plain(f.default) for f in later}, **stored}

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values in `given`, checked and in the form that `as_dict` shows."""
        complete = self.replace(**given).as_dict()
        return {name: complete[name] for name in given}

    @classmethod
    def names(cls) -> list[str]:
        """The names of the fields, in order."""
        return [item.name for item in dataclasses.fields(cls)]

    @classmethod
    def parse(cls, name: str, text: str) -> Any:
        """The value that `--set name=text` means; what cannot be read stays text, for the check."""
        known(name, cls.names())
        kind = {item.name: item.metadata["kind"] for item in dataclasses.fields(cls)}[name]
        if kind in ("choice", "text"):
            return text
        try:
            with warnings.catch_warnings(action="ignore"):  # of Python, about a text that is none of its own
                value = ast.literal_eval(text)
        except (SyntaxError, *NOT_PLAIN):
            return text
        return (value,) if kind in ("ints", "floats") and isinstance(value, (int, float)) else value


@dataclass(frozen=True)
class Request:
    """What a notebook or a command line asks of an experiment: a profile, and the settings that replace its
    own.
    """

    profile: str
    settings: Mapping[str, Any]


def request(experiment: Experiment, profile: str, settings: Mapping[str, Any]) -> Request:
    """A checked Request: the profile exists, the names are known, types and ranges are right.

    Settings are checked against the profile that is asked for. "pinned" may mean any profile that pages show,
    so the best of them that takes the settings decides.
    """
    profiles = [PINNED, *experiment.profiles]
    if not isinstance(profile, str) or profile not in profiles:
        raise SpecError(f"profile must be one of {', '.join(profiles)}; not {quoted(profile)}.")
    for name in settings:
        known(name, experiment.spec.names(), "profile")
    shown = [name for name in RANK if name in experiment.profiles] or list(experiment.profiles)[:1]
    return Request(profile, _taken(experiment, shown if profile == PINNED else [profile], settings))


def _taken(experiment: Experiment, profiles: list[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in the form of the first profile that takes them; if none does, what the first says."""
    first, *others = profiles
    try:
        return experiment.profiles[first].settings(settings)
    except SpecError as error:
        for name in others:
            with contextlib.suppress(SpecError):
                return experiment.profiles[name].settings(settings)
        raise error


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def known(name: str, names: Sequence[str], *extra: str) -> None:
    """Raise SpecError unless `name` is one of `extra` and `names`; it tells the nearest one, and all."""
    valid = [*extra, *names]
    if name not in valid:
        close = difflib.get_close_matches(str(name), valid, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise SpecError(f"unknown parameter {quoted(name)}{hint}; the valid names are {', '.join(valid)}.")


def _checked(name: str, value: Any, meta: Mapping[str, Any]) -> Any:
    """`value` in its field's type, or a SpecError that names the parameter and what is valid."""
    kind = meta["kind"]
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if kind == "choice":
        valid = f"one of {', '.join(option or repr(option) for option in meta['options'])}"
        good = isinstance(value, str) and value in meta["options"]
    elif kind == "flag":
        valid, good = "True or False", isinstance(value, bool)
    elif kind == "text":
        valid, good = "a text of one line", isinstance(value, str) and (value.isprintable() or not value)
    else:
        many = kind in ("ints", "floats")
        values = value if many and isinstance(value, (tuple, list)) else (value,)
        good = len(values) > 0 and all(_is_number(x, kind, meta) for x in values)
        valid = _range(kind, meta)
        convert = int if kind.startswith("int") else float
        value = (tuple(map(convert, values)) if many else convert(value)) if good else value
    if not good:
        raise SpecError(f"{name} must be {valid}; not {quoted(value)}.")
    return value


def _is_number(x: Any, kind: str, meta: Mapping[str, Any]) -> bool:
    right = isinstance(x, Integral if kind.startswith("int") else Real) and not isinstance(x, bool)
    return right and meta["low"] <= x <= meta["high"] and abs(x) <= sys.float_info.max


def _range(kind: str, meta: Mapping[str, Any]) -> str:
    noun = {
        "int": "a whole number",
        "float": "a number",
        "ints": "a tuple of whole numbers",
        "floats": "a tuple of numbers",
    }
    low, high = meta["low"], meta["high"]
    if math.isfinite(low) and math.isfinite(high):
        return f"{noun[kind]} from {low:g} to {high:g}"
    if math.isfinite(low):
        return f"{noun[kind]} of at least {low:g}"
    return f"{noun[kind]} of at most {high:g}" if math.isfinite(high) else noun[kind]
