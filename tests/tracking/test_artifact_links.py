import os
import shutil
from pathlib import Path

import pytest

from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.tracking import Store, artifact_links
from leigh_mlops.tracking.artifact_links import changed_files, link_files


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    for name in ("images/a/image.png", "hits.csv", ".half.png", ".hidden/image.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def logged(target: Path) -> set[str]:
    return {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}


def test_pictures_are_linked_and_what_people_edit_is_copied(out: Path, tmp_path: Path) -> None:
    assert link_files(out, tmp_path / "run") == 2
    assert logged(tmp_path / "run") == {"images/a/image.png", "hits.csv"}
    for name, is_linked in (("images/a/image.png", True), ("hits.csv", False)):
        assert os.path.samefile(out / name, tmp_path / "run" / name) == is_linked


def test_only_what_changed_is_brought_again(out: Path, tmp_path: Path) -> None:
    link_files(out, tmp_path / "run")
    assert link_files(out, tmp_path / "run") == 0
    with atomic_write(out / "hits.csv") as temporary:
        temporary.write_text("other")
    assert link_files(out, tmp_path / "run") == 1
    assert (tmp_path / "run" / "hits.csv").read_text() == "other"


def test_a_file_that_is_replaced_leaves_what_was_linked(out: Path, tmp_path: Path) -> None:
    link_files(out, tmp_path / "run")
    with atomic_write(out / "images/a/image.png") as temporary:
        temporary.write_text("other")
    assert (tmp_path / "run/images/a/image.png").read_text() == "images/a/image.png"


def test_files_are_copied_where_links_are_not_possible(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(artifact_links.os, "link", refuse)
    assert link_files(out, tmp_path / "run") == 2
    assert not os.path.samefile(out / "images/a/image.png", tmp_path / "run/images/a/image.png")
    assert link_files(out, tmp_path / "run") == 0


def test_a_folder_of_an_embedded_store_takes_no_space_twice(out: Path, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    run = store.start("job", kind="explain")
    run.log_file(out)
    (copied,) = (tmp_path / "store").rglob("images/a/image.png")
    assert not os.path.samefile(copied, out / "images/a/image.png")
    shutil.rmtree(copied.parent)
    run.log_folder(out)
    assert os.path.samefile(copied, out / "images/a/image.png")


def test_a_server_gets_what_changed_since_the_last_time(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Store.open(str(tmp_path / "store")).start("job", kind="explain")
    sent: list[set[str]] = []
    monkeypatch.setattr(type(run.client), "tracking_uri", "http://127.0.0.1:1")
    monkeypatch.setattr(run.client, "log_artifacts", lambda _, folder: sent.append(logged(Path(folder))))
    run.log_folder(out)
    moment = (out / "hits.csv").stat().st_ctime_ns
    with atomic_write(out / "hits.csv") as temporary:
        temporary.write_text("other")
    assert {path.name for path in changed_files(out, moment + 1)} == {"hits.csv"}
    run.log_folder(out, moment + 1)
    assert sent == [{"images/a/image.png", "hits.csv"}, {"hits.csv"}]
