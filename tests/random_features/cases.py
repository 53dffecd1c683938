"""Records on which the claims of Bonnaire et al. hold and fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from fakes import record

from diffnotes.store import Record

PSI_N = np.array([4, 8, 16])
THEORY = 1.05


TAU = np.geomspace(0.1, 1000, 60)


def fake(onset: tuple[float, ...] = (1.05, 1.06, 1.04), error: float = -0.6, good: float = 0.0) -> Record:
    """A law with these powers; the seeds differ a little. The score gets good at times in
    proportion to N^good."""
    clock = TAU / 10 / (PSI_N[:, None, None] / 4.0) ** (good + np.array([-0.005, 0.005])[:, None])
    score_error = 0.1 + np.exp(-clock)
    spread = np.array([0.0, -0.02, 0.02])
    opening = 10.0 * (PSI_N / 4.0)[:, None] ** onset
    return record({
        "psi_n": PSI_N, "threshold": [0.02, 0.05, 0.1], "tau_memorize": 500.0 * (PSI_N / 4.0) ** THEORY,
        "tau_exponent": THEORY,
        "onset": np.repeat(opening[:, None], 2, 1), "onset_exponent": np.array(onset)[:, None] + spread,
        "score_error": score_error, "least_error": score_error.min(-1), "tau": TAU, "tau_generalize": 15.0,
        "least_error_exponent": error + spread,
    })  # fmt: skip


CLAIMS = ("bonnaire-onset", "bonnaire-error", "bonnaire-early")
HOLDS: dict[str, Callable[[], Record]] = dict.fromkeys(CLAIMS, fake)
FAILS: dict[str, Callable[[], Record]] = {
    "bonnaire-onset": partial(fake, (1.5, 0.9, 1.2)),
    "bonnaire-error": partial(fake, error=-0.4),
    "bonnaire-early": partial(fake, good=0.5),
}
