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
from diffnotes.base.shapes import Num, Tensor, checked
from diffnotes.data import Dataset
from diffnotes.diagnose.measure import measured
from diffnotes.diagnose.subject import Settings, Subject, identity, subject_of
from diffnotes.report.findings import Remark, findings
from diffnotes.report.page import page
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
    subject = subject_of(
        model, train, held_out, samples=samples, features=features, labels=labels, settings=settings
    )
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
