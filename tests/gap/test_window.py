"""Networks that see windows of an image, and how far a prediction looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from slices import in_slices, same

from diffnotes import store
from diffnotes.chapters.gap import window, window_figures
from diffnotes.chapters.gap import window_readings as readings

TINY = window.WindowSpec(
    n=20, held_out=16, windows=(4,), width=8, steps=4, batch=8, horizon=2, levels=4, images=2, seeds=(0, 1),
)  # fmt: skip


def test_windows_are_the_corners_and_overlaps_are_averaged():
    x = torch.arange(64.0).view(1, 1, 8, 8)

    def centred(part: torch.Tensor, sigma: float) -> torch.Tensor:
        return part - part.mean((2, 3), keepdim=True)

    found = window.windowed(centred, 6)(x, 1.0)
    parts = {(r, c): centred(x[..., r : r + 6, c : c + 6], 1.0) for r in (0, 2) for c in (0, 2)}
    assert found[0, 0, 0, 0] == parts[0, 0][0, 0, 0, 0]  # in one window alone
    four = [parts[r, c][0, 0, 3 - r, 4 - c] for r in (0, 2) for c in (0, 2)]
    assert torch.isclose(found[0, 0, 3, 4], torch.stack(four).mean())
    assert window.windowed(centred, 8) is centred


def test_a_window_hides_what_is_outside():
    """The prediction at the first pixel is a function of the first window alone."""
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    made = window.windowed(lambda part, sigma: part.sum((2, 3), keepdim=True).expand_as(part), 4)(x, 1.0)
    (slope,) = torch.autograd.grad(made[:, 0, 0, 0].sum(), x)
    assert (slope[:, 0, :4, :4] == 1).all()
    assert slope.sum() == 2 * 16


def test_the_range_is_a_mean_distance():
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(window.looking(lambda x, sigma: 2 * x, x, 1.0), torch.zeros(3).double())
    everywhere = window.looking(lambda x, sigma: x.mean((1, 2, 3), keepdim=True).expand_as(x), x, 1.0)
    assert torch.allclose(everywhere, torch.full((3,), readings.even(8)).double())
    beside = window.looking(lambda x, sigma: -3 * x.roll(1, 3), x, 1.0)
    mean = (7 * 1 + 7) / 8  # seven columns look at their neighbour, the first one at the last
    assert torch.allclose(beside, torch.full((3,), mean).double())


@pytest.mark.parametrize("windows", [(5,), (8,), (6, 7)])
def test_a_window_that_cannot_be_halved_is_refused(windows):
    with pytest.raises(store.SpecError, match="must be even"):
        window.WindowSpec(windows=windows)


def test_slices_give_the_same_record(tmp_path):
    whole = window.compute(TINY, store.Work(tmp_path / "whole"))
    pieces, turns = in_slices(window.compute, TINY, tmp_path / "slices")
    assert turns > 2
    assert same(whole, pieces)
    assert whole["gap"].shape == (2, 3, 4)  # the whole image, windows of it, a network of windows
    assert whole["range"].shape == (2, 2, 4)
    assert whole["trained"].tolist() == [8, 8, 4]
    assert whole["window"].tolist() == [8, 4, 4]


def test_figure(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFNOTES_ROOT", str(tmp_path))
    record = replace(store.run(window.EXPERIMENT, "smoke"), state="valid")
    figure = window_figures.gap_by_window(record)
    assert "With windows of 4 pixels" in figure.caption.finding
    assert np.isfinite(readings.errors(record, readings.local(record))).all()
    assert record.key in figure._repr_html_()
