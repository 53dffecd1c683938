"""Processes that find each other as those do which torchrun starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]


def together(program: str, folder: Path, size: int, seconds: int = 300) -> list[Any]:
    """What each of `size` processes saves in {folder}-{rank}.pt; `program` is given `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    known = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(size)}
    known |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", textwrap.dedent(program), str(folder)]
    children = [
        subprocess.Popen(command, env=known | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    for child in children:
        _, err = child.communicate(timeout=seconds)
        assert child.returncode == 0, err
    return [torch.load(f"{folder}-{rank}.pt") for rank in range(size)]
