"""A folder of the user is below the home folder, or private to the user where there is none."""

import os
import tempfile
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.user_folders import user_folder


def find() -> Path:
    return user_folder("LEIGH_CACHE", "XDG_CACHE_HOME", ".cache")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LEIGH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", "/nonexistent")
    return tmp_path / f"leigh-{os.geteuid()}"


def test_variables_come_first(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find() == tmp_path / ".cache" / "leigh_mlops"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert find() == Path("/xdg/leigh_mlops")
    monkeypatch.setenv("LEIGH_CACHE", "/own")
    assert find() == Path("/own")
    assert not temporary.exists()


@pytest.mark.parametrize("home", ["/nonexistent", None])
def test_a_missing_home_is_replaced_by_a_private_folder(
    home: str | None, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is None:
        # Neither a variable nor an entry in passwd.
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert find() == find() == temporary / ".cache"
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_to_is_refused(temporary: Path) -> None:
    temporary.mkdir()
    temporary.chmod(0o777)
    with pytest.raises(LeighError, match="name a folder with LEIGH_CACHE"):
        find()
