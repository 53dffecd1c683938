"""Sentences of the toy say what the record says, also when it says otherwise."""

from __future__ import annotations

from fakes import changed

from diffnotes import store
from diffnotes.chapters.toy import experiment, tables


def test_the_band_of_the_authors_draws_is_named() -> None:
    record = store.load(experiment.EXPERIMENT)
    assert "Their code draws one set per split." in str(tables.band_finding(record))
    assert "rises at every step" in str(tables.guidance_finding(record))
    fallen = changed(record, guidance_peak=record["guidance_peak"][::-1])
    assert "it does not rise at every step" in str(tables.guidance_finding(fallen))
