import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Drawn, Ended, EpochDone, Paused, Resumed
from leigh_mlops.study import delivery as delivery_module
from leigh_mlops.study.delivery import Delivery, kept_step
from leigh_mlops.tracking import Run, Store, StoreUnavailableError
from leigh_mlops.trials import Journal

NUMBERS = {"val/mse": 0.5, "train/loss": 1.0}


class Flaky:
    """A client of a store that can be away, or lose its answers, or refuse."""

    def __init__(self, client: MlflowClient) -> None:
        self.client, self.away, self.deaf, self.refuses = client, False, False, ""
        self.tracking_uri = "http://name:secret@host"

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                raise ConnectionError("no route to http://name:secret@host")
            if name == self.refuses:
                raise LeighError("The store refuses.")
            answer = getattr(self.client, name)(*args, **kwargs)
            if self.deaf:
                raise ConnectionError("the answer was lost")
            return answer

        return call


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture
def flaky(store: Store, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    made = Flaky(store.client)
    monkeypatch.setattr(store, "client", made)
    return made


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


@contextmanager
def delivering(journal: Journal, store: Store, parent: Run) -> Iterator[Delivery]:
    done = journal.path.with_name("delivered")
    spaces = {"resnext": {"image_size": 32, "metric": "val/mse", "mode": "min"}}
    with Delivery(journal, store, parent, facts={"data": "x"}, spaces=spaces, done=done) as delivery:
        yield delivery


def begin(journal: Journal, number: int = 1) -> None:
    journal.append(Drawn("resnext", number, {"learning_rate": 0.1, "init": "random"}))


def epoch(journal: Journal, epoch: int, number: int = 1, **config: Any) -> None:
    config = {"learning_rate": 0.1, "init": "random"} | config
    journal.append(EpochDone("resnext", number, config, "c", epoch, NUMBERS, best_epoch=1, best=NUMBERS))


def end(journal: Journal, number: int = 1, **facts: Any) -> None:
    journal.append(Ended("resnext", number, **({"state": "finished", "seconds": 2.0} | facts)))


def steps(store: Store, run: Run, metric: str = "epoch/val/mse") -> list[int]:
    return [each.step for each in store.client.get_metric_history(run.id, metric)]


def test_a_journal_becomes_a_run_per_trial(store: Store, journal: Journal) -> None:
    parent = store.start("search")
    begin(journal)
    epoch(journal, 1)
    epoch(journal, 2, learning_rate=0.2)
    end(journal)
    begin(journal, 2)
    end(journal, 2, state="failed", error="it burst", trace="Traceback: it burst")
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        first, second = delivery.run("resnext-1"), delivery.run("resnext-2")
    assert steps(store, first) == [1, 2]
    assert steps(store, first, "population/learning_rate") == [2]
    known = store.client.get_run(first.id)
    assert known.info.status == "FINISHED"
    assert known.info.start_time == int(1000 * journal.events[0].time)
    assert known.info.end_time == int(1000 * journal.events[3].time)
    assert known.data.params == {"family": "resnext", "image_size": "32", "learning_rate": "0.1", "init": "random"}
    assert known.data.metrics["val/mse"] == 0.5
    assert known.data.metrics["seconds"] == 2.0
    assert {"model": "resnext", "trial": "1", "data": "x", "best_epoch": "1"}.items() <= known.data.tags.items()
    failed = store.client.get_run(second.id)
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "it burst")
    assert "error.txt" in {file.path for file in store.client.list_artifacts(second.id)}
    note = known.data.tags["mlflow.note.content"]
    assert note.startswith("**Trial 1** of the search for a network of the family `resnext`, the published")
    assert "that of epoch 1 of 2, with the lowest `val/mse` (0.5)" in note
    assert "It failed: it burst." in store.client.get_run(second.id).data.tags["mlflow.note.content"]
    assert known.data.tags["task"] == "classify"
    assert {"error", "stopped"}.isdisjoint(known.data.tags)
    assert "" not in known.data.tags.values()
    assert delivery.refused == []


