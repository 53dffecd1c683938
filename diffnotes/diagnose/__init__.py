"""A report on a reader's own diffusion model: does it underfit, overfit, copy?

    from diffnotes.adapters import adapt
    from diffnotes.data.given import given
    from diffnotes.diagnose import diagnose

    report = diagnose(adapt("runs/my-unet"), given("photos"), given("kept-out"))
    print(report)                    # the findings, the most important first
    report.save("report")            # report.html, arrays.npz, record.json

All losses are mean squared errors of x0 per dimension, with images in [-1, 1].
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffnotes.adapters import Adapted, adapt
from diffnotes.base import files, runtime
from diffnotes.base.errors import UserError
from diffnotes.base.shapes import Num, Tensor, checked
from diffnotes.data import Dataset
from diffnotes.diagnose.findings import Remark, findings
from diffnotes.diagnose.measure import measured
from diffnotes.diagnose.report import page
from diffnotes.diagnose.subject import Settings, Subject, identity
from diffnotes.store import Arrays, Work

__all__ = ["Diagnosis", "Remark", "Settings", "diagnose"]

UNIT = "squared error of x0 per dimension, images in [-1, 1]"


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The numbers of a report (`arrays`), what they say (`findings`), and what they are of (`about`)."""

    arrays: Arrays
    findings: tuple[Remark, ...]
    about: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"{self.about['model']}: {self.findings[0].text}", ""]
        for one in self.findings:
            lines += [f"[{one.word}] {one.text}"] + ([f"    {one.advice}"] if one.advice else [])
        return "\n".join([*lines, *(f"note: {note}" for note in self.about["notes"])])

    def html(self) -> str:
        """One page that needs nothing else: no network, no script."""
        return page(self.arrays, self.findings, self.about)

    def _repr_html_(self) -> str:
        return self.html()

    def save(self, folder: str | Path) -> Path:
        """Write report.html, arrays.npz and record.json; returns the path of the report."""
        place = files.folder_named(folder)
        said = {"about": self.about, "findings": [asdict(one) for one in self.findings]}
        files.save_npz_atomic(place / "arrays.npz", self.arrays)
        text = json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False)
        files.write_atomic(place / "record.json", (text + "\n").encode())
        files.write_atomic(place / "report.html", self.html().encode())
        return place / "report.html"


@checked()
def diagnose(
    denoiser: Adapted | Callable[..., Tensor],
    train: Dataset,
    held_out: Dataset | None = None,
    *,
    samples: Num[Tensor, "m ..."] | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
    labels: bool | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    max_seconds: float | None = None,
) -> Diagnosis:
    """Every instrument of the book on one model; see `Settings` for how much is measured.

    denoiser: what `adapt` gives, or anything that it takes. train: what it was trained on; held_out: images
    that it was not trained on. samples [m, ...]: those that are there already, in place of ones that are made
    here. features: (images [b, ...] in [-1, 1]) -> [b, k], for distances beside those of pixels. labels:
    whether the model is told the class of every image; None: if it cannot do without.

    folder: where parts are kept, so that the same call goes on when it was stopped; max_seconds: after so
    many it stops by itself and raises Unfinished.

    Raises UserError for images, samples or labels that do not fit the model.
    """
    model = denoiser if isinstance(denoiser, Adapted) else adapt(denoiser)
    told = model.needs_label if labels is None else labels
    where = runtime.device()
    subject = Subject(
        model.to(where), train, held_out, told, samples, features, where, settings or Settings()
    )
    _fit(subject)
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            arrays = _measured(subject, Path(place), max_seconds)
    else:
        arrays = _measured(subject, files.folder_named(folder) / "parts" / identity(subject), max_seconds)
    return Diagnosis(arrays, findings(arrays), _about(subject))


def _measured(subject: Subject, folder: Path, max_seconds: float | None) -> Arrays:
    work = Work(folder, max_seconds, f"diagnose {subject.model.name}")
    try:
        return measured(subject, work)
    finally:
        work.close()


def _about(subject: Subject) -> dict[str, Any]:
    held = subject.held_out
    return {
        "model": subject.model.name, "notes": list(subject.model.notes), "identity": subject.model.identity,
        "train": [subject.train.name, len(subject.train), subject.train.fingerprint],
        "held_out": None if held is None else [held.name, len(held), held.fingerprint],
        "shape": list(subject.shape), "unit": UNIT, "settings": asdict(subject.settings),
        "device": runtime.device_name(subject.where) or "CPU",
    }  # fmt: skip


def _fit(subject: Subject) -> None:
    """UserError unless images, classes and samples fit the model."""
    model, shape = subject.model, subject.shape
    if len(subject.train) < 3:
        raise UserError(f"There are {len(subject.train)} training images; a report needs at least 3.")
    held = subject.held_out
    sets: dict[str, Tensor | None] = {
        "training": subject.train.values, "held-out": None if held is None else held.values,
        "sampled": subject.given,
    }  # fmt: skip
    for name, values in sets.items():
        if values is None:
            continue
        if model.shape is not None and tuple(values.shape[1:]) != model.shape:
            raise UserError(
                f"{model.name} denoises images {_by(model.shape)}, and the {name} images are "
                f"{_by(tuple(values.shape[1:]))}; bring them to that size."
            )
        if tuple(values.shape[1:]) != shape:
            raise UserError(
                f"The training images are {_by(shape)}, and the {name} images "
                f"{_by(tuple(values.shape[1:]))}; "
                "give images of one size."
            )
    if held is not None and len(held) < 3:
        raise UserError(f"There are {len(held)} held-out images; give at least 3, or none.")
    if subject.labelled:
        _classes_fit(subject)


def _classes_fit(subject: Subject) -> None:
    model, held = subject.model, subject.held_out
    if not model.classes:
        raise UserError(f"{model.name} knows no classes, so it can be told none; leave labels out.")
    known = subject.train.labels
    if not 0 <= int(known.min()) <= int(known.max()) < model.classes:
        raise UserError(
            f"{model.name} knows classes 0 to {model.classes - 1}, and the training images have "
            f"{int(known.min())} to {int(known.max())}; give labels that it knows."
        )
    strange = set(held.labels.tolist()) - set(known.tolist()) if held is not None else set()
    if strange:
        raise UserError(f"No training image is of class {min(strange)}, of which there are held-out images.")


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
