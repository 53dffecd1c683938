"""Folders that diffusers wrote: a pipeline, or a model beside its scheduler. Weights are safetensors alone.

Nothing of the folder is run: classes are chosen from a list of diffusers' own by the names that config.json
says, and safetensors hold numbers only.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffnotes.adapters.adapted import Adapted, DiscreteVP, as_rows
from diffnotes.adapters.asked import Asked
from diffnotes.adapters.live import between, evaluated
from diffnotes.base import files
from diffnotes.base.errors import UserError, out_of_memory, quoted
from diffnotes.base.shapes import Tensor
from diffnotes.data import load_torchvision
from diffnotes.process import FlowMatching, edm_scalings

NETWORKS = ("UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel")
PARTS = ("unet", "transformer")  # where a pipeline has its network
GRIDS = (
    "DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler",
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler",
    "DEISMultistepScheduler", "DDPMParallelScheduler", "DDIMParallelScheduler",
)  # fmt: skip
EDM = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
TARGETS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
# What changes what a network is told, or predicts.
STRANGE = {"invert_sigmas": True, "use_flow_sigmas": True, "timestep_type": "continuous"}
PREFIXES = ("_orig_mod.", "module.")  # of torch.compile, of data-parallel training
WEIGHTS = "diffusion_pytorch_model"
EMA = ("unet_ema", "ema", "transformer_ema")


@dataclass(frozen=True)
class Found:
    """Where a network and its scheduler are: folder, config.json's content, scheduler's config."""

    folder: Path
    config: dict[str, Any]
    scheduler: dict[str, Any]
    notes: tuple[str, ...]


def is_diffusers(folder: Path) -> bool:
    """Whether a folder looks like one that diffusers wrote."""
    return any((folder / name).is_file() for name in ("model_index.json", "config.json"))


def of_folder(folder: Path, context: Tensor | None = None) -> Adapted:
    """The network of a folder as a denoiser. `context` [k, tokens, width] is what a network with
    cross-attention is told: of class i its entry i, or the only one.

    UserError for whatever is missing, damaged, unknown here, or would have to run code of its own.
    """
    found = _found(folder)
    network, digest, notes = _network(found)
    adapted = of_parts(network, found.scheduler, found.config, context, folder.name or str(folder))
    adapted.identity = digest
    return adapted.noted(*found.notes, *notes)


# --------------------------------------------------------------------------------------- what is where


def _found(folder: Path) -> Found:
    index = folder / "model_index.json"
    if not index.is_file():
        return _lone(folder)
    parts = _json(index)
    place = next((name for name in PARTS if isinstance(parts.get(name), list)), None)
    if place is None:
        raise UserError(f"{index} names no {' and no '.join(PARTS)}, so there is no network to look at.")
    if not isinstance(parts.get("scheduler"), list):
        raise UserError(f"{index} names no scheduler, which says what the network predicts.")
    notes = _ema_note(folder, place)
    if any(isinstance(parts.get(name), list) for name in ("vae", "vqvae")):
        notes += (_latent_note(folder),)
    scheduler = _json(folder / "scheduler" / "scheduler_config.json")
    return Found(folder / place, _json(folder / place / "config.json"), scheduler, notes)


def _lone(folder: Path) -> Found:
    """A network alone: its scheduler is in the folder beside it, or above."""
    config = _json(folder / "config.json")
    places = [p / "scheduler" / "scheduler_config.json" for p in (folder, folder.parent)]
    places += [folder / "scheduler_config.json", folder.parent / "scheduler_config.json"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"{folder} has a network and no scheduler_config.json, which says what it predicts at which "
            "noise levels; save the scheduler there with scheduler.save_pretrained."
        )
    return Found(folder, config, _json(path), _ema_note(folder.parent, folder.name))


def _ema_note(folder: Path, taken: str) -> tuple[str, ...]:
    other = next((name for name in EMA if name != taken and (folder / name).is_dir()), None)
    if other is None:
        return ()
    return (f"The weights are those of {taken}; {other} beside it was not looked at.",)


def _latent_note(folder: Path) -> str:
    scale = None
    for name in ("vae", "vqvae"):
        if (folder / name / "config.json").is_file():
            scale = _json(folder / name / "config.json").get("scaling_factor")
    times = f", times its scaling_factor {scale:g}" if isinstance(scale, int | float) else ""
    return f"It denoises latents of its own autoencoder, not images: the data must be such latents{times}."


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(files.read_plain(path))  # others write infinities, which our files never hold
    except FileNotFoundError:
        wanted = "give a folder that save_pretrained of diffusers wrote"
        raise UserError(f"There is no {path}; {wanted}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); get it again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings; get it again.")
    return content


# ------------------------------------------------------------------------------------------ the network


def _network(found: Found) -> tuple[nn.Module, str, tuple[str, ...]]:
    """The network with its weights in float32, the digest of both, and what to know."""
    paths = _weight_files(found.folder)
    network = _built(found.config, found.folder)
    weights: dict[str, Tensor] = {}
    digest = hashlib.sha256(repr(sorted(found.config.items())).encode())
    digest.update(repr(sorted(found.scheduler.items())).encode())
    for path in paths:
        weights |= _safetensors(path)
        digest.update(files.sha256_file(path).encode())
    notes = _load(network, weights, found.folder)
    return evaluated(network), digest.hexdigest(), notes


def _weight_files(folder: Path) -> list[Path]:
    whole = folder / f"{WEIGHTS}.safetensors"
    if whole.is_file():
        return [whole]
    index = folder / f"{WEIGHTS}.safetensors.index.json"
    if index.is_file():
        return _shards(index)
    others = sorted(folder.glob(f"{WEIGHTS}.*.safetensors"))
    if len(others) == 1:
        return others
    if others:
        names = ", ".join(path.name for path in others)
        raise UserError(f"{folder} has several sets of weights ({names}); leave only the one to look at.")
    pickled = sorted(path for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickled:
        raise UserError(
            f"{pickled[0]} is a pickle, which may run code when it is loaded, so it was not. If you trust "
            "it, load it with diffusers once and write it anew: model.save_pretrained(folder, "
            "safe_serialization=True)."
        )
    raise UserError(f"{folder} has settings and no weights ({WEIGHTS}.safetensors is missing); get them.")


def _shards(index: Path) -> list[Path]:
    """The files that an index names, all of them in its own folder."""
    named = _json(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(v, str) for v in named.values()):
        raise UserError(f"{index} names no files of weights; get it again.")
    paths = sorted({index.parent / name for name in named.values()})
    for path in paths:
        if path.parent != index.parent or path.suffix != ".safetensors" or not path.is_file():
            raise UserError(f"{index} names {quoted(path.name)}, which is no file of weights beside it.")
    return paths


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file  # an optional package
    except ImportError as error:
        raise UserError("Weights of diffusers need `pip install diffnotes[diffusers]`.") from error
    try:
        return load_file(path)
    except Exception as error:  # whatever such bytes make of it
        if out_of_memory(error):
            raise
        raise UserError(f"{path} is damaged ({type(error).__name__}); get it again.") from error


def _built(config: dict[str, Any], folder: Path) -> nn.Module:
    """A network of the class and the settings that a config.json says."""
    name = config.get("_class_name")
    if name not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise UserError(
            f"{folder} holds a {quoted(name)}, which is not known here ({known}); name a function of yours "
            "that returns E[x0|x], as module:function."
        )
    kind = getattr(diffusers(), name)
    known_settings = inspect.signature(kind.__init__).parameters
    settings = {k: v for k, v in config.items() if k in known_settings}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings that diffusers has given other names
            network: nn.Module = kind(**settings)
    except Exception as error:  # whatever such settings make of it
        if out_of_memory(error):
            raise
        raise UserError(
            f"{folder / 'config.json'} describes no {name} ({type(error).__name__}: {error}); get it again."
        ) from error
    return network


def _load(network: nn.Module, weights: dict[str, Tensor], folder: Path) -> tuple[str, ...]:
    """Put weights into a network; what is said of them."""
    own = network.state_dict()
    cleaned = {_stripped(name): value for name, value in weights.items()}
    missing, strange = own.keys() - cleaned.keys(), cleaned.keys() - own.keys()
    unlike = [k for k in own.keys() & cleaned.keys() if own[k].shape != cleaned[k].shape]
    if missing or strange or unlike:
        first = min([*missing, *strange, *unlike])
        raise UserError(
            f"The weights in {folder} are not those of the network that config.json describes: "
            f"{len(missing)} are missing, {len(strange)} unknown, {len(unlike)} of another shape ({first})."
        )
    kinds = {str(v.dtype).removeprefix("torch.") for v in weights.values() if v.is_floating_point()}
    network.load_state_dict({k: v.to(own[k].dtype) for k, v in cleaned.items()})
    network.float()
    coarse = sorted(kinds - {"float32", "float64"})
    return (f"Its weights are {' and '.join(coarse)}; it is run in float32.",) if coarse else ()


def _stripped(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.removeprefix(PREFIXES[0]).removeprefix(PREFIXES[1])
    return name


def diffusers() -> Any:
    """The package, which is optional. Torchvision goes first, see `load_torchvision`."""
    try:
        load_torchvision()
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise UserError("A model of diffusers needs `pip install diffnotes[diffusers]`.") from error


# --------------------------------------------------------------------------- network and scheduler together


def of_parts(
    network: nn.Module, scheduler: dict[str, Any], config: dict[str, Any], context: Tensor | None, name: str
) -> Adapted:
    """A network of diffusers under the process that a scheduler's settings describe."""
    asked = Asked(network, config, context)
    kind, settings = scheduler.get("_class_name"), scheduler
    for setting, strange in STRANGE.items():
        if settings.get(setting) == strange:
            raise UserError(f"A scheduler with {setting} = {strange!r} is not known here.")
    if kind in GRIDS:
        estimate, low, high, notes = _grid(asked, settings, str(kind))
    elif kind in EDM:
        estimate, low, high, notes = _edm(asked, settings)
    elif kind in FLOWS:
        estimate, low, high, notes = _flow(asked, settings)
    else:
        known = ", ".join((*GRIDS, *EDM, *FLOWS))
        raise UserError(f"The scheduler {quoted(kind)} is not known here; known are {known}.")
    return Adapted(
        estimate, name, asked.shape, asked.classes, asked.needs_label, low, high, notes, modules=(network,)
    )