def test_the_value_shown_is_that_of_the_network_that_is_kept(store: Store, journal: Journal) -> None:
    begin(journal)
    kept, worse, odd = {"val/mse": 0.4, "val/z_prime": 0.7}, {"val/mse": 0.9}, {"val/mse": 0.3, "val/z_prime": math.inf}
    for number, (own, best_epoch, best) in enumerate(
        [(worse, 1, worse), (kept, 2, kept), (worse, 2, kept), (odd, 4, odd), (worse, 4, odd)], start=1
    ):
        journal.append(EpochDone("resnext", 1, {}, "c", number, own, best_epoch, best))

    def shown(metric: str) -> tuple[float, list[tuple[int, float]]]:
        history = store.client.get_metric_history(run.id, metric)
        latest = store.client.get_run(run.id).data.metrics[metric]
        return latest, [(each.step, each.value) for each in history]

    with delivering(journal, store, store.start("search")) as delivery:
        assert delivery.flush(30)
        run = delivery.run("resnext-1")
        # By the last epoch, the run would be the worst of its five networks.
        assert shown("epoch/val/mse")[0] == 0.9
        assert shown("val/mse") == (0.3, [(1, 0.9), (2, 0.4), (4, 0.3)])
        # The network kept last has no finite Z', so that of an earlier one is not shown.
        assert math.isnan(shown("val/z_prime")[0])
        # A member of a population that takes over another's network keeps that one, of whatever epoch.
        taken = {"val/mse": 0.2}
        journal.append(EpochDone("resnext", 1, {}, "c", 6, worse, 2, taken))
        assert delivery.flush(30)
        assert shown("val/mse") == (0.2, [(1, 0.9), (2, 0.4), (4, 0.3), (6, 0.2)])
    epochs = [event for event in journal.events if isinstance(event, EpochDone)]
    assert [kept_step(epochs[:count]) for count in (1, 3, 5, 6)] == [1, 2, 4, 6]


@pytest.mark.parametrize("how", ["away", "deaf"])
def test_what_a_store_that_was_away_missed_is_delivered_once(
    how: str, store: Store, flaky: Flaky, journal: Journal
) -> None:
    parent = store.start("search")
    with delivering(journal, store, parent) as delivery:
        setattr(flaky, how, True)
        begin(journal)
        epoch(journal, 1)
        assert not delivery.flush(1.0)
        epoch(journal, 2)
        setattr(flaky, how, False)
        assert delivery.flush(30)
        end(journal)
        assert delivery.flush(30)
        run = delivery.run("resnext-1")
    assert steps(store, run) == [1, 2]
    assert len(store.client.search_runs([store.experiment_id], f"tags.mlflow.parentRunId = '{parent.id}'")) == 1
    assert store.client.get_run(run.id).info.status == "FINISHED"


def test_a_store_that_is_away_never_holds_up_the_journal(store: Store, flaky: Flaky, journal: Journal) -> None:
    parent = store.start("search")
    flaky.away = True
    with delivering(journal, store, parent) as delivery:
        begin(journal)
        for number in range(1, 50):
            epoch(journal, number)
            delivery.wake()
        assert delivery.waiting == 50
        with pytest.raises(StoreUnavailableError, match="does not answer") as said:
            delivery.run("resnext-1")
    assert "secret" not in str(said.value)


def test_what_is_refused_once_is_said_and_the_rest_goes_on(store: Store, flaky: Flaky, journal: Journal) -> None:
    parent = store.start("search")
    begin(journal)
    epoch(journal, 1)
    end(journal)
    flaky.refuses = "set_terminated"
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        assert delivery.refused == ["The store refuses."]
        assert steps(store, delivery.run("resnext-1")) == [1]


def test_a_delivery_that_goes_on_delivers_what_is_left(store: Store, journal: Journal) -> None:
    parent = store.start("search")
    begin(journal)
    epoch(journal, 1)
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        run = delivery.run("resnext-1")
    again = Journal(journal.path)
    epoch(again, 2)
    end(again)
    with delivering(again, store, parent) as delivery:
        assert delivery.waiting == 2
        assert delivery.flush(30)
        assert delivery.run("resnext-1").id == run.id
    assert steps(store, run) == [1, 2]
    # Even where the file that says how far it was is lost, nothing stands twice.
    journal.path.with_name("delivered").unlink()
    with delivering(again, store, parent) as delivery:
        assert delivery.waiting == 4
        assert delivery.flush(30)
    assert steps(store, run) == [1, 2]


def test_a_run_that_was_interrupted_at_its_start_gets_its_parameters(store: Store, journal: Journal) -> None:
    parent = store.start("search")
    begun = store.start("resnext-1", parent=parent)
    begin(journal)
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        assert delivery.run("resnext-1").id == begun.id
    assert store.client.get_run(begun.id).data.params["learning_rate"] == "0.1"


