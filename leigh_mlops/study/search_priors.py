"""Configurations with which a search begins, taken from the best trials of earlier searches in the store."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Config, kept_metrics
from leigh_mlops.report.sentences import format_count
from leigh_mlops.settings import Choice, Range, SearchSpace
from leigh_mlops.tracking import Store
from leigh_mlops.tracking.runs import tag_text

__all__ = ["ALL_SEARCHES", "EarlierTrial", "clip_to_space", "find_first_configs", "rank_earlier_trials"]

ALL_SEARCHES = "all"
MOST_TRIALS = 3
"""Trials of a family that begin with earlier settings, so that most of a search is still drawn."""

_SIMILAR = ("classes", "channels")


@dataclass(frozen=True)
class EarlierTrial:
    """Trial of an earlier search.

    Attributes:
        search: Run of its search.
        data: Name of the images.
        name: Name of the trial.
        score: Its validation score.
        config: Its configuration, clipped to the space of the new search.
    """

    search: str
    data: str
    name: str
    score: float
    config: Config


def find_first_configs(
    store: Store,
    which: str,
    spaces: Sequence[SearchSpace],
    about: Mapping[str, Any],
    console: Console,
) -> dict[str, list[Config]]:
    """Find the configurations with which each family begins after the published one; they are printed.

    Args:
        store: Store with the earlier searches.
        which: Run of an earlier search, or ``all`` for those on images of the same classes and channels.
        spaces: Search space of each family.
        about: Images of the new search: their ``classes`` and ``channels``, and their `DataFacts`.
        console: Console to print to.

    Returns:
        Configurations by family; a family without any is left out.

    Raises:
        LeighError: No family has any.
    """
    similar = _similar_searches(store, which, about)
    fair = [each for each in similar if _is_fair(each["tags"], about)]
    searches = [each | {"trials": store.child_records(store.get_run(each["id"]))} for each in fair]
    if unfair := len(similar) - len(fair):
        console.print(
            f"{unfair} of {len(similar)} earlier searches left out: the same images were split otherwise, so that they "
            "may have chosen on wells that are tested now."
        )
    found = {space.family: rank_earlier_trials(space, searches) for space in spaces}
    if not any(found.values()):
        what = "no earlier search" if which == ALL_SEARCHES else f"no search with the run {which}"
        raise LeighError(
            f"--prior {which}: {store.location} holds {what} on images of the classes {', '.join(about['classes'])} "
            f"and the channels {', '.join(about['channels'])} that may be used and in which a trial of "
            f"{' or '.join(found)} was better than the published one; leave it out."
        )
    for space in spaces:
        _print_trials(console, space, found[space.family])
    return {family: [trial.config for trial in trials] for family, trials in found.items() if trials}


def _print_trials(console: Console, space: SearchSpace, trials: Sequence[EarlierTrial]) -> None:
    if not trials:
        console.print(
            f"{space.family} begins without earlier settings: none in the store was better than the published ones.",
            markup=False,
        )
        return
    named = [f"{each.name} of {each.search} on {each.data} ({space.metric} {each.score:.4g})" for each in trials]
    count = format_count(len(trials), "earlier trial")
    console.print(f"{space.family} begins with the settings of {count}: {', '.join(named)}.", markup=False)


def _similar_searches(store: Store, which: str, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Searches on images of the same classes and channels, drawn ones apart from others, the newest first."""
    asked = {key: tag_text(list(about[key])) for key in _SIMILAR}
    return [
        each
        for each in store.search_records()
        if which in (ALL_SEARCHES, each["id"])
        and {key: each["params"].get(key) for key in _SIMILAR} == asked
        and each["tags"].get("demo") == tag_text(about["demo"])
    ]


def _is_fair(tags: Mapping[str, str], about: Mapping[str, Any]) -> bool:
    """Return whether a search was on other images, or on the same ones with the same split.

    With another split, its settings may have been chosen on wells that are tested now.
    """
    same_images, same_split = (tags.get(key) == str(about[key]) for key in ("data_fingerprint", "split_fingerprint"))
    return same_split or not same_images


def rank_earlier_trials(space: SearchSpace, searches: Sequence[Mapping[str, Any]]) -> list[EarlierTrial]:
    """Choose trials of earlier searches: the best of each, the newest search first, then the second best of each.

    Validation scores of different images can't be compared with each other, so that each search has its own ranks, of
    which those above its published settings count. Settings that are already taken, once clipped, are left out, as are
    the published ones of the new search, and those of a population, which changes them.

    Args:
        space: Space of the new search.
        searches: ``id``, ``tags`` and ``trials`` of each, the newest first; see ``Store.child_records``.
    """
    ranked = [_rank_search(space, search) for search in searches]
    chosen: list[EarlierTrial] = []
    published = clip_to_space(space, {})
    for trial in _in_turns(ranked):
        if len(chosen) == min(MOST_TRIALS, space.trials - 1):
            break
        if trial.config not in [published, *(each.config for each in chosen)]:
            chosen.append(trial)
    return chosen


def _in_turns(ranked: Sequence[Sequence[EarlierTrial]]) -> Iterator[EarlierTrial]:
    for rank in range(max(map(len, ranked), default=0)):
        yield from (trials[rank] for trials in ranked if rank < len(trials))


def _rank_search(space: SearchSpace, search: Mapping[str, Any]) -> list[EarlierTrial]:
    """Trials that were better than the first one of their search, which had its published settings, the best first."""
    sign = 1 if space.mode == "min" else -1
    first, found = -math.inf, list[EarlierTrial]()
    for record in search["trials"]:
        score = kept_metrics(record["metrics"]).get(space.metric, math.nan)
        changed = any(name.startswith("population/") for name in record["metrics"])
        is_of_family = record["tags"].get("model") == space.family and record["status"] == "FINISHED"
        if is_of_family and math.isfinite(score) and not changed:
            if record["name"] == f"{space.family}-1":
                first = sign * score
            config = clip_to_space(space, record["params"])
            data = record["tags"].get("data", "unknown images")
            found.append(EarlierTrial(search["id"], data, record["name"], score, config))
    return sorted((each for each in found if sign * each.score < first), key=lambda trial: sign * trial.score)


def clip_to_space(space: SearchSpace, params: Mapping[str, str]) -> Config:
    """Return the configuration of the space that is nearest to parameters of a run.

    Args:
        space: Space of the new search; what it does not vary is as published there.
        params: Texts by hyperparameter, as the store has them.

    Example:
        >>> space = SearchSpace(
        ...     family="resnext", metric="val/auc", published={"batch_size": 8}, space={"batch_size": [8, 32]}
        ... )
        >>> clip_to_space(space, {"batch_size": "30", "learning_rate": "0.1"})
        {'batch_size': 32}
    """
    config = dict(space.published)
    for key, domain in space.ordered_space:
        if domain.is_active(config):
            text = params.get(key, tag_text(config[key]))
            config[key] = _nearest_value(domain, text, config[key])
    return config


def _nearest_value(domain: Choice | Range, text: str, published: Any) -> Any:  # noqa: ANN401
    number = _parse_number(text)
    if isinstance(domain, Range):
        if number is None:
            return published
        clipped = min(max(number, domain.low), domain.high)
        return round(clipped) if domain.integer else clipped
    same = [value for value in domain.values if tag_text(value) == text]
    if same:
        return same[0]
    if number is not None and all(isinstance(value, int | float) for value in domain.values):
        return min(domain.values, key=lambda value: abs(value - number))
    return published if domain.contains(published) else domain.values[0]


def _parse_number(text: str) -> float | None:
    """Finite number of a parameter's text; None if it is none."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
