"""The book's own denoisers in a file: weights as plain arrays, and what the network is made with.

    save_denoiser(denoiser, "digits.npz")
    denoiser = load_denoiser("digits.npz")

An npz file without Python objects: nothing in it is ever run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffnotes.adapters.adapted import briefly
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import checked
from diffnotes.networks import MLP, DiT, NetworkDenoiser, UNet
from diffnotes.process import VE, VP, FlowMatching

NETWORKS: dict[str, type[MLP] | type[UNet] | type[DiT]] = {"MLP": MLP, "UNet": UNet, "DiT": DiT}
PROCESSES: dict[str, type[VE] | type[VP] | type[FlowMatching]] = {
    "VE": VE, "VP": VP, "FlowMatching": FlowMatching,
}  # fmt: skip
SAID = "denoiser"  # the array that holds the settings, as JSON


@checked()
def save_denoiser(denoiser: NetworkDenoiser, path: str | Path) -> Path:
    """Write a denoiser with one of the book's networks and processes to an npz file; returns its path.

    UserError for other networks, and for a file that cannot be written.
    """
    network, process = denoiser.network, denoiser.process
    kinds = (type(network).__name__, type(process).__name__)
    if kinds[0] not in NETWORKS or kinds[1] not in PROCESSES:
        raise UserError(
            f"A {kinds[0]} under {kinds[1]} cannot be saved so; the networks are {', '.join(NETWORKS)}, the "
            f"processes {', '.join(PROCESSES)}."
        )
    said = {
        "network": kinds[0], "settings": network.settings, "process": kinds[1], "ends": vars(process),
        "target": denoiser.target, "sigma_data": denoiser.sigma_data,
    }  # fmt: skip
    weights = {f"network.{name}": w.cpu().numpy() for name, w in network.state_dict().items()}
    files.save_npz_atomic(path, {SAID: np.array(json.dumps(said)), **weights})
    return Path(path)


@checked()
def load_denoiser(path: str | Path) -> NetworkDenoiser:
    """The denoiser of a file that `save_denoiser` wrote; UserError for any other file."""
    try:
        arrays = files.npz_arrays(files.read_plain(Path(path)))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); give a file that save_denoiser wrote.") from error
    except UserError as error:
        raise UserError(f"{path} cannot be loaded: {error}") from error
    if SAID not in arrays:
        raise UserError(f"{path} holds arrays and no denoiser; give a file that save_denoiser wrote.")
    try:
        denoiser = _made(json.loads(str(arrays.pop(SAID))))
        weights = {k.removeprefix("network."): torch.from_numpy(w) for k, w in arrays.items()}
        denoiser.network.load_state_dict(weights)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path} is not what save_denoiser writes ({briefly(error)}); save it anew."
        ) from error
    return denoiser.eval()


def _made(said: dict[str, Any]) -> NetworkDenoiser:
    settings: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in said["settings"].items()
    }
    network = NETWORKS[said["network"]](**settings)
    process = PROCESSES[said["process"]](**said["ends"])
    return NetworkDenoiser(network, process, said["target"], said["sigma_data"])
