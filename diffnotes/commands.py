"""The commands on a reader's own model and images: `diagnose`, `optimal-loss` and `merge`.

Nothing heavy is imported before one of them runs, so that the command line answers at once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffnotes.base.errors import UserError, quoted

if TYPE_CHECKING:
    from diffnotes.data import Dataset
    from diffnotes.optimal_loss import LossCurve, LossSums

Say = Callable[[str], None]


def add(commands: Any, say: Say, seconds: Callable[[str], float]) -> None:
    """Add them to the subparsers of a command line; `say` prints a line."""
    made = commands.add_parser("diagnose", help=diagnose.__doc__, description=_LONG)
    made.set_defaults(action=lambda options: diagnose(options, say))
    _model(made)
    _images(made, "--train", "what the model was trained on: a folder of images, .npz, .npy, .parquet, a set")
    made.add_argument("--held-out", metavar="H", help="images that it was not trained on")
    made.add_argument(
        "--held-out-share", type=float, metavar="X",
        help="hold out this share of T, chosen by --seed: only if the model was trained without it",
    )  # fmt: skip
    made.add_argument("--samples", metavar="S", help="how many to make, or a file with the samples (256)")
    made.add_argument("--labels", action="store_true", help="tell the model the class of every image")
    made.add_argument("--draws", type=int, default=None, help="noisy images at each noise level (512)")
    made.add_argument("--levels", type=int, default=None, help="noise levels (16)")
    made.add_argument("--steps", type=int, default=None, help="Heun steps of the sampler (18)")
    made.add_argument("--features", metavar="NAME:SHA256", help="TorchScript features, for distances")
    made.add_argument("--seed", type=_seed, default=0, help="of draws, samples and the held-out share (0)")
    made.add_argument("--out", default="report", help="folder for report.html and its numbers (report)")
    made.add_argument("--max-seconds", type=seconds, help="stop after so long; the same command continues")
    made = commands.add_parser("optimal-loss", help=optimal_loss.__doc__, description=optimal_loss.__doc__)
    made.set_defaults(action=lambda options: optimal_loss(options, say))
    _images(made, "--data", "the training images: a folder, .npz, .npy, .parquet, or a set of the book")
    made.add_argument("--sigmas", help="noise levels, such as 0.1,1,10 (48 that suit the images)")
    made.add_argument("--labels", action="store_true", help="of a class-conditional model")
    made.add_argument("--sources", type=int, default=None, help="draws of a source image (4,096)")
    made.add_argument("--seed", type=_seed, default=0, help="of the draws (0)")
    made.add_argument("--draws", metavar="A:B", help="these draws alone, into a file for `merge`")
    made.add_argument("--out", help="folder for optimal-loss.npz, or for sums-A-B.npz with --draws")
    made = commands.add_parser("merge", help=merge.__doc__, description=merge.__doc__)
    made.set_defaults(action=lambda options: merge(options, say))
    made.add_argument("file", nargs="+", help="sums-A-B.npz of the same images, levels and seed")
    made.add_argument("--out", help="folder for optimal-loss.npz")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a seed is a whole number of at least 0, not {quoted(text)}")
    return int(text)


_LONG = (
    "A report on a diffusion model of your own: does it denoise, underfit, overfit, copy? The model is a "
    "folder that diffusers saved, module:function, a program (.pt, .pt2), or a file of save_denoiser."
)


def _model(made: argparse.ArgumentParser) -> None:
    made.add_argument("--model", required=True, metavar="M", help="folder, file, or module:function")
    made.add_argument(
        "--process", choices=("ve", "vp", "flow"),
        help="of a function that predicts --target; time runs from 0, without noise, to 1 (ve: sigma)",
    )  # fmt: skip
    made.add_argument(
        "--target", help="of a function: x0, eps, v, velocity (eps - x0), score or F; its labels by --classes"
    )
    made.add_argument(
        "--pixels", default="-1,1", choices=("-1,1", "0,1"), help="the range that the model was trained on"
    )
    made.add_argument("--classes", type=int, default=0, help="how many a function can be told (0)")
    made.add_argument("--context", metavar="FILE", help=".npy [classes, tokens, width] for cross-attention")
    made.add_argument("--sha256", help="of a program that you trust")


def _images(made: argparse.ArgumentParser, name: str, text: str) -> None:
    made.add_argument(name, required=True, metavar="T", help=text)
    made.add_argument("--side", type=int, default=0, help="bring images to this side (as they are)")
    made.add_argument("--grey", action="store_true", help="make colours grey")
    made.add_argument(
        "--values", default="-1,1", choices=("-1,1", "0,1", "as they are"),
        help="what floating-point arrays hold; as they are: latents",
    )  # fmt: skip


def _read(source: str, options: argparse.Namespace, split: str = "train") -> Dataset:
    from diffnotes.data.given import given

    return given(source, split=split, side=options.side, grey=options.grey, pixels=options.values)


def diagnose(options: argparse.Namespace, say: Say) -> None:
    """a report on your own model: does it underfit, overfit, copy?"""
    from diffnotes.adapters import adapt
    from diffnotes.data.given import same_classes, shown_as
    from diffnotes.diagnose import Settings
    from diffnotes.diagnose import diagnose as report_on

    context = _array(options.context) if options.context else None
    model = adapt(
        options.model, process=options.process, target=options.target, pixels=options.pixels,
        context=context, classes=options.classes, sha256=options.sha256,
    )  # fmt: skip
    train, held = _splits(options)
    if (options.labels or model.needs_label) and options.held_out:
        same_classes(options.train, options.held_out)
    say(f"{model.name}; trained on {shown_as(train.values)}; held out {len(held) if held else 'none'}")
    for note in model.notes:
        say(f"note: {note}")
    count, samples = _samples(options)
    wanted = {"draws": options.draws, "levels": options.levels, "steps": options.steps, "samples": count}
    settings = Settings(seed=options.seed, **{k: v for k, v in wanted.items() if v is not None})
    found = report_on(
        model, train, held, samples=samples, features=_features(options.features),
        labels=True if options.labels else None, settings=settings, folder=options.out,
        max_seconds=options.max_seconds,
    )  # fmt: skip
    path = found.save(options.out)
    say("")
    say(str(found))
    say("")
    say(str(path))


def _splits(options: argparse.Namespace) -> tuple[Dataset, Dataset | None]:
    """The training images, and those held out."""
    from diffnotes.data.given import split

    if options.held_out and options.held_out_share is not None:
        raise UserError("Give --held-out or --held-out-share, not both.")
    train = _read(options.train, options)
    if options.held_out_share is not None:
        return split(train, options.held_out_share, options.seed)
    if not options.held_out:
        return train, None
    same = options.held_out == options.train
    return train, _read(options.held_out, options, "validation" if same else "train")


def _samples(options: argparse.Namespace) -> tuple[int | None, Any]:
    """How many samples to make, or those of a file."""
    text = options.samples
    if text is None:
        return None, None
    if text.isdecimal():
        return int(text), None
    return None, _read(text, options).x


def _array(path: str) -> Any:
    import numpy as np
    import torch

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); give a .npy file.") from error
    if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.floating):
        raise UserError(f"{path} holds no array of floating-point numbers; give a .npy file of them.")
    return torch.from_numpy(found.astype(np.float32))


def _features(named: str | None) -> Any:
    if named is None:
        return None
    from diffnotes.networks import extract, load_torchscript

    name, _, digest = named.partition(":")
    module = load_torchscript(name, digest)
    return lambda x: extract(module, x)


def optimal_loss(options: argparse.Namespace, say: Say) -> None:
    """the loss that training can reach on your images, and the noise levels to train on"""
    from diffnotes import optimal_loss as estimators
    from diffnotes.base.runtime import device, process_group
    from diffnotes.data.given import shown_as
    from diffnotes.process import noise_levels

    group, images = process_group(), _read(options.data, options)
    values, size = images.values.to(device()), images.values[0].numel()
    scale = float(images.x.std(0, correction=0).square().mean().sqrt())
    if not scale > 0:
        raise UserError("All images are the same; give at least two different ones.")
    levels = _levels(options.sigmas) if options.sigmas else noise_levels(48, 0.01 * scale, 200 * scale)
    labels = images.labels if options.labels else None
    shared: dict[str, Any] = {"seed": options.seed, "progress": group.rank == 0, "group": group}
    if options.draws:
        draws = _draws(options)
        sums = estimators.accumulate(values, levels, draws, **shared)
        if group.rank == 0:
            say(str(_keep(sums, draws, images, options)))
        return
    if group.size == 1:
        _foretell(values, levels, labels, options.sources)
    curve = estimators.optimal_loss(values, levels, sources=options.sources, labels=labels, **shared)
    if group.rank == 0:
        if not options.sigmas:
            mean, variance = curve.mean.cpu() / size, curve.variance / size
            for line in _loops(images, levels, mean, variance, options.seed):
                say(line)
        say(f"{shown_as(images.values)}; {UNITS}")
        _tell(curve, size, len(images), options, say)


UNITS = "losses are squared errors of x0 per dimension, images in [-1, 1]"


def _tell(curve: LossCurve, size: int, count: int, options: argparse.Namespace, say: Say) -> None:
    """The curve as a table, what is read off it, and a file with it if one is wanted."""
    import torch

    from diffnotes.base import files
    from diffnotes.optimal_loss import FEW
    from diffnotes.schedule import LossGapLaw

    levels, mean, error = curve.sigma.cpu(), curve.mean.cpu() / size, curve.stderr.cpu() / size
    few = (curve.effective < FEW).tolist()
    say(f"{'sigma':>10} {'optimal loss':>14} {'± 2 s.e.':>10} {'as eps loss':>12}")
    for sigma, value, spread, rare in zip(levels.tolist(), mean.tolist(), error.tolist(), few, strict=True):
        say(f"{sigma:>10.4g} {value:>14.4g} {2 * spread:>10.1g} {value / sigma**2:>12.4g}{' *' * rare}")
    if any(few):
        say(
            f"* comes from fewer than {FEW} of the images drawn, those with another one within reach of the "
            "noise: in most runs such a loss, and its error, are too small. More draws help."
        )
        if not options.sigmas:
            say("What is read off below depends on the larger losses alone.")
    if options.sigmas:  # there may be too few for what is read off a curve
        say("Without --sigmas: what a loss can reach, sigma*, the check of the area, levels to train on.")
    else:
        for line in _said(curve, LossGapLaw.of(curve, size), count, options.labels):
            say(line)
    if options.out:
        path = files.folder_named(options.out) / "optimal-loss.npz"
        variance = torch.tensor(curve.variance / size)
        arrays = {"sigma": levels, "optimal": mean, "stderr": error, "variance": variance}
        files.save_npz_atomic(path, {name: value.numpy() for name, value in arrays.items()})
        say(str(path))


# ---------------------------------------------------------------------------------- draws of several machines


def _draws(options: argparse.Namespace) -> range:
    """The draws that --draws names, which go into a file of their own."""
    found = re.fullmatch("([0-9]{1,12}):([0-9]{1,12})", options.draws)
    start, stop = map(int, found.groups()) if found else (0, 0)
    if start >= stop:
        raise UserError(
            f"--draws takes the first and the one after the last, as 0:2048; not {quoted(options.draws)}."
        )
    if options.labels or options.sources is not None:
        other = "--labels" if options.labels else "--sources"
        raise UserError(f"--draws does not go with {other}; leave one of them out.")
    if not options.out:
        raise UserError("--draws needs --out, the folder for the file with the sums, which `merge` reads.")
    return range(start, stop)


def _keep(sums: LossSums, draws: range, images: Dataset, options: argparse.Namespace) -> Path:
    """Write the sums, with what tells whether others belong to them."""
    import numpy as np

    from diffnotes.base import files

    named = replace(sums, origin=f"{sums.origin}, images {images.fingerprint[:16]}")
    path = files.folder_named(options.out) / f"sums-{draws.start}-{draws.stop}.npz"
    more = {"size": np.array(images.values[0].numel()), "whole": np.array(not options.sigmas)}
    files.save_npz_atomic(path, named.to_arrays() | more)
    return path


def merge(options: argparse.Namespace, say: Say) -> None:
    """one curve from the draws of several machines, each a file of `optimal-loss --draws`"""
    from functools import reduce
    from operator import add as plus

    parts, kinds = zip(*map(_kept, options.file), strict=True)
    if len(set(kinds)) > 1:
        raise UserError("These files are of images of other sizes, or not all with the same --sigmas.")
    sums, (size, whole) = reduce(plus, parts), kinds[0]
    ranges = ", ".join(f"{start:,} to {stop:,}" for start, stop in sums.drawn.tolist())
    say(f"{sums.draws:,} draws ({ranges}) from {sums.points:,} points in {size:,} dimensions; {UNITS}")
    if len(sums.drawn) > 1 or sums.drawn[0, 0] > 0:
        say("Draws are missing between these or before them; the errors are those of this many in a row.")
    options.sigmas, options.labels = not whole, False
    _tell(sums.curve(), size, sums.points, options, say)


def _kept(name: str) -> tuple[LossSums, tuple[int, bool]]:
    """What `_keep` wrote: the sums, the dimensions, and whether the levels suit the images."""
    from diffnotes.base import files
    from diffnotes.optimal_loss import LossSums

    try:
        arrays = files.npz_arrays(files.read_plain(files.folder_named(name)))
        size, whole = (arrays[word].reshape(()) for word in ("size", "whole"))
        if size.dtype.kind not in "iu" or size < 1 or whole.dtype.kind != "b":
            raise UserError("its size or its kind of levels is none.")
        return LossSums.from_arrays(arrays), (int(size), bool(whole))
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror or error}).") from error
    except (KeyError, ValueError) as error:  # UserError among them
        why = str(error) if isinstance(error, UserError) else "it is another file."
        raise UserError(f"{name} has no sums of `optimal-loss --draws`: {why}") from error


TIMED = 32  # draws that are timed beforehand


def _foretell(values: Any, levels: Any, labels: Any, sources: int | None) -> None:
    """Say what the computation will take, from a small part of it."""
    import time

    from diffnotes.base.terminal import tell
    from diffnotes.optimal_loss.estimate import DRAWS, optimal_loss

    count = DRAWS if sources is None else sources
    if count > 8 * TIMED:
        began = time.monotonic()
        optimal_loss(values, levels, sources=TIMED, labels=labels)
        seconds = (time.monotonic() - began) * count / TIMED
        long = f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{max(1, round(seconds))} s"
        tell(f"At most about {long}.")


def _loops(images: Dataset, levels: Any, best: Any, variance: float, seed: int) -> list[str]:
    """What a training loop can show, by copying the set and without."""
    from diffnotes.data import as_floats
    from diffnotes.data.sets import permutation
    from diffnotes.diagnose.measure import HALF
    from diffnotes.optimal_loss import in_loops, linear_loss

    count = min(len(images) // 2, HALF)
    order = permutation(len(images), seed)
    one, other = (as_floats(images.taken(order[k * count : (k + 1) * count]).values) for k in (0, 1))
    least, linear = (in_loops(levels, row, variance) for row in (best, linear_loss(one, other, levels)))
    lines = [f"  {name:<42} {least[name]:.4f} to {linear[name]:.4f}" for name in least]
    return [
        f"What a training loss can reach on these {len(images):,} images, as a mean per dimension: the first "
        "number only by copying them, the second already with a linear denoiser.", *lines,
    ]  # fmt: skip


def _said(curve: Any, law: Any, count: int, labelled: bool) -> list[str]:
    """The check of the area, sigma*, and a law of noise levels."""
    import math

    shares = law.probabilities(law.begin()).cumsum(0)
    ends = [float(law.centres()[int((shares >= at).nonzero()[0])]) for at in (0.1, 0.5, 0.9)]
    lines = [
        f"area of J*/sigma^2 over ln sigma: {curve.area:.3f} ± {2 * curve.area_stderr:.3f}; "
        f"ln n is {math.log(count):.3f}"
        + (" (less, by classes)" if labelled else ""),
        f"sigma* = {law.critical:.3g}: below, the optimum is under {100 * law.threshold:g} % of the "
        "variance, and only a copy of the training set reaches it",
        f"noise levels to train on (Xu et al., arXiv 2506.13763): median {ends[1]:.2g}, 80 % between "
        f"{ends[0]:.2g} and {ends[2]:.2g}; in a loop, diffnotes.schedule.LossGapSchedule draws them",
    ]  # fmt: skip
    return lines


def _levels(text: str) -> Any:
    import torch

    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"--sigmas takes numbers such as 0.1,1,10; not {quoted(text)}.") from None
    if len(set(found)) < len(found):
        raise UserError(f"--sigmas names a level twice: {quoted(text)}.")
    return torch.tensor(sorted(found), dtype=torch.float64)
