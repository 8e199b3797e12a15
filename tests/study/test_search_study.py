import io
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from leigh_mlops.command_line import command_line
from leigh_mlops.commands import stop_work
from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.events import DataFacts, Drawn, Opened, Paused
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study import search_study
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.interrupted import close_interrupted
from leigh_mlops.study.open_search import OpenSearch
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.search_folder import interrupted_searches, locked_search, new_search
from leigh_mlops.study.search_study import SearchStudy, resume_newest
from leigh_mlops.study.study_options import StudyOptions
from leigh_mlops.tracking import Store

FACTS: DataFacts = {
    "demo": False, "data": "plate", "data_fingerprint": "other", "split_fingerprint": "other", "git": "unknown"
}  # fmt: skip


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def study(class_folders: Path, tmp_path: Path, said: io.StringIO) -> SearchStudy:
    space = SearchSpace.model_validate(
        {
            "family": "autoencoder",
            "metric": "val/mse",
            "early_stopping": "none",
            "trials": 2,
            "image_size": 32,
            "published": {"learning_rate": 0.001, "batch_size": 4, "epochs": 2},
            "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": [4, 8]},
        }
    )
    options = StudyOptions(DataSource(class_folders), [space])
    return SearchStudy(options, Console(file=said, width=200), str(tmp_path / "store"))


def begun(options: StudyOptions, store: Store) -> Path:
    """A search that was begun with some options, and whose process is gone."""
    with new_search() as saved:
        saved.journal.append(Opened(options.to_settings(store.location), FACTS))
        store.start("search", kind="search", search=saved.folder.name)
        saved.journal.append(Drawn("autoencoder", 1, {"learning_rate": 0.001}))
        return saved.folder


