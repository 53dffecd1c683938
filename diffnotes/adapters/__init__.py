"""A reader's model as a denoiser: (x, sigma[, labels]) -> E[x0|x], which every instrument of the book takes.

    model = adapt("runs/my-unet")                       # a folder that save_pretrained of diffusers wrote
    model = adapt("my_package.models:denoiser")         # a function of yours
    model = adapt("unet.pt2", sha256="...")             # a program of torch.export, or TorchScript
    model = adapt("digits.npz")                         # what save_denoiser wrote
    model = adapt(pipeline)                             # a live pipeline of diffusers, a GaussianDiffusion
    model = adapt(network, process="flow", target="velocity")   # network(x_t, t[, labels]) -> velocity

Images are in [-1, 1] and noise levels are sigma in x = x0 + sigma eps, whatever the model was trained with.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from diffnotes.adapters import folders, live, programs
from diffnotes.adapters.adapted import Adapted, DiscreteVP
from diffnotes.adapters.live import rescaled
from diffnotes.adapters.stored import load_denoiser, save_denoiser
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Num, Tensor, checked
from diffnotes.networks import NetworkDenoiser
from diffnotes.process import Process

__all__ = ["Adapted", "DiscreteVP", "adapt", "fingerprint", "load_denoiser", "save_denoiser"]

RANGES = {"-1,1": False, "0,1": True}  # of the pixels that a model was trained on; whether it is rescaled
PICKLES = (".bin", ".ckpt", ".pth", ".pkl")


@checked()
def adapt(
    model: object,
    *,
    process: Process | str | None = None,
    target: str | None = None,
    pixels: str = "-1,1",
    context: Num[Tensor, "k tokens width"] | None = None,
    classes: int = 0,
    sha256: str | None = None,
) -> Adapted:
    """`model` as a denoiser of images in [-1, 1]. See the head of this file for what it may be.

    process ("ve", "vp", "flow", or a `Process`) and target ("eps", "v", "x0", "velocity", "score", "F") say
    what a function or module predicts, called with (x_t, t[, labels]); without them it is a denoiser already,
    called with (x, sigma[, labels]). Time runs from 0, without noise, to 1, or to the process's `t_max`; the
    velocity of "flow" is eps - x0. classes: how many a function can be told. pixels: "0,1" for a model of
    images in [0, 1]. context: what a network with cross-attention is told of each class. sha256: that of a
    file that is a program, see `programs`.

    Raises UserError for what is missing, damaged, unknown, or would run code that nobody named.
    """
    if pixels not in RANGES:
        raise UserError(f"pixels must be one of {' or '.join(map(repr, RANGES))}, not {pixels!r}.")
    said = Said(process, target, pixels, context, classes, sha256)
    return _adapted(model, said)


@dataclass(frozen=True)
class Said:
    """What a user says of a model that does not say it by itself."""

    process: Process | str | None = None
    target: str | None = None
    pixels: str = "-1,1"
    context: Tensor | None = None
    classes: int = 0
    sha256: str | None = None

    def none_but(self, name: str, *known: str) -> None:
        """UserError where something is said that this kind of model says by itself."""
        for field in fields(self):
            value = getattr(self, field.name)
            said = isinstance(value, Tensor) or value != field.default
            if said and field.name not in known:
                raise UserError(f"{name} says by itself what it is; leave out {field.name}.")


@checked()
def fingerprint(model: str) -> str:
    """The SHA-256 of what a name stands for, read and not run: of a file, of the files of a folder with their
    names, or of the module of module:function, without what that imports. UserError where there is none."""
    path = files.folder_named(model)
    if path.is_dir():
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        lines = [f"{one.relative_to(path).as_posix()} {files.sha256_file(one)}\n" for one in inside]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if path.is_file():
        return files.sha256_file(path)
    if not programs.is_named(model):
        raise UserError(f"There is no {model}; give a folder, a file, or module:function.")
    return files.sha256_file(programs.source_of(model))


def _adapted(model: Any, said: Said) -> Adapted:
    if isinstance(model, Adapted):
        said.none_but(model.name)
        return model
    if isinstance(model, str | Path):
        return _named(str(model), said)
    if hasattr(model, "scheduler") and any(hasattr(model, part) for part in folders.PARTS):
        said.none_but(type(model).__name__, "context", "pixels")
        return _ranged(_pipeline(model, said.context), said)
    if live.is_gaussian_diffusion(model):
        said.none_but(type(model).__name__, "pixels")
        return live.of_gaussian_diffusion(model, said.pixels)
    if isinstance(model, NetworkDenoiser):
        said.none_but(type(model).__name__, "pixels")
        return _ranged(_own(model), said)
    if not callable(model):
        raise UserError(f"A {type(model).__name__} is no model; give a folder, a file, or a function.")
    return _stated(model, said, type(model).__name__)


def _ranged(found: Adapted, said: Said) -> Adapted:
    return rescaled(found) if RANGES[said.pixels] else found


def _stated(model: Any, said: Said, name: str, *known: str) -> Adapted:
    said.none_but(name, "process", "target", "pixels", "classes", *known)
    found = live.stated(model, said.process, said.target, name)
    return _ranged(replace(found, classes=said.classes), said)


def _named(text: str, said: Said) -> Adapted:
    if programs.is_named(text) and not Path(text).exists():
        found = programs.named(text)
        return _adapted(found, said) if _is_live(found) else _stated(found, said, text)
    path = files.folder_named(text)
    if not path.exists():
        raise UserError(f"There is no {text}; give a folder, a file, or module:function.")
    if path.is_dir():
        said.none_but(text, "context", "pixels")
        return _ranged(_folder(path, said.context), said)
    if path.suffix == ".npz":
        said.none_but(text, "pixels")
        own = _own(load_denoiser(path))
        return _ranged(replace(own, name=path.name, identity=files.sha256_file(path)), said)
    if path.suffix in PICKLES or path.suffix == ".safetensors":
        raise UserError(_lone_weights(path))
    module = programs.from_file(path, said.sha256)
    found = _stated(module, said, path.name, "sha256")
    return replace(found, identity=files.sha256_file(path))


def _is_live(found: object) -> bool:
    """Whether a function returned a thing that says by itself what it is."""
    parts = hasattr(found, "scheduler") and any(hasattr(found, part) for part in folders.PARTS)
    return isinstance(found, Adapted | NetworkDenoiser) or parts or live.is_gaussian_diffusion(found)


def _folder(path: Path, context: Tensor | None) -> Adapted:
    if folders.is_diffusers(path):
        return folders.of_folder(path, context)
    if (path / "checkpoint.pt").is_file():
        raise UserError(
            f"{path} holds the state of a training run, which does not say what network it is of; save the "
            "denoiser with diffnotes.adapters.save_denoiser and give that file."
        )
    raise UserError(
        f"{path} holds no model: neither model_index.json nor config.json of diffusers is there; give the "
        "folder that save_pretrained wrote."
    )


def _lone_weights(path: Path) -> str:
    if path.suffix == ".safetensors":
        return f"{path} holds weights alone; give the folder that has its config.json and its scheduler, too."
    return (
        f"{path} is a pickle, which may run code when it is loaded, so it was not. Load it in a module of "
        "your own and give module:function, or save the model as safetensors."
    )


def _own(denoiser: NetworkDenoiser) -> Adapted:
    """A denoiser of the book."""
    network = live.evaluated(denoiser.network)
    settings = getattr(network, "settings", {})
    shape, classes = settings.get("shape"), int(settings.get("classes", 0))
    name = type(network).__name__
    return Adapted(denoiser.eval(), name, shape=shape and tuple(shape), classes=classes, modules=(denoiser,))


def _pipeline(pipeline: Any, context: Tensor | None) -> Adapted:
    """A live pipeline of diffusers."""
    part = next(name for name in folders.PARTS if getattr(pipeline, name, None) is not None)
    network: Any = getattr(pipeline, part)
    scheduler = {"_class_name": type(pipeline.scheduler).__name__, **dict(pipeline.scheduler.config)}
    config = {**dict(network.config), "_class_name": type(network).__name__}
    name = type(pipeline).__name__
    return folders.of_parts(live.evaluated(network), scheduler, config, context, name)
