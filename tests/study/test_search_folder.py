from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.events import DataFacts, EpochDone, Opened, Paused, Resumed, StudySettings
from leigh_mlops.study.search_folder import interrupted_searches, locked_search, new_search, state_folder

SETTINGS: StudySettings = {
    "source": {}, "spaces": [], "store": "mlruns", "seed": 1, "time_budget_s": None, "line": "leigh"
}  # fmt: skip
FACTS: DataFacts = {"demo": False, "data": "x", "data_fingerprint": "1", "split_fingerprint": "2", "git": "3"}


def test_a_search_of_which_nothing_was_begun_leaves_nothing(tmp_path: Path) -> None:
    with new_search() as saved:
        assert saved.folder.is_dir()
        assert saved.folder.parent == state_folder() / "searches"
    assert list(saved.folder.parent.iterdir()) == []
    assert interrupted_searches() == {}


def test_a_search_that_was_begun_waits_until_it_is_removed(tmp_path: Path) -> None:
    folders = []
    for _ in range(2):
        with new_search() as saved:
            saved.journal.append(Opened(SETTINGS, FACTS))
            assert saved.folder not in interrupted_searches()
            with (
                pytest.raises(LeighError, match=f"The search {saved.folder.name} is already running"),
                locked_search(saved.folder),
            ):
                pass
        folders.append(saved.folder)
    assert list(interrupted_searches()) == folders
    with locked_search(folders[0]) as again:
        assert again.opening_event == again.journal.events[0]
        assert list(interrupted_searches()) == folders[1:]
        again.remove()
    assert list(interrupted_searches()) == folders[1:]
    assert not Path(f"{folders[0]}.lock").exists()


def test_what_is_left_of_a_search_that_was_being_removed_is_removed(tmp_path: Path) -> None:
    rest = state_folder() / "searches" / "1"
    (rest / "resnext-12").mkdir(parents=True)
    assert interrupted_searches() == {}
    assert not rest.exists()


def test_a_search_that_is_being_removed_is_none_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_search() as saved:
        saved.journal.append(Opened(SETTINGS, FACTS))
        (saved.folder / "checkpoint").mkdir()
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # the machine is switched off here
    with locked_search(saved.folder) as again:
        again.remove()
    assert interrupted_searches() == {}


def test_checkpoints_stay_beside_a_journal_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(f"{path} is in use")

    with new_search() as saved:
        saved.journal.append(Opened(SETTINGS, FACTS))
        (saved.folder / "checkpoint").mkdir()
    with locked_search(saved.folder) as again:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refuse)
            again.remove()
        assert (saved.folder / "checkpoint").is_dir()
        again.remove()
    assert not saved.folder.exists()


def test_pauses_are_no_search(tmp_path: Path) -> None:
    with new_search() as saved:
        assert saved.spent_s == 0
        for event in (
            Opened(SETTINGS, FACTS, time=100),
            EpochDone("resnext", 1, {}, "c", 1, {}, 1, {}, time=110),
            Paused("the search was stopped", "KILLED", time=115),
            Resumed(time=900),
            EpochDone("resnext", 1, {}, "c", 2, {}, 2, {}, time=907),
        ):
            saved.journal.append(event)
        assert saved.spent_s == 22
