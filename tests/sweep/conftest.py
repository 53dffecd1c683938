"""What the tests of the sweep share."""

from __future__ import annotations

import os

import pytest
import sweeps


@pytest.fixture(scope="session")
def snakemake() -> str:
    """Snakemake of .venv-sweep; without it the tests are skipped, but not in CI."""
    if not sweeps.SNAKEMAKE.exists():
        reason = "there is no .venv-sweep; `make setup` makes it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return str(sweeps.SNAKEMAKE)
