"""Models that are programs: a function that the reader names, TorchScript, and programs of torch.export.

To load such a file is to run what its maker wrote. So it is loaded only with the SHA-256 of a file that the
reader trusts; a function, only from a module that the reader names.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffnotes.adapters.adapted import briefly
from diffnotes.base import files
from diffnotes.base.errors import UserError, out_of_memory

NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_named(text: str) -> bool:
    """Whether a text is module:function."""
    return bool(NAMED.fullmatch(text))


def named(text: str) -> Callable[..., Any]:
    """What module:function names: a denoiser, or a function without arguments that returns one.

    The module is looked for in the working folder too. UserError where there is none, or no function in it.
    """
    module, _, path = text.partition(":")
    try:
        with _from_here():
            found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{text} names no function here ({error}); give module:function.") from error
    except Exception as error:  # whatever a module does when it is loaded
        raise UserError(f"{module} cannot be loaded ({briefly(error)}); mend it.") from error
    if not callable(found):
        raise UserError(f"{text} is no function, but a {type(found).__name__}.")
    if isinstance(found, nn.Module) or (_wants(found) and not isinstance(found, type)):
        return found
    try:
        made: Any = found()
    except Exception as error:
        raise UserError(f"{text} failed when it was called ({briefly(error)}); mend it.") from error
    if not callable(made):
        raise UserError(f"{text} returns a {type(made).__name__}; it must return a denoiser, (x, sigma).")
    return made


def source_of(text: str) -> str:
    """The file of the module of module:function, which is not imported (a package that it lies in is)."""
    try:
        with _from_here():
            found = importlib.util.find_spec(text.partition(":")[0])
    except (ImportError, ValueError) as error:
        raise UserError(f"{text} names no module here ({error}); give module:function.") from error
    if found is None or not found.has_location or found.origin is None:
        raise UserError(f"{text} names no module that lies in a file; give module:function.")
    return found.origin


@contextlib.contextmanager
def _from_here() -> Iterator[None]:
    """Modules of the working folder are found, too."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _wants(function: Callable[..., Any]) -> bool:
    """Whether it has arguments that must be given; a denoiser has two."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin, say
        return True
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is inspect.Parameter.empty and p.kind not in kinds for p in given) or any(
        p.kind is inspect.Parameter.VAR_POSITIONAL for p in given
    )


def from_file(path: Path, sha256: str | None) -> nn.Module:
    """The module in a file of TorchScript or torch.export, if it has this SHA-256."""
    try:
        content = files.read_plain(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); give the file of a model.") from error
    files.trusted(path, content, sha256)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its older formats
        try:
            return _exported(content) if path.suffix == ".pt2" else _script(content)
        except Exception as error:  # whatever such bytes make of torch
            if out_of_memory(error):
                raise
            raise UserError(
                f"{path} is neither TorchScript (.pt) nor a program of torch.export (.pt2) that this torch "
                f"can load ({type(error).__name__}); save it anew."
            ) from error


def _script(content: bytes) -> nn.Module:
    loaded: nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    return loaded


def _exported(content: bytes) -> nn.Module:
    loaded: nn.Module = torch.export.load(io.BytesIO(content)).module()
    return loaded
