"""Tables of chapter 2's networks: settings, and errors with what gives them a size."""

from __future__ import annotations

import numpy as np

from diffnotes.chapters.selective import findings, readings
from diffnotes.chapters.selective.readings import COMMON, GAUSSIAN, OWN, TRAINING, UNTRAINED
from diffnotes.show.labels import images, minus
from diffnotes.show.style import BookTable, book_figure
from diffnotes.store import Record


@book_figure
def selective_settings(*records: Record) -> BookTable:
    """What was trained, and how long."""
    header = ("run", "widths", "parameters", "steps", "batch", "rate", "precision", "seeds", "minutes")
    return BookTable(
        *records, header=header, rows=[_settings(record) for record in records],
        shows="Settings of the runs. A tenth of every batch is told no class. Minutes are those of all "
        "networks and seeds, with what is measured.",
    )  # fmt: skip


def _settings(record: Record) -> tuple[str, ...]:
    spec, counts = record.spec, record["parameters"]
    return (
        findings.name(record), ", ".join(map(str, record["width"])), f"{counts[0]:,} to {counts[-1]:,}",
        f"{int(record['step'][-1]):,}", f"{spec['batch']}", f"{spec['rate']:g}", spec["precision"],
        f"{record['error'].shape[1]}", f"{record.meta.get('seconds', 0) / 60:.0f}",
    )  # fmt: skip


@book_figure
def selective_errors_table(record: Record) -> BookTable:
    """Errors of every network at the last snapshot, beside denoisers that need no training."""
    header = ("denoiser", "noised training images", "the same, velocity", "common trajectories",
              "own trajectories", "copies")  # fmt: skip
    rows = [_untrained(record, guide) for guide in (UNTRAINED, GAUSSIAN)]
    rows += [_network(record, k) for k in range(len(record["width"]))]
    rows += [_contrast(record), ("exact denoiser", "0", "0", "0", "0", "–")]
    return BookTable(
        record, header=header, rows=rows, finding=findings.guide_text(record),
        shows="Squared errors per dimension against the exact denoiser of the class, in the mean over t and "
        "seeds at the last snapshot; of the velocity, in the paper's unit, where its mean over t exists. "
        "Of own trajectories, the median one. Copies: generated images three times closer to one training "
        "image than to any other. The errors of "
        f"the network on {images(record, 'tiny')} are against the exact denoiser of these.",
    )  # fmt: skip


def _number(values: np.ndarray) -> str:
    return f"{values.mean():.3g}"


def _untrained(record: Record, guide: int) -> tuple[str, ...]:
    known, far = (readings.guide_error(record, guide, point) for point in (TRAINING, COMMON))
    velocity = readings.guide_velocity_error(record, guide)
    name = "Gaussian denoiser" if guide == GAUSSIAN else "velocity 0"
    return name, _number(known), _number(velocity), _number(far), "–", "–"


def _network(record: Record, k: int) -> tuple[str, ...]:
    errors = [_number(readings.error(record, point)[k, :, -1]) for point in (TRAINING, COMMON, OWN)]
    velocity = _number(readings.velocity_error(record)[k, :, -1])
    share = f"{100 * readings.copies(record)[k].mean():.0f} %"
    return f"network, {readings.sizes(record)[k]}", errors[0], velocity, *errors[1:], share


def _contrast(record: Record) -> tuple[str, ...]:
    errors = [_number(readings.error(record, p, prefix="tiny_")[:, -1]) for p in (TRAINING, COMMON, OWN)]
    velocity = _number(readings.velocity_error(record, prefix="tiny_")[:, -1])
    share = f"{100 * readings.copies(record, 'tiny_').mean():.0f} %"
    return f"network on {images(record, 'tiny')}", errors[0], velocity, *errors[1:], share


@book_figure
def selective_steps_table(*records: Record) -> BookTable:
    """Trends of the errors over compute, ours and the paper's."""
    header = ("run", "noised training images", "common trajectories", "own trajectories")
    paper = [
        f"{readings.paper_trend(values):+.2f} %"
        for values in (readings.PAPER_SUPERVISED, readings.PAPER_EXTRAPOLATED)
    ]
    rows: list[tuple[str, ...]] = [("paper, ImageNet latents", *paper, "–")]
    rows += [
        (findings.name(record), *(_trend(record, point) for point in (TRAINING, COMMON, OWN)))
        for record in records
    ]  # fmt: skip
    return BookTable(
        *records, header=header, rows=[(first, *map(minus, rest)) for first, *rest in rows],
        finding=f"The paper’s ten points change by {minus(paper[0])} and {minus(paper[1])}, without seeds or "
        "intervals.",
        shows=f"Change of the error over {readings.PAPER_RANGE:.0f} times the compute, with intervals over "
        "seeds. The paper does not say whether trajectories are common or own, and has one value.",
    )  # fmt: skip


def _trend(record: Record, point: int) -> str:
    mean, low, high = readings.trend(record, point)
    return f"{mean:+.1f} %" if np.isnan(low) else f"{mean:+.1f} % ({low:+.1f} to {high:+.1f})"
