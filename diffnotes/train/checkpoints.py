"""Training states on disk: written atomically, checked by a digest, with the one before as a fall-back."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.train.identity import INITIAL, Parts, differences

_DIGEST = 32  # bytes of SHA-256 before the state
_CURRENT, _PREVIOUS = "checkpoint.pt", "checkpoint-before.pt"


class DamagedCheckpoints(UserError):
    """No checkpoint of a folder is what was written."""


@dataclass(frozen=True)
class Checkpoints:
    """The last two states of one run in `folder`; `identity` says which run it is.

    A file is the SHA-256 of what follows, then a dictionary of tensors and plain values as torch writes it.
    """

    folder: Path
    identity: Parts

    @property
    def current(self) -> Path:
        return self.folder / _CURRENT

    @property
    def previous(self) -> Path:
        return self.folder / _PREVIOUS

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`; the last one becomes the fall-back. A failed write leaves both as they were."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, **state}, buffer)
        fresh = self.folder / "checkpoint-new.pt"
        content = buffer.getvalue()
        files.write_atomic(fresh, hashlib.sha256(content).digest() + content)
        if self.current.exists():
            os.replace(self.current, self.previous)
        os.replace(fresh, self.current)

    def load(self, where: torch.device) -> dict[str, Any] | None:
        """The newest undamaged state with its tensors on `where`; None when nothing was saved yet.

        Raises DamagedCheckpoints when every file is damaged, and UserError when the state is of another run.
        """
        state = newest(self.folder, where)
        if state is not None and state["identity"] != self.identity:
            raise UserError(self._refusal(state["identity"]))
        return state

    @contextlib.contextmanager
    def trusted(self) -> Iterator[None]:
        """Take over a loaded state in here; UserError where it has not what a run writes."""
        try:
            yield
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise UserError(
                f"The checkpoint in {self.folder} is not what a run writes ({type(error).__name__}); delete "
                "that folder to start over."
            ) from error

    def _refusal(self, other: Parts | str) -> str:
        """Why a state of the run `other` is not taken."""
        if isinstance(other, str):  # a digest of plan and shapes alone
            return (
                f"The checkpoint in {self.folder} is of an older version, which did not note what it was "
                "trained on; delete that folder or give another."
            )
        found = differences(self.identity, other)
        if found == [f"network ({INITIAL})"]:
            return (
                f"The checkpoint in {self.folder} is of a run that began with other weights; build the "
                "network as that run did, not trained, or give another folder."
            )
        return (
            f"The checkpoint in {self.folder} is of another run: other {' and '.join(found)}; delete that "
            "folder or give another."
        )


def newest(folder: Path, where: torch.device) -> dict[str, Any] | None:
    """The newest undamaged state in a folder, of whatever run; None when nothing was saved yet.

    Raises DamagedCheckpoints when there are files and every one is damaged, and UserError for one that is
    whole and cannot be loaded.
    """
    paths = [path for path in (folder / _CURRENT, folder / _PREVIOUS) if path.exists()]
    for path in paths:
        state = _state(path, where)
        if state is not None:
            return state
    if paths:
        raise DamagedCheckpoints(f"The checkpoints in {folder} are damaged; delete them to start over.")
    return None


def _state(path: Path, where: torch.device) -> dict[str, Any] | None:
    """What was saved, or None where the file is not what was written. No code in it is ever run."""
    try:
        read = files.read_plain(path)
        if hashlib.sha256(read[_DIGEST:]).digest() != read[:_DIGEST]:
            return None
        state = torch.load(io.BytesIO(read[_DIGEST:]), map_location=where, weights_only=True)
    except Exception as error:  # no memory for it; or whatever torch makes of what was not written here
        raise UserError(
            f"{path} cannot be loaded ({type(error).__name__}); free memory, or delete it to start over."
        ) from error
    if not (isinstance(state, dict) and _names_a_run(state)):
        raise UserError(f"{path} is no checkpoint of a run; delete it to start over.")
    return state


def _names_a_run(state: dict[str, Any]) -> bool:
    """Whether a state says which run it is of (an old one by a digest), and its step."""
    identity, step = state.get("identity"), state.get("step")
    parts = isinstance(identity, dict) and all(isinstance(part, dict) for part in identity.values())
    return (parts or isinstance(identity, str)) and isinstance(step, int) and step >= 0