def test_weights_are_sought_for_the_families_that_are_searched_alone(
    study: SearchStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: list[str] = []
    monkeypatch.setattr(search_study, "resolve_start", lambda space, _: sought.append(space.family) or space)
    classifier = study.options.spaces[0].model_copy(update={"family": "resnext"})
    spaces = [classifier, *study.options.spaces]
    both = replace(study, options=replace(study.options, spaces=spaces, families_given=False))
    both._divide()
    assert sought == ["resnext", "autoencoder"]
    sought.clear()
    monkeypatch.setattr(search_study, "class_names", lambda *_: ["DS"])
    both._divide()
    assert sought == ["autoencoder"]


def test_a_plan_says_what_would_run_and_trains_nothing(study: SearchStudy, said: io.StringIO) -> None:
    study.show()
    shown = said.getvalue()
    assert "autoencoder varies learning_rate, batch_size (2 choices)." in shown
    assert "GiB" in shown
    assert "Nothing was trained; leave out --dry-run to begin." in shown
    assert "early stopping" not in shown
    said_of_disk = " ".join(shown.split())
    assert "best and last epoch of the kept trials: 4 of autoencoder (" in said_of_disk
    assert "Checkpoints of running and kept trials take about" in said_of_disk
    assert not Path(str(study.store)).exists()
    assert interrupted_searches() == {}
    halving = study.options.spaces[0].replace_fields(early_stopping="asha")
    replace(study, options=replace(study.options, spaces=[halving])).show()
    assert "early stopping ends most trials before" in said.getvalue()
    replace(study, options=replace(study.options, time_budget_s=0.5, checkpoints="none")).show()
    assert "the winners alone: 1 of autoencoder (" in " ".join(said.getvalue().split())
    with pytest.raises(LeighError, match="--keep-checkpoints 'some' is unknown; choose one of all, best, none"):
        replace(study, options=replace(study.options, checkpoints="some")).show()
    assert "In all at most 0 s" in said.getvalue()


def test_there_is_nothing_to_go_on_with(study: SearchStudy, said: io.StringIO) -> None:
    with pytest.raises(LeighError, match="There is no interrupted search to resume"):
        resume_newest(study.console)
    begun(replace(study.options, seed=7), Store.open(study.store))
    with pytest.raises(LeighError, match="There is no interrupted search with these options"):
        study.resume()


@pytest.mark.parametrize("alone", [True, False])
def test_a_search_of_images_that_changed_is_not_gone_on_with(study: SearchStudy, alone: bool) -> None:
    folder = begun(study.options, Store.open(study.store))
    with pytest.raises(
        LeighError, match=f"The images of plate changed since the search {folder.name} began; restore the old state"
    ):
        resume_newest(study.console) if alone else study.resume()
    assert list(interrupted_searches()) == [folder]


def test_runs_of_a_search_whose_process_is_gone_are_closed(
    study: SearchStudy, said: io.StringIO, tmp_path: Path
) -> None:
    store = Store.open(study.store)
    folder = begun(study.options, store)
    parent = store.find_search_run(folder.name)
    assert parent is not None
    with locked_search(folder) as saved:
        spaces = {"autoencoder": study.options.spaces[0].model_dump(mode="json")}
        given = {"facts": {"data": "plate"}, "spaces": spaces, "done": folder / "delivered"}
        with Delivery(saved.journal, store, parent, **given) as delivery:
            assert delivery.flush(30)
            trial = delivery.run("autoencoder-1")
        close_interrupted(store, study.console)
        # Another process holds it: it may live.
        assert store.client.get_run(parent.id).info.status == "RUNNING"
    close_interrupted(Store.open(str(tmp_path / "another")), study.console)
    assert store.client.get_run(parent.id).info.status == "RUNNING"
    assert said.getvalue() == ""
    for _ in range(2):
        close_interrupted(store, study.console)
        for run in (parent, trial):
            found = store.client.get_run(run.id)
            assert found.info.status == "KILLED"
            assert found.data.tags["error"] == "its process is gone; continue with --resume"
    assert "A search of plate, begun 0 minutes ago, did not finish; continue it with --resume." in said.getvalue()
    assert list(interrupted_searches()) == [folder]
    with locked_search(folder) as saved:
        # The night for which it lay there was no search.
        assert saved.journal.events[-1].time == saved.journal.events[-2].time


@pytest.fixture
def sigterm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sends SIGTERM to this process, which handles it as commands do."""
    before = signal.signal(signal.SIGTERM, stop_work)
    yield lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("phase", ["_log_references", "_search_families", "_register_winners"])
def test_sigterm_pauses_a_search_at_every_moment(
    phase: str,
    study: SearchStudy,
    said: io.StringIO,
    sigterm: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OpenSearch, "_log_references", lambda _: ([], {}))
    monkeypatch.setattr(OpenSearch, "_search_families", lambda _: {})
    monkeypatch.setattr(OpenSearch, phase, sigterm)
    with pytest.raises(StoppedError):
        study.run()
    (folder,) = interrupted_searches()
    with locked_search(folder) as saved:
        last = saved.journal.events[-1]
    assert isinstance(last, Paused)
    assert (last.reason, last.status) == ("the search was stopped", "KILLED")
    parent = Store.open(study.store).find_search_run(folder.name)
    assert parent is not None
    assert parent.client.get_run(parent.id).info.status == "KILLED"
    assert said.getvalue().endswith(f"Continue with: {command_line('tune', '--resume')}\n")


def test_sigterm_before_the_search_leaves_nothing(
    study: SearchStudy, sigterm: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SearchStudy, "_prepare_data", sigterm)
    with pytest.raises(StoppedError):
        study.run()
    assert list(interrupted_searches()) == []
    assert not list((Path(os.environ["LEIGH_STATE"]) / "searches").iterdir())


def test_a_store_of_another_name_is_found_again(study: SearchStudy, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere" / "runs.db"
    folder = begun(study.options, Store.open(f"sqlite:///{place}"))
    with pytest.raises(LeighError, match=f"the search {folder.name} began; restore the old state"):
        resume_newest(study.console)
    assert [path.name for path in place.parent.glob("*.db")] == ["runs.db"]
