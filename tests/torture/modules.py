"""Files of TorchScript, damaged or exchanged: loaded only when they are the bytes that the reader named.

Of other bytes nothing is loaded. Of bytes that the reader vouches for, and that are no module, one sentence.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from pathlib import Path

import faults
import torch
from torch import Tensor, nn

from diffnotes.networks import load_torchscript


class Small(nn.Module):
    """Two features of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mean((2, 3)))


def damage(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """Damage the file, name the digest of the old one or of the new one, and load it."""
    counts: Counter[str] = Counter()
    os.environ["DIFFNOTES_DATA"] = str(folder)
    path = folder / "features/small.pt"
    path.parent.mkdir()
    torch.jit.script(Small()).save(str(path))
    original = path.read_bytes()
    loaded: list[str] = []
    load = torch.jit.load
    torch.jit.load = lambda *words, **options: loaded.append("once") or load(*words, **options)
    for _ in range(count):
        content = faults.damaged(original, original[::-1], draw)
        path.write_bytes(content)
        trusted = draw.random() < 0.5
        digest = hashlib.sha256(content if trusted else original).hexdigest()
        loaded.clear()
        outcome = faults.judged(lambda digest=digest: load_torchscript("small", digest) and "loaded")
        if not trusted and content != original and loaded:
            outcome = "FAILED: loaded without trust"
        counts[f"{'trusted' if trusted else 'not trusted'}: {outcome}"] += 1
    torch.jit.load = load
    return counts