Estimated = tuple[Callable[..., Tensor], float, float, tuple[str, ...]]


def _grid(asked: Asked, settings: dict[str, Any], kind: str) -> Estimated:
    """DDPM's steps: the network is told the number of the step."""
    target = _target(settings)
    process = DiscreteVP(_products(settings, kind))
    notes: tuple[str, ...] = (between(process),)
    if asked.steps:  # a table of times
        notes = ("It has a table of times, so for a noise level between two it is told the nearer time.",)
    if settings.get("clip_sample") or settings.get("thresholding"):
        notes += ("Its sampler cuts predictions to a range; that is no part of the network, so not done.",)
    return process.denoiser(asked, target), *process.ends, notes


def _products(settings: dict[str, Any], kind: str) -> Tensor:
    """The running products of 1 - beta, as the scheduler itself makes them."""
    known = inspect.signature(getattr(diffusers(), kind).__init__).parameters
    given = {k: v for k, v in settings.items() if k in known}
    given.pop("trained_betas", None)
    betas = settings.get("trained_betas")
    try:
        if betas is not None:
            given["trained_betas"] = [float(beta) for beta in betas]
        products: Tensor = getattr(diffusers(), kind)(**given).alphas_cumprod
    except Exception as error:  # whatever such settings make of it
        raise UserError(
            f"The settings of the scheduler describe no {kind} ({type(error).__name__}: {error})."
        ) from error
    return products


