"""Card of a registered version, with its test scores beside those of the references."""

from dataclasses import replace

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.sentences import confound_sentences
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES
from leigh_mlops.study.model_card import ModelCard, read_card
from leigh_mlops.tracking import NO_WHEEL, Run, Store, Version

__all__ = ["read_version_card"]

_PARENT = "mlflow.parentRunId"


def read_version_card(store: Store, version: Version, package: ModelPackage, name: str) -> ModelCard:
    """Read the card of a version: its scores on the test wells, and what speaks against them.

    Args:
        store: Store of the version and its run; a version whose run is gone has no test scores.
        version: The version.
        package: Its package.
        name: Name of the card.
    """
    card = read_card(package, name)
    try:
        run = store.get_run(version.run_id)
        metrics, tags = run.metrics(), run.tags()
        confounds = _read_confounds(store.get_run(tags[_PARENT])) if _PARENT in tags else {}
    except LeighError:
        return card
    scores = {"this model": _select(metrics, "test/")}
    reference = "pca" if card.package.model.task == "reconstruct" else "baseline"
    names = REFERENCE_NAMES if card.package.model.task == "classify" else {"baseline": REFERENCE_NAMES[reference]}
    scores |= {name: _select(metrics, f"test/{kind}/") for kind, name in names.items()}
    found = {name: values for name, values in scores.items() if values}
    unserved = [tags[NO_WHEEL]] if NO_WHEEL in tags else []
    warnings = [*confound_sentences(confounds), *card.warnings, *_tag_warnings(version), *unserved]
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
