"""The book's own features: how good their classifier is, and what every metric says of sets we know."""

from __future__ import annotations

import numpy as np

from diffnotes.show.style import BookTable, Finding, book_figure, plus_minus
from diffnotes.store import Record

NAMES = {"digits": "digits", "cifar10": "CIFAR-10", "specimens": "specimens"}
SETS = {
    "train": "other training images",
    "test": "held-out images",
    "copies": "exact copies",
    "noisy": "copies with noise",
    "blurred": "blurred copies",
    "flipped": "mirrored copies",
    "noise": "noise",
    "tenth": "held-out, a tenth noisy copies",
}
MEDIAN, LOW, HIGH = 0.5, 0.05, 0.95


@book_figure
def calibration(record: Record, side: int = 32) -> BookTable:
    """What each metric says of each kind of set against the same training images, at `side` pixels."""
    place, spec = _place(record, side), record.spec
    header = ("set", "ρ < 1/3", "largest cosine similarity", "sliced Wasserstein", "Fréchet")
    rows = [_row(record, place, k) for k in range(len(record["kind"]))]
    return BookTable(record, header=header, rows=rows, note=(
        f"{spec['count']:,} images of each set against {spec['count']:,} training images of "
        f"{NAMES[spec['dataset']]} at {side} × {side} pixels; noise on copies: σ = {spec['noise']:g}. "
        f"Similarity: median and the middle 90 % of images. Shares: 95 % interval. Distances: ± half the "
        f"width of the middle 95 % of resampled sets. Where that range lies is not shown: "
        f"a resampled set repeats images and leaves others out, which makes every distance larger, that of "
        f"exact copies too"
    ))  # fmt: skip


def _place(record: Record, side: int) -> int:
    return list(map(int, record["side"])).index(side)


def _row(record: Record, place: int, kind: int) -> tuple[str, ...]:
    shares = 100 * record["copies"][place, kind]
    middle, low, high = similarity(record, place, kind)
    return (
        SETS[str(record["kind"][kind])],
        f"{shares[0]:.1f} % ({shares[1]:.1f} to {shares[2]:.1f})",
        f"{middle:.3f} ({low:.3f} to {high:.3f})",
        *(_spread(record[name][place, kind]) for name in ("wasserstein", "frechet")),
    )


def similarity(record: Record, place: int, kind: int) -> tuple[float, float, float]:
    """Median, 5 % and 95 % quantile over images of the largest cosine similarity to a training image."""
    values = np.interp((MEDIAN, LOW, HIGH), record["quantile"], record["similarity"][place, kind])
    return float(values[0]), float(values[1]), float(values[2])


def _spread(found: np.ndarray) -> str:
    """'0.121 ± 0.025' of (value, low, high): half the width of the resampled range.

    The range itself may leave out the value, as resampling moves a distance up; no interval of the value can
    be had from its ends, for a distance near zero least of all.
    """
    value, low, high = found.tolist()
    return plus_minus(value, (high - low) / 2)


def found(record: Record) -> Finding:
    """How often the classifier is right at both sizes, with binomial standard errors."""
    parts = zip(*(record[name] for name in ("side", "accuracy", "accuracy_stderr")), strict=True)
    each = [
        f"{100 * share:.1f} ± {100 * error:.1f} % at {side} × {side} pixels" for side, share, error in parts
    ]
    return Finding(record, text=(
        f"The classifier behind the features names {' and '.join(each)} of the {int(record['tested']):,} "
        f"test images of {NAMES[record.spec['dataset']]} rightly (± one standard error)."
    ))  # fmt: skip


def calibration_found(record: Record, side: int = 32) -> Finding:
    """What the share of copies, and the similarity, say of altered copies and of images that are none."""
    place, kinds = _place(record, side), list(map(str, record["kind"]))
    share = {kind: f"{100 * record['copies'][place, k, 0]:.1f} %" for k, kind in enumerate(kinds)}
    alike = {kind: f"{similarity(record, place, k)[0]:.3f}" for k, kind in enumerate(kinds)}
    return Finding(record, text=(
        f"At {side} × {side} pixels, ρ < 1/3 holds for {share['noisy']} of the noisy, {share['blurred']} of "
        f"the blurred and {share['flipped']} of the mirrored copies, and for {share['test']} of the held-out "
        f"images. The median largest similarity of features is {alike['flipped']} for mirrored copies and "
        f"{alike['test']} for held-out images."
    ))  # fmt: skip
