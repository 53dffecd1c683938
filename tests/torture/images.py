"""Images, tables, shards, pickles and the decode cache, mutated: the right pixels in time, or one sentence.

A target is a file that is whole, a way to read it, and what may come out. Faults are an exception other than
UserError, a sentence of more than one line, pixels other than a second, independent reader gives for these
bytes, and more than LIMIT seconds.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import signal
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faults
import numpy as np
from PIL import Image
from programs import Program

from diffnotes import data as sets
from diffnotes.data import Shards, decoding, folders
from diffnotes.data import part as data_part

LIMIT = 10.0  # seconds


@dataclass
class Target:
    """`read(file)` gives an answer for the file as it is; `right(bytes, answer)` whether it may be."""

    name: str
    file: Path
    read: Callable[[], Any]
    right: Callable[[bytes, Any], bool]


# ------ mutations of bytes


def flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_early(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(min(len(data), 128))] ^= 1 << rng.randrange(8)


def poke(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place : place + 4] = rng.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"))


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def drop(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    del data[place : place + rng.randrange(1, 64)]


def double(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = data[place : place + rng.randrange(1, 64)]


def zeros(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    stop = min(len(data), place + rng.randrange(1, 4096))
    data[place:stop] = bytes(stop - place)


def more(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.randrange(1, 100))


MUTATIONS = (flip, flip_early, poke, cut, drop, double, zeros, more)


def mutated(whole: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One to three mutations, and their names."""
    data, names = bytearray(whole), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if data:
            kind = rng.choice(MUTATIONS)
            kind(data, rng)
            names.append(kind.__name__)
    return "+".join(names), bytes(data)


# ------ judging


class Slow(BaseException):
    """Not an Exception, so that no reader catches it."""


def _alarm(*_: object) -> None:
    raise Slow


def judge(target: Target, content: bytes) -> str:
    """What came of it."""
    target.file.write_bytes(content)
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        return faults.judged(lambda: _answered(target, content))
    except Slow:
        return f"FAILED: over {LIMIT} s"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answered(target: Target, content: bytes) -> str:
    return "right" if target.right(content, target.read()) else "FAILED: wrong pixels"


