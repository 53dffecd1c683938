"""What is said on stderr while work goes on: notes and progress bars. Perhaps nobody listens."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

from diffnotes.base.errors import printable

_silent: ContextVar[bool] = ContextVar("silent", default=False)
_said: set[str] = set()


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """`tell` says nothing in this block."""
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


def tell(text: str) -> None:
    """One line, once in a process."""
    if not _silent.get() and text not in _said:
        _said.add(text)
        with contextlib.suppress(OSError, ValueError):  # nobody listens
            print(printable(text), file=sys.stderr or io.StringIO())


def bar(wanted: bool | None = None, **settings: Any) -> tqdm:
    """tqdm's progress bar with `settings`; without `wanted`, on a terminal alone."""
    try:
        terminal = sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # closed
        terminal, wanted = False, False
    shown = sys.stderr is not None and (terminal if wanted is None else wanted)
    return tqdm(disable=not shown, **settings)
