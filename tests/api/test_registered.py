"""Registered versions, with the scores of their run beside those of the references."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leigh_mlops.api import registered
from leigh_mlops.api.model import load
from leigh_mlops.errors import LeighError
from leigh_mlops.report.sentences import confound_sentences

METRICS = {
    "test/wells/accuracy": 0.75,
    "test/baseline/wells/accuracy": 0.875,
    "test/position/wells/accuracy": 0.5,
    "val/wells/accuracy": 0.25,
}


class OneRun:
    """A store with one version, its run and its search."""

    def __init__(self, folder: Path, tags: dict[str, str], confounds: dict[str, float]) -> None:
        self.folder, self.tags = folder, tags
        self.runs = {"run": (METRICS, {"mlflow.parentRunId": "search"}), "search": (confounds, {})}

    def version(self, uri: str) -> Any:
        return SimpleNamespace(uri="models:/leigh-iresnet/3", run_id="run", tags=self.tags)

    def download(self, _: object, target: Path) -> Path:
        return Path(shutil.copytree(self.folder, target / "package"))

    def get_run(self, run_id: str) -> Any:
        if run_id not in self.runs:
            raise LeighError("The store has no such run.")
        metrics, tags = self.runs[run_id]
        return SimpleNamespace(metrics=lambda: metrics, tags=lambda: tags)


def load_from(store: OneRun, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registered.Store, "open", lambda *_, **__: store)
    return repr(load("models:/leigh-iresnet@champion"))


def test_a_version_has_its_test_scores_beside_the_references(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = load_from(OneRun(packages["iresnet"], {}, {"data/position_auc": 0.6}), monkeypatch)
    assert "models:/leigh-iresnet/3 (models:/leigh-iresnet@champion)" in text
    for line in ("this model: accuracy 0.750", "intensity: accuracy 0.875", "position on the plate: accuracy 0.500"):
        assert line in text
    assert "Warning" not in text


def test_what_speaks_against_the_scores_is_a_warning(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"leaked_wells": "2", "baseline": "does not beat the intensity baseline on test wells (0.75 against 0.875)"}
    text = load_from(OneRun(packages["iresnet"], tags, {"data/position_auc": 0.99}), monkeypatch)
    (position,) = confound_sentences({"position": {"auc": 0.99}})
    assert f"Warning: {position}" in text
    assert "Warning: 2 wells stood in more than one part" in text
    assert "Warning: The model does not beat the intensity baseline" in text


def test_a_version_whose_run_is_gone_can_be_loaded(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    store = OneRun(packages["iresnet"], {}, {})
    store.runs = {}
    assert "this model" not in load_from(store, monkeypatch)
