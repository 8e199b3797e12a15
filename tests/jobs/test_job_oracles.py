from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs import job_oracles
from leigh_mlops.jobs.job_oracles import download_oracles

BEFORE = {"oracle_asked": ["models:/a@champion"], "oracle": ["models:/a/1"]}


class MovedAlias:
    """A store whose alias is now at the second version."""

    def version(self, address: str) -> SimpleNamespace:
        return SimpleNamespace(uri=address.replace("@champion", "/2"))

    def download(self, version: Any, folder: Path) -> Path:
        return folder


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of the versions that were compared with the model."""
    uris: list[str] = []
    monkeypatch.setattr(job_oracles, "load_package", lambda folder: folder.name)
    monkeypatch.setattr(job_oracles, "check_oracle", lambda model, package, uri: uris.append(uri))
    return uris


def download(*asked: str, before: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    store: Any = MovedAlias()
    model: Any = None
    found = download_oracles(store, asked, before or {}, "models:/m/1", model, Path("packages"))
    return [(each.name, each.folder.name) for each in found]


def test_a_resumed_job_keeps_the_versions_of_its_oracles(checked: list[str]) -> None:
    assert download("models:/a@champion") == [("a-2", "oracle-0")]
    assert download("models:/a@champion", "models:/b/3", before=BEFORE) == [("a-1", "oracle-0"), ("b-3", "oracle-1")]
    assert checked == ["models:/a/2", "models:/a/1", "models:/b/3"]


def test_the_model_and_one_version_twice_are_refused() -> None:
    with pytest.raises(LeighError, match="--oracle models:/m/1 is the explained model itself"):
        download("models:/m/1")
    with pytest.raises(LeighError, match="--oracle models:/a/2 is given twice"):
        download("models:/a@champion", "models:/a/2")
