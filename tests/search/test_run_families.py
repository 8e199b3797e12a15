import threading
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Drawn, Ended, EpochDone
from leigh_mlops.search import SearchPlan, SearchRequest
from leigh_mlops.search.request import Message, SearchCompletion, SearchStart
from leigh_mlops.search.run_families import run_families
from leigh_mlops.settings import SearchSpace
from tests.search.searches import space

pytestmark = pytest.mark.ray

SMALL = {"architecture.layers": [1, 1, 1, 1], "architecture.groups": 8}


def plan(place: Path, name: str, workers: int | None = None) -> SearchPlan:
    """An autoencoder and a classifier, one trial of each."""
    values = space().model_dump() | {"trials": 1, "space": {}}
    epochs = {"learning_rate": 0.001, "batch_size": 8, "epochs": 4}
    second = {"family": "resnext", "metric": "val/log_loss", "published": epochs | SMALL}
    spaces = [
        SearchSpace.model_validate(each) for each in (values | {"published": epochs | {"epochs": 12}}, values | second)
    ]
    return SearchPlan(
        [SearchRequest(each, place / "data", place / f"{name}-{each.family}", 1, workers) for each in spaces]
    )


def messages(searched: SearchPlan, stop: threading.Event | None = None) -> list[Message]:
    heard: list[Message] = []
    run_families(searched, heard.append, stop or threading.Event())
    return heard


def order(heard: list[Message]) -> list[tuple[type, str]]:
    return [(type(each), each.family) for each in heard if isinstance(each, SearchStart | Drawn | Ended)]


def scores(heard: list[Message]) -> list[dict[str, float]]:
    epochs = [each for each in heard if isinstance(each, EpochDone) and each.family == "autoencoder"]
    return [{key: value for key, value in each.metrics.items() if key != "train/seconds"} for each in epochs]


def test_the_next_family_uses_what_a_lone_trial_leaves(place: Path) -> None:
    """The cluster has two cores, of which a trial of one thread, the limit in tests, uses one."""
    apart, beside = messages(plan(place, "apart", workers=1)), messages(plan(place, "beside"))
    assert order(apart).index((Ended, "autoencoder")) < order(apart).index((SearchStart, "resnext"))
    assert order(beside).index((SearchStart, "resnext")) < order(beside).index((Ended, "autoencoder"))
    assert scores(beside) == scores(apart)
    for heard in (apart, beside):
        ends = {each.family: each.how for each in heard if isinstance(each, SearchCompletion)}
        assert ends == {"autoencoder": "complete", "resnext": "complete"}


def test_a_lone_trial_takes_all_cores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    heard = messages(plan(place, "alone"))
    assert order(heard).index((Ended, "autoencoder")) < order(heard).index((SearchStart, "resnext"))
    assert [each.threads for each in heard if isinstance(each, Drawn)] == [2, 2]


def test_a_stop_reaches_all_families(place: Path) -> None:
    stop, heard = threading.Event(), list[Message]()

    def hear(message: Message) -> None:
        heard.append(message)
        if isinstance(message, EpochDone):
            stop.set()

    run_families(plan(place, "stop", workers=1), hear, stop)
    ends = {each.family: each.how for each in heard if isinstance(each, SearchCompletion)}
    assert ends == {"autoencoder": "stopped", "resnext": "stopped"}
    assert (SearchStart, "resnext") not in order(heard)


def test_a_family_that_is_refused_ends_the_others(place: Path) -> None:
    first, second = plan(place, "refused").requests
    wide = second.space.replace_fields(resources={"cpus": 1000})
    refused = SearchRequest(wide, second.data, second.folder)
    with pytest.raises(LeighError, match="A trial requests 1000 CPUs"):
        messages(SearchPlan([first, refused]))
