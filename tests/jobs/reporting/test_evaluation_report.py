from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from leigh_mlops.jobs.reporting.evaluation_report import read_learning_curves, scored_field_table, write_evaluation
from leigh_mlops.models import build_model
from leigh_mlops.report.terminal_tables import score_table
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.evaluate_version import VersionEvaluation
from leigh_mlops.study.evaluation import evaluate_package
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.tracking import Store, Version
from tests.conftest import write_class_folders
from tests.models.compact import COMPACT
from tests.training.conftest import prepared

SMALL = {
    "autoencoder": {"widths": (4, 4)},
    "iresnet": {"blocks": (1, 1), "widths": (8, 8)},
    "deepcluster": COMPACT["deepcluster"],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def scored(family: str, folder: Path, store: Store, curves: str = "epoch/") -> VersionEvaluation:
    """A version whose run has two epochs, and what it says of the test wells."""
    data = prepared(folder)
    torch.manual_seed(0)
    model = build_model(family, classes=data.classes, image_size=data.image_size, channels=3, **SMALL[family]).eval()
    package = make_package(model, data.scale("linear"), data, fit_baselines(data), {}, references={})
    run = store.start("trial")
    for epoch, loss in ((1, 0.7), (2, 0.4)):
        run.log_metrics({f"{curves}val/log_loss": loss, "test/log_loss": 9.0}, epoch, at=float(epoch))
    evaluation = evaluate_package(package, data, data.rows("test"))
    version = Version(f"leigh-{family}", 3, run.id, {})
    return VersionEvaluation(
        version, package, data, evaluation, "4 wells that it has not seen", 4, ["It does as well as guessing."]
    )


@pytest.mark.parametrize("prefix", ["epoch/", ""])  # none in version 0.1.0
def test_the_curves_of_a_run_are_those_of_training_and_validation(
    prefix: str, class_folders: Path, store: Store
) -> None:
    run_id = scored("iresnet", class_folders, store, prefix).version.run_id
    if prefix:
        store.get_run(run_id).log_metrics({"val/log_loss": 0.4}, 2)
    curves = read_learning_curves(store, run_id)
    assert curves == {"epoch": [1, 2], "metric": ["val/log_loss"] * 2, "value": [0.7, 0.4]}


def test_fields_say_what_the_model_says(class_folders: Path, store: Store) -> None:
    found = scored("iresnet", class_folders, store)
    fields = scored_field_table(found)
    assert len(fields) == len(found.data.rows("test"))
    assert not fields["seen"].any()
    np.testing.assert_allclose(fields[["probability_DS", "probability_TT"]].sum(axis=1), 1, rtol=1e-5)
    surest = fields[["probability_DS", "probability_TT"]].to_numpy().argmax(axis=1)
    assert fields["predicted"].tolist() == np.array(["DS", "TT"])[surest].tolist()


@pytest.mark.parametrize("family", ["iresnet", "autoencoder"])
def test_the_page_has_scores_sentences_and_curves(
    family: str, class_folders: Path, tmp_path: Path, store: Store
) -> None:
    page = write_evaluation(tmp_path / "page", scored(family, class_folders, store), store, class_folders)
    text = page.read_text()
    assert "It does as well as guessing." in text
    assert f"models:/leigh-{family}/3 on plate: 4 wells that it has not seen" in text
    assert "val from 0.7 to 0.4" in text
    assert "test from 9" not in text
    assert ("a threshold on intensity" in text) == (family == "iresnet")
    assert ("PCA with as many numbers" in text) == (family == "autoencoder")


def test_an_evaluation_of_clusters_names_its_scores_and_its_reference(tmp_path: Path, store: Store) -> None:
    folder = write_class_folders(tmp_path / "plate", fields=3)
    found = scored("deepcluster", folder, store)
    assert set(found.rows) == {"models:/leigh-deepcluster/3", "intensity features"}
    assert {"replicates/score", "nmi/class"} <= found.to_json()["fields"].keys()
    printed = StringIO()
    Console(file=printed, width=200).print(score_table(found.rows, title=found.seen))
    assert f"{found.evaluation.scores['replicates/score']:.3f}" in printed.getvalue()
    text = write_evaluation(tmp_path / "page", found, store, folder).read_text()
    assert "replicates/score" in text
    assert "PCA" not in text
