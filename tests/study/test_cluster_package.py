import pytest

from leigh_mlops.models import ModelPackage, load_package, save_package
from leigh_mlops.models.deep_cluster import DeepCluster
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.champion import _difference
from leigh_mlops.study.console_summary import retrieval_lines
from leigh_mlops.study.evaluation import evaluate_package
from leigh_mlops.study.examples import explain_examples
from leigh_mlops.study.model_card import read_card
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.score_figures import score_figures
from leigh_mlops.tracking.pyfunc import package_signature
from leigh_mlops.training import PreparedData
from tests.models.compact import COMPACT
from tests.training.conftest import prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    from tests.conftest import write_class_folders

    folder = tmp_path_factory.mktemp("clusters")
    return prepared(write_class_folders(folder / "plate", fields=3), cache=folder / "cache")


@pytest.fixture(scope="module")
def package(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    from leigh_mlops.models import build_model

    model = build_model("deepcluster", classes=data.classes, image_size=32, channels=3, **COMPACT["deepcluster"])
    folder = tmp_path_factory.mktemp("package")
    save_package(make_package(model.eval(), data.scale("linear"), data, fit_baselines(data), {"best_epoch": 3}), folder)
    return load_package(folder)


def test_a_package_of_clusters_knows_no_class(package: ModelPackage) -> None:
    assert isinstance(package.model, DeepCluster)
    assert package.class_means is None
    assert "calibration" not in package.about
    assert not [name for name in package.arrays if name.startswith(("intensity/", "pca/"))]
    assert "none: it names 4 clusters" in str(read_card(package, "clusters"))


def test_clusters_are_evaluated_beside_intensity_features(package: ModelPackage, data: PreparedData) -> None:
    found = evaluate_package(package, data, data.rows("test"))
    assert {"replicates/score", "nmi/class", "uncertainty"} <= found.scores.keys()
    assert "replicates/score" in found.baseline
    assert found.position == {}
    (first, *_) = retrieval_lines(found.scores, found.baseline)
    assert "intensity features alone reach" in first
    assert score_figures("cluster", data, found.outputs, found.scores) == {}
    others = evaluate_package(package, data, data.rows("test")[::-1]).scores
    assert others["replicates/score"] == pytest.approx(found.scores["replicates/score"])


def test_two_versions_are_compared_by_the_precision_of_replicates(package: ModelPackage, data: PreparedData) -> None:
    difference = _difference(package, package, data, data, data.rows("train"))
    assert (difference.mean, difference.high) == (0, 0)
    assert difference.wells > 2


def test_clusters_are_explained_and_served_by_name(package: ModelPackage, data: PreparedData) -> None:
    examples = explain_examples(package, data, per_class=1)
    assert len(examples.rows) == 2
    names = [column.name for column in package_signature(package).outputs]
    assert "probability_cluster 4" in names
