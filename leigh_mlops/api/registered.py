"""Registered models: the package of a version, with its test scores beside those of the references."""

import tempfile
from dataclasses import replace
from pathlib import Path

from leigh_mlops.api.model_card import ModelCard, read_card
from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.worker import load_to_device
from leigh_mlops.report.sentences import confound_sentences
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES
from leigh_mlops.tracking import Run, Store, Version

__all__ = ["load_registered"]

_PARENT = "mlflow.parentRunId"


def load_registered(address: str, store: str | None) -> ModelCard:
    """Load a registered version.

    Args:
        address: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        store: Address or folder of the store; by default ``./mlruns``.

    Raises:
        LeighError: The store has no such version, or can't be reached.
    """
    opened = Store.open(store)
    version = opened.version(address)
    with tempfile.TemporaryDirectory() as temporary:
        package = load_to_device(opened.download(version, Path(temporary)))
    name = version.uri if address == version.uri else f"{version.uri} ({address})"
    return _add_test_scores(read_card(package, name), opened, version)


def _add_test_scores(card: ModelCard, store: Store, version: Version) -> ModelCard:
    """Add the scores on the test wells, and what speaks against them; a version whose run is gone has none."""
    try:
        run = store.get_run(version.run_id)
        metrics, parent = run.metrics(), run.tags().get(_PARENT)
        confounds = _read_confounds(store.get_run(parent)) if parent else {}
    except LeighError:
        return card
    scores = {"this model": _select(metrics, "test/")}
    names = REFERENCE_NAMES if card.package.model.task == "classify" else {"baseline": REFERENCE_NAMES["pca"]}
    scores |= {name: _select(metrics, f"test/{kind}/") for kind, name in names.items()}
    found = {name: values for name, values in scores.items() if values}
    warnings = [*confound_sentences(confounds), *card.warnings, *_tag_warnings(version)]
    if not found:
        return replace(card, warnings=warnings)
    return replace(card, scores=found, scored="test wells, scored once", warnings=warnings)


def _tag_warnings(version: Version) -> list[str]:
    warnings = []
    baseline, leaked = version.tags.get("baseline", ""), version.tags.get("leaked_wells", "0")
    if leaked != "0":
        warnings.append(f"{leaked} wells stood in more than one part of the split, so the scores measure memory, too.")
    if baseline.startswith("does not"):
        warnings.append(f"The model {baseline}.")
    return warnings


def _read_confounds(search: Run) -> dict[str, dict[str, float]]:
    metrics = search.metrics()
    kinds = ("position", "plate", "background")
    return {kind: {"auc": metrics[f"data/{kind}_auc"]} for kind in kinds if f"data/{kind}_auc" in metrics}


def _select(metrics: dict[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