def damage(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """So many mutations over all targets in turn."""
    warnings.simplefilter("ignore")
    os.environ["DIFFNOTES_DATA"], os.environ["XDG_CACHE_HOME"] = str(folder / "data"), str(folder / "cache")
    (folder / "data").mkdir()
    targets = [cache_target(folder), *image_targets(folder), table_target(folder), *shard_targets(folder),
               part_target(folder), *cifar_targets(folder)]  # fmt: skip
    wholes = {target.name: target.file.read_bytes() for target in targets}
    counts: Counter[str] = Counter()
    for number in range(count):
        target = targets[number % len(targets)]
        names, content = mutated(wholes[target.name], draw)
        counts[judge(target, content).replace("FAILED:", f"FAILED: {target.name} {names}:")] += 1
        target.file.write_bytes(wholes[target.name])
        if (proof := folder / "it-ran").exists():
            counts["FAILED: a pickle was run"] += 1
            proof.rmdir()
    return counts


# ------ targets


def picture(seed: int) -> np.ndarray:
    """Smooth, so that compressed formats are compressed, and grainy, so that each byte tells."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(64), np.arange(64))[..., None] + rng.integers(0, 40, (64, 64, 3))
    return (ramp % 256).astype(np.uint8)


def reference(content: bytes) -> np.ndarray | None:
    """The pixels by Pillow alone; None where it has none, or where more than Pillow is needed to say."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.size != (64, 64) or image.mode in ("F", "I") or image.mode.startswith("I;16"):
                return None
            if image.getexif().get(274, 1) != 1:
                return None
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except Exception:
        return None


def image_targets(root: Path) -> list[Target]:
    colours = Image.fromarray(picture(0))
    exif = Image.Exif()
    exif[274], exif[271], exif[33434] = 1, "maker", 0.01
    kinds = {
        "png": (colours, {}), "jpg": (colours, {"exif": exif}), "webp": (colours, {"exif": exif}),
        "bmp": (colours, {}), "gif": (colours.quantize(32), {}), "tiff": (colours, {"exif": exif}),
        "lzw.tiff": (colours, {"compression": "tiff_lzw"}), "jpeg.tiff": (colours, {"compression": "jpeg"}),
        "ppm": (colours, {}), "16.png": (Image.fromarray(picture(1)[..., 0].astype(np.uint16) * 257), {}),
        "p.png": (colours.quantize(16), {"transparency": bytes([255] * 16)}),
        "cmyk.jpg": (colours.convert("CMYK"), {}), "a.png": (colours.convert("RGBA"), {}),
        "progressive.jpg": (colours, {"progressive": True}),
    }  # fmt: skip
    found = []
    for name, (image, settings) in kinds.items():
        file = root / f"x.{name}"
        image.save(file, **settings)
        found.append(Target(name, file, lambda file=file: decoding.decode(file), right_pixels(file)))
    return found


def right_pixels(file: Path) -> Callable[[bytes, np.ndarray], bool]:
    """A PNG has check sums: nothing but its picture may come out. Others are compared with Pillow alone."""
    before = decoding.decode(file)

    def right(content: bytes, answer: np.ndarray) -> bool:
        other = before if file.name.endswith("png") else reference(content)
        return other is None or np.array_equal(answer, other)

    return right


def cache_target(root: Path) -> Target:
    folder = root / "set" / "a"
    folder.mkdir(parents=True)
    for seed in range(3):
        Image.fromarray(picture(seed)).save(folder / f"{seed}.png")

    def read() -> np.ndarray:
        return sets.load("imagenet64", folder=str(root / "set")).values.numpy()

    expected = read().copy()
    [file] = (root / "data" / ".diffnotes-cache").glob("*.npy")
    return Target("cache", file, read, lambda _, answer: np.array_equal(answer, expected))


def table_target(root: Path) -> Target:
    inner = root / "tiny" / "val" / "images"
    inner.mkdir(parents=True)
    for k in range(4):
        Image.fromarray(picture(k)).save(inner / f"val_{k}.png")
    file = inner.parent / "val_annotations.txt"
    file.write_text("".join(f"val_{k}.png\tn{k % 2}\t0\t0\t62\t62\n" for k in range(4)))

    def read() -> Any:
        return folders.list_split(root / "tiny", "validation")

    def right(content: bytes, answer: Any) -> bool:
        return sorted(path.name for path in answer.paths) == [f"val_{k}.png" for k in range(4)]

    return Target("table", file, read, right)


def shard_targets(root: Path) -> list[Target]:
    images = np.stack([picture(k).transpose(2, 0, 1) for k in range(3)])

    def right(content: bytes, answer: np.ndarray) -> bool:
        other = np.load(io.BytesIO(content), allow_pickle=False)
        return np.array_equal(answer, other)

    found = []
    for name in ("npy", "npz"):
        file = root / f"shard.{name}"
        np.save(file, images) if name == "npy" else np.savez(file, data=images, labels=np.arange(3))
        found.append(Target(f"shard {name}", file, lambda file=file: Shards([file])[:].numpy(), right))
    return found


def part_target(root: Path) -> Target:
    values = np.stack([picture(k) for k in range(3)])
    whole = data_part.DataPart(9, "f" * 64, np.array([1, 4, 7]), values, np.arange(3))
    folder = root / "part"
    file = data_part.write(folder, "cifar10", {"train": whole})

    def right(_: bytes, answer: Any) -> bool:
        return np.array_equal(answer.values, values) and answer.total == 9

    return Target("part", file, lambda: data_part.find(folder, "cifar10", "train"), right)


def cifar_targets(root: Path) -> list[Target]:
    """Pickles that would leave a file behind, were any of them run: as batches of CIFAR-10, and mutated."""
    folder = root / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps({"data": Program(root / "it-ran"), "labels": [0]}))

    def ran(*_: object) -> bool:
        return False  # nothing of this kind may be read at all

    return [
        Target(f"cifar {name}", folder / name, lambda: sets.load("cifar10"), ran)
        for name in ("data_batch_1", "test_batch", "batches.meta")
    ]
