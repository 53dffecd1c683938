"""The one exception that users see."""

from __future__ import annotations

import re
from typing import Any

MOST = 200  # characters of a value that a sentence repeats
LONGEST = 500  # characters of a word in a sentence, such as the path of a folder
NO_MEMORY = "there is not enough memory; free some, or take smaller settings."
WITHOUT_MEMORY = (  # how Python, torch, CUDA and the loader of libraries say it
    "not enough memory", "out of memory", "allocate memory", "unable to allocate", "tried to allocate",
    "failed to map segment", "can't start new thread",
)  # fmt: skip


def printable(text: str) -> str:
    """The text on one line: line ends and bytes of file names that are no text become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """A foreseeable mistake, told in one sentence that says what was wrong and what to do.

    The command line prints only the sentence and exits with code 2; a notebook shows only the sentence.
    """

    exit_code = 2

    def __str__(self) -> str:
        return re.sub(rf"\S{{{LONGEST},}}", _cut, printable(super().__str__()))

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: what to show instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def _cut(word: re.Match[str]) -> str:
    return f"{word[0][:MOST]}...{word[0][-MOST // 2:]}"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in WITHOUT_MEMORY)


def quoted(value: Any) -> str:
    """`repr(value)` for a sentence: never longer than MOST, and always something."""
    try:
        text = repr(value)
    except Exception:  # a number of over 4300 digits, or an object that fails to speak for itself
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MOST else f"{text[: MOST - 20]}... ({len(text)} characters)"