def test_another_store_or_a_run_that_is_gone_gets_everything(store: Store, journal: Journal) -> None:
    parent = store.start("search")
    begin(journal)
    epoch(journal, 1)
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        store.client.delete_run(delivery.run("resnext-1").id)
    epoch(journal, 2)
    with delivering(journal, store, parent) as delivery:
        assert delivery.waiting == 1
        assert delivery.flush(30)
        assert steps(store, delivery.run("resnext-1")) == [2]
    other = store.start("search")
    with delivering(journal, store, other) as delivery:
        assert delivery.waiting == 3
        assert delivery.flush(30)
        assert steps(store, delivery.run("resnext-1")) == [1, 2]


@pytest.mark.parametrize("content", ["", "{", '{"run": "another", "events": 2}'])
def test_a_file_that_was_cut_short_delivers_again(content: str, store: Store, journal: Journal) -> None:
    begin(journal)
    journal.path.with_name("delivered").write_text(content)
    with delivering(journal, store, store.start("search")) as delivery:
        assert delivery.flush(30)
        assert delivery.run("resnext-1").tags()["trial"] == "1"


def test_what_nobody_foresaw_is_tried_again_and_said(
    store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal)
    with delivering(journal, store, store.start("search")) as delivery:
        with monkeypatch.context() as patch:
            patch.setattr("os.replace", lambda *paths: 1 / 0)
            assert not delivery.flush(1)
            assert delivery.problem == "ZeroDivisionError: division by zero"
        assert delivery.flush(30)


def test_a_refusal_leaves_no_run_running(store: Store, flaky: Flaky, journal: Journal) -> None:
    parent = store.start("search")
    begin(journal)
    end(journal, state="failed", error="it burst" * 1000, trace="Traceback")
    begin(journal, 2)
    journal.append(Paused("the search was stopped", "KILLED"))
    flaky.refuses = "log_text"
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        assert len(delivery.refused) == 1
        status = [store.client.get_run(delivery.run(f"resnext-{number}").id).info.status for number in (1, 2)]
    assert status == ["FAILED", "KILLED"]


def test_runs_stop_and_go_on_with_their_search(store: Store, journal: Journal) -> None:
    def status(name: str) -> tuple[str, str]:
        found = store.client.get_run((store.children(parent) | {"search": parent})[name].id)
        assert "" not in found.data.tags.values()
        return found.info.status, found.data.tags.get("error", "")

    parent = store.start("search")
    begin(journal)
    begin(journal, 2)
    end(journal, 2)
    journal.append(Paused("the search was stopped", "KILLED"))
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        assert status("search") == status("resnext-1") == ("KILLED", "the search was stopped")
        assert status("resnext-2") == ("FINISHED", "")
        journal.append(Resumed())
        assert delivery.flush(30)
        assert status("search") == status("resnext-1") == ("RUNNING", "")
        end(journal)
        assert delivery.flush(30)
    assert status("resnext-1") == ("FINISHED", "")


def test_a_trial_that_ended_before_the_store_heard_of_its_resumption_keeps_no_error(
    store: Store, journal: Journal
) -> None:
    parent = store.start("search")
    begin(journal)
    journal.append(Paused("the search was stopped", "KILLED"))
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
        run = delivery.run("resnext-1")
    assert run.tags()["error"] == "the search was stopped"
    journal.append(Resumed())
    end(journal)
    with delivering(journal, store, parent) as delivery:
        assert delivery.flush(30)
    assert "error" not in run.tags()
    assert store.client.get_run(run.id).info.status == "FINISHED"


def test_a_delivery_that_is_over_writes_nothing_more(
    store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, log_params = store.start("search"), Run.log_params
    asked, answer = threading.Event(), threading.Event()

    def wait(run: Run, params: Any) -> None:
        asked.set()
        answer.wait(30)
        log_params(run, params)

    monkeypatch.setattr(Run, "log_params", wait)
    monkeypatch.setattr(delivery_module, "_LONGEST_WAIT_S", 0.1)
    begin(journal)
    end(journal)
    with delivering(journal, store, parent) as delivery:
        assert asked.wait(30)
    run = delivery.run("resnext-1")
    answer.set()
    delivery._thread.join(30)
    assert store.client.get_run(run.id).info.status == "RUNNING"
    assert not journal.path.with_name("delivered").exists()


def test_closing_waits_for_what_is_in_hand_and_not_for_a_store_that_is_away(
    store: Store, flaky: Flaky, journal: Journal
) -> None:
    parent = store.start("search")
    flaky.away = True
    begin(journal)
    with delivering(journal, store, parent) as delivery:
        time.sleep(0.2)
    assert not delivery._thread.is_alive()
    assert delivery.waiting == 1