def _target(settings: dict[str, Any]) -> str:
    said = settings.get("prediction_type", "epsilon")
    if said not in TARGETS:
        known = ", ".join(TARGETS)
        raise UserError(f"The scheduler says that {quoted(said)} is predicted; known are {known}.")
    return TARGETS[said]


def _edm(asked: Asked, settings: dict[str, Any]) -> Estimated:
    """EDM (Karras et al. 2022, Table 1): D = c_skip x + c_out F(c_in x; ln(sigma)/4); with v-prediction the
    sign of F is turned round."""
    said = settings.get("prediction_type", "epsilon")
    if said not in ("epsilon", "v_prediction"):
        raise UserError(f"An EDM scheduler predicts epsilon or v_prediction, not {quoted(said)}.")
    deviation = _positive(settings, "sigma_data", 0.5)
    low, high = _positive(settings, "sigma_min", 0.002), _positive(settings, "sigma_max", 80.0)
    sign = 1.0 if said == "epsilon" else -1.0

    def estimate(x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        s = sigma.double()
        skip, out, enter = (as_rows(c, x) for c in edm_scalings(s, deviation))
        return skip * x + sign * out * asked(enter * x, s.log().to(x.dtype) / 4, *labels)

    return estimate, low, high, ()


def _positive(settings: dict[str, Any], name: str, default: float) -> float:
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise UserError(f"{name} of the scheduler must be a positive number, not {quoted(value)}.")
    return float(value)


def _flow(asked: Asked, settings: dict[str, Any]) -> Estimated:
    """The straight path: x_t = (1 - t) x0 + t eps, velocity eps - x0; the network is told t times the number
    of steps. A shift of the sampler's times changes where it looks, not what the network is told there."""
    count = _positive(settings, "num_train_timesteps", 1000.0)
    process = FlowMatching(t_max=1 - 0.5 / count)
    estimate = process.denoiser(lambda x, t, *labels: asked(x, count * t, *labels), "velocity")
    low, high = (float(process.noise_ratio(torch.tensor(t).double())) for t in (0.5 / count, process.t_max))
    return estimate, low, high, ()
