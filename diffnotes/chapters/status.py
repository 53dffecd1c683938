"""What the book shows, and whether it still holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffnotes import store
from diffnotes.chapters import every, find, pages


@dataclass(frozen=True)
class Row:
    """One line of `status`: what the book shows for some settings of an experiment."""

    experiment: str
    settings: Mapping[str, Any]
    profile: str
    state: str
    reason: str
    figures: tuple[str, ...]  # "page#figure", of all settings of the experiment together
    command: str = ""  # makes a heavier profile that nobody has pinned yet
    cost: str = ""  # of that command

    def title(self) -> str:
        """'loss_curve dataset=cifar10'."""
        return " ".join([self.experiment, *(f"{k}={v}" for k, v in self.settings.items())])


def rows(name: str | None = None) -> list[Row]:
    """The state of everything that the book shows, or of one experiment. UserError where there is no book."""
    store.root()  # told once, not of every row
    experiments, figures = [find(name)] if name else every(), pages.figures()
    return [
        _row(experiment, shown, figures.get(experiment.name, ()))
        for experiment in experiments
        for shown in experiment.shown
    ]


def checked(record: store.Record) -> store.Record:
    """A record with its state, whatever its experiment."""
    return store.checked(record, find(record.experiment))


def pinned() -> list[store.Record]:
    """Every pinned record that can be read, with its state."""
    found = []
    for experiment in every():
        entries = [entry for entry in store.index() if entry.experiment == experiment.name]
        found += [store.checked(entry.read(), experiment) for entry in entries if entry.readable()]
    return found


def _row(experiment: store.Experiment, shown: Mapping[str, Any], figures: tuple[str, ...]) -> Row:
    """The pinned record of the best profile under these settings, or why there is none."""
    settings = store.request(experiment, store.PINNED, shown).settings
    record = None
    try:
        record = store.best(experiment, settings)
        found = store.state(record, experiment) if record else store.State("missing", "nothing is pinned")
    except store.Lost as error:
        found = store.State("missing", str(error))
    except store.Tampered as error:
        found = store.State("tampered", str(error))
    except Exception as error:  # whatever it is, it must not hide the state of the others
        found = store.State("stale", f"cannot be checked ({type(error).__name__}: {error})")
    profile = record.profile if record else "-"
    heavier = _heavier(experiment, settings, profile)
    return Row(experiment.name, settings, profile, found.name, found.reason, figures, *heavier)


def _heavier(experiment: store.Experiment, settings: Mapping[str, Any], have: str) -> tuple[str, str]:
    """The best profile above the one pinned: its command and its cost."""
    for profile in store.RANK:
        if profile == have:
            break
        if profile in experiment.profiles:
            return experiment.command(profile, settings), experiment.cost(profile)
    return "", ""
