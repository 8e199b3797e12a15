"""A request that MLflow's client repeats, since its answer was lost, leaves each thing once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.tracking import Run, Store


class Repeating:
    """A client that makes some requests twice."""

    def __init__(self, client: Any, *names: str) -> None:
        self.client, self.names, self.tracking_uri = client, names, client.tracking_uri

    def __getattr__(self, name: str) -> Callable[..., Any]:
        request: Callable[..., Any] = getattr(self.client, name)

        def repeat(*args: Any, **kwargs: Any) -> Any:
            request(*args, **kwargs)
            return request(*args, **kwargs)

        return repeat if name in self.names else request


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def repeat(store: Store, *names: str) -> None:
    """Let a store be like a server, of which alone requests are repeated."""
    store.client = Repeating(store.client, *names)
    store.uri = "http://localhost"


def names_of_runs(store: Store) -> list[str]:
    return sorted(run.info.run_name for run in store.client.search_runs([store.experiment_id]))


def test_a_run_is_started_once(store: Store) -> None:
    parent = store.start("parent")
    another = store.start("trial", parent=parent, at=1.0)
    repeat(store, "create_run")
    assert store.start("other", kind="x").tags()["kind"] == "x"
    store.uri = "sqlite:///"
    store.start("twin", at=2.0)
    assert names_of_runs(store) == ["other", "parent", "trial", "twin", "twin"]
    store.uri = "http://localhost"
    store.start("trial", parent=another, at=1.0)  # of another parent
    assert names_of_runs(store) == ["other", "parent", "trial", "trial", "twin", "twin"]


def test_of_children_with_one_name_the_first_is_kept(store: Store) -> None:
    parent = store.start("parent", search="abc")
    store.start("parent", search="abc", at=9e9)
    first, second, other = (store.start(name, parent=parent, at=at) for name, at in (("a", 1), ("a", 2), ("b", 3)))
    assert {name: run.id for name, run in store.children(parent).items()} == {"a": first.id, "b": other.id}
    assert store.client.get_run(second.id).info.lifecycle_stage == "deleted"
    found = store.find_search_run("abc")
    assert isinstance(found, Run)
    assert found.id == parent.id
    assert names_of_runs(store) == ["a", "b", "parent"]


def test_a_version_is_registered_once(store: Store, tmp_path: Path) -> None:
    run = store.start("trial")
    source = f"{store.client.get_run(run.id).info.artifact_uri}/model"
    repeat(store, "create_registered_model", "create_model_version", "set_registered_model_alias")
    version = store.register("leigh-resnext", source, run, {})
    found = store.client.search_model_versions("name = 'leigh-resnext'")
    assert [each.version for each in found] == [version.version] == [1]
    assert store.client.get_registered_model("leigh-resnext").aliases == {"challenger": 1}


def test_a_tag_that_is_gone_already_is_removed(store: Store) -> None:
    run = store.start("trial", error="it burst")
    run.client = Repeating(store.client, "delete_tag")  # type: ignore[assignment]
    run.remove_tag("error")
    assert "error" not in run.tags()
