"""The one exception that users see."""

from __future__ import annotations

from typing import Any

MOST = 200  # characters of a value that a sentence repeats


def printable(text: str) -> str:
    """The text on one line: line ends and bytes of file names that are no text become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """A foreseeable mistake, told in one sentence that says what was wrong and what to do.

    The command line prints only the sentence and exits with code 2; a notebook shows only the sentence.
    """

    exit_code = 2

    def __str__(self) -> str:
        return printable(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: what to show instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def quoted(value: Any) -> str:
    """`repr(value)` for a sentence: never longer than MOST, and always something."""
    try:
        text = repr(value)
    except Exception:  # a number of over 4300 digits, or an object that fails to speak for itself
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MOST else f"{text[: MOST - 20]}... ({len(text)} characters)"
