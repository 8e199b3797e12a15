from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.training import PreparedData
from leigh_mlops.training.machine_paths import relative_path
from tests.training.conftest import prepared


@pytest.fixture
def data(class_folders: Path) -> PreparedData:
    """Files and a cache that a test may move."""
    return prepared(class_folders)


@pytest.fixture
def saved(data: PreparedData, tmp_path: Path) -> Path:
    data.save(tmp_path / "search" / "data")
    return tmp_path / "search" / "data"


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that does not see the cache of the first one."""
    (tmp_path / "cache").rename(tmp_path / "gone")
    monkeypatch.setenv("LEIGH_CACHE", str(tmp_path / "other"))
    return tmp_path / "other"


def test_the_cache_is_found_where_it_stands(data: PreparedData, saved: Path) -> None:
    assert PreparedData.load(saved).cache.folder == data.cache.folder


def test_another_machine_builds_it_once(
    data: PreparedData, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = np.array(data.cache.pixels)
    other = elsewhere(tmp_path, monkeypatch)
    built = PreparedData.load(saved).cache
    assert built.folder.parent == other
    np.testing.assert_array_equal(built.pixels, before)
    made = built.folder.stat().st_mtime_ns
    monkeypatch.setattr("leigh_mlops.training.machine_paths.open_cache", None)
    again = PreparedData.load(saved).cache
    assert (again.folder, again.folder.stat().st_mtime_ns) == (built.folder, made)


def test_a_machine_with_other_files_is_refused(
    class_folders: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PreparedData.load(saved)
    elsewhere(tmp_path, monkeypatch)
    sorted((class_folders / "DS").iterdir())[0].unlink()
    with pytest.raises(LeighError, match=r"The field .*, site 1 reads differently \(.*\) on .*; give every machine"):
        PreparedData.load(saved)


def test_files_are_found_from_any_working_folder(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = data.table["PathName_DAPI"].map(lambda folder: str(Path(folder).relative_to(tmp_path)))
    replace(data, table=data.table.assign(PathName_DAPI=folders)).save(tmp_path / "d")
    assert not Path(folders[0]).is_absolute()
    monkeypatch.chdir("/")
    assert (PreparedData.load(tmp_path / "d").table["PathName_DAPI"] == data.table["PathName_DAPI"]).all()


def test_starts_that_lie_beside_the_data_move_with_it(data: PreparedData, tmp_path: Path) -> None:
    starts = {"models:/a@champion": str(tmp_path / "search" / "start-0"), "models:/b/1": "/far/away"}
    replace(data, starts=starts, group="donor").save(tmp_path / "search" / "data")
    here = PreparedData.load(tmp_path / "search" / "data")
    assert Path(here.starts["models:/a@champion"]).resolve() == (tmp_path / "search" / "start-0").resolve()
    assert here.starts["models:/b/1"] == "/far/away"
    assert here.group == "donor"
    (tmp_path / "search").rename(tmp_path / "mounted")
    there = PreparedData.load(tmp_path / "mounted" / "data")
    assert Path(there.starts["models:/a@champion"]).resolve() == (tmp_path / "mounted" / "start-0").resolve()


def test_path_from_a_folder() -> None:
    assert relative_path(Path("/s/data"), Path("/s/start-0")) == "../start-0"
    assert relative_path(Path("/s/data"), Path("/models/x")) == "/models/x"
