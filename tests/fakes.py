"""Records made of given arrays, for tests of what is read off them, and the cases that rooms make of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from diffnotes.store import Record

TESTS = Path(__file__).resolve().parent


def record(
    arrays: Mapping[str, Any],
    experiment: str = "",
    profile: str = "laptop",
    spec: Mapping[str, Any] | None = None,
    beside: Mapping[tuple[str, str], Record] | None = None,
) -> Record:
    """A valid record; `beside` are those that a claim compares it with, by (experiment, setting as text)."""
    meta = {"experiment": experiment, "profile": profile, "spec": dict(spec or {}), "key": "0" * 16}

    def other(name: str, settings: Mapping[str, Any]) -> Record:
        return (beside or {})[name, ", ".join(f"{key}={value}" for key, value in settings.items())]

    found = Record(Path(), meta, beside=other)
    found.__dict__["arrays"] = {name: np.asarray(value) for name, value in arrays.items()}
    return found


def changed(found: Record, **arrays: Any) -> Record:
    """A record with other arrays in place of its own."""
    other = replace(found)
    other.__dict__["arrays"] = found.arrays | {name: np.asarray(value) for name, value in arrays.items()}
    return other


def cases(room: str) -> ModuleType:
    """`tests/<room>/cases.py`; all rooms have one of that name."""
    spec = importlib.util.spec_from_file_location(f"{room}_cases", TESTS / room / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
