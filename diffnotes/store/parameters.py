"""What a notebook asks for: the values that it names, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffnotes.base.errors import quoted
from diffnotes.store import cells
from diffnotes.store.spec import PINNED, Request, SpecError, known, request

if TYPE_CHECKING:
    from diffnotes.store.experiment import Experiment


def parameters(
    *experiments: Experiment, profile: str, also: Sequence[Experiment] = (), **settings: Any
) -> Request:
    """The Request of a notebook: `store.parameters(EXPERIMENT, profile=profile, seed=seed)`.

    Name every result that the notebook loads: `experiments` take the settings, each of them all; those in
    `also` follow the profile alone. A profile must exist for all of both. SpecError says in one sentence what
    does not fit, and what is valid.

    A value of None is that of the profile. The values are the keywords' and nothing else's. In a notebook its
    cells are compared with them: a name that is assigned there and that no keyword takes, as papermill would
    add, is an error too.
    """
    cells.check({"profile": profile, **settings})
    names = _shared([experiment.spec.names() for experiment in experiments])
    for name in settings:
        known(name, names, "profile")
    _check_profile(profile, [*experiments, *also])
    given = {name: value for name, value in settings.items() if value is not None}
    asked = [request(experiment, profile, given) for experiment in experiments]
    return asked[0] if asked else Request(profile, {})


def _shared(lists: Sequence[Sequence[str]]) -> list[str]:
    """What is in all of the lists, in the order of the first."""
    return [name for name in (lists[0] if lists else []) if all(name in names for names in lists)]


def _check_profile(profile: Any, experiments: Sequence[Experiment]) -> None:
    """A profile of a notebook is one that all of its results have."""
    offered = [PINNED, *_shared([list(experiment.profiles) for experiment in experiments])]
    if isinstance(profile, str) and profile in offered:
        return
    some = ", ".join(experiment.name for experiment in experiments if profile in list(experiment.profiles))
    alone = f", which exists for {some} alone" if some else ""
    raise SpecError(f"profile must be one of {', '.join(offered)}; not {quoted(profile)}{alone}.")
