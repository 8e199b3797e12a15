"""Conditions within one search space: checks, order of drawing, and simplification by published values."""

from collections.abc import Iterable, Mapping
from typing import Any

from leigh_mlops.settings.base import KeyedError, quote_value, suggest_key
from leigh_mlops.settings.domains import Choice, Domain, Range, has_wanted_value, hyperparameter_value
from leigh_mlops.settings.training_settings import ARCHITECTURE, JOINT

__all__ = ["check_conditions", "can_draw_together", "drawing_order", "resolve_conditions"]

Space = Mapping[str, Domain]
Flat = Mapping[str, Any]


def _source(key: str, space: Iterable[str], published: Flat) -> str | None:
    """Hyperparameter of the space from which the value of a condition's key is drawn, if there is one."""
    if key in space:
        return key
    inside = key.startswith(ARCHITECTURE) and key not in published and JOINT in space
    return JOINT if inside else None


def drawing_order(space: Space, published: Flat) -> list[str]:
    """Keys in their given order, except that what a condition names comes before what it conditions.

    Raises:
        KeyedError: Conditions depend on each other.
    """
    done: list[str] = []
    waiting = list(space)
    while waiting:
        sources = {key: {_source(name, space, published) for name in space[key].when} - {None} for key in waiting}
        ready = next((key for key in waiting if sources[key] <= set(done)), None)
        if ready is None:
            raise KeyedError(
                f"space.{waiting[0]}: the conditions of {', '.join(waiting)} depend on each other; remove one.",
                "space",
                waiting[0],
                "when",
            )
        waiting.remove(ready)
        done.append(ready)
    return done


def check_conditions(space: Space, published: Flat) -> None:
    """Reject conditions that name unknown keys, can never be met, or depend on each other.

    Raises:
        KeyedError: A condition is invalid; the error has the path of keys to it.
    """
    for key, domain in space.items():
        for name, wanted in domain.when.items():
            reason = _refusal(name, wanted, space, published)
            if reason:
                raise KeyedError(f"space.{key}: the condition on {name} {reason}", "space", key, "when", name)
    drawing_order(space, published)


def _refusal(name: str, wanted: list[Any], space: Space, published: Flat) -> str:
    if name == JOINT:
        return "refers to all parts at once; name one of them, such as architecture.head."
    if name == "precision" and "auto" in wanted:
        return "requires auto, which a search decides as it begins; leave the condition out."
    source = _source(name, space, published)
    domain = space[source] if source else None
    if isinstance(domain, Range) and not domain.integer:
        return "can't be met: it is drawn from a range without steps; give it a list of choices."
    configs = [{source: value} for value in domain.values] if isinstance(domain, Choice) else [dict(published)]
    possible = _values(configs, name)
    if not possible:
        return f"names neither a hyperparameter of the space nor a published one; {suggest_key(name, published)}"
    holds = domain.contains if isinstance(domain, Range) else possible.__contains__
    for value in wanted:
        if not holds(value):
            return f"requires {quote_value(value)}, not one of its values {', '.join(map(quote_value, possible))}."
    return ""


def _values(configs: list[dict[Any, Any]], name: str) -> list[Any]:
    found = []
    for config in configs:
        try:
            found.append(hyperparameter_value(config, name))
        except KeyError:
            continue
    return found


def can_draw_together(choice: Flat, space: Space, published: Flat) -> bool:
    """Return whether values can be drawn together: each that differs from the published one needs its conditions met.

    Conditions on what is drawn, but not among ``choice``, count as met.
    """
    config = {**published, **choice}
    for key, value in choice.items():
        for name, wanted in space[key].when.items():
            source = _source(name, space, published)
            if (
                value != published[key]
                and (source is None or source in choice)
                and not has_wanted_value(config, name, wanted)
            ):
                return False
    return True


def resolve_conditions(space: Space, published: Flat) -> dict[str, Domain]:
    """Remove the conditions that published values decide, and the hyperparameters that they leave undrawn."""
    kept: dict[str, Domain] = {}
    left = dict(space)
    for key in drawing_order(space, published):
        decided = {name: wanted for name, wanted in space[key].when.items() if not _source(name, left, published)}
        if all(has_wanted_value(published, name, wanted) for name, wanted in decided.items()):
            when = {name: wanted for name, wanted in space[key].when.items() if name not in decided}
            kept[key] = space[key].model_copy(update={"when": when})
        else:
            del left[key]
    return {key: kept[key] for key in space if key in kept}
