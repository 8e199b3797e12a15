"""Independent classifiers, references and realism beside the saved counterfactuals of a job."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leigh_mlops.jobs.oracle_evaluation import OracleEvaluation, is_empty_field
from leigh_mlops.jobs.saved_counterfactual import SavedCounterfactual
from leigh_mlops.models import ModelPackage
from leigh_mlops.scores import rate_counterfactual
from tests.jobs.test_counterfactual_metrics import certified, demo, folder, package, reader

__all__ = ["demo", "folder", "package"]


class Panel:
    """Three classifiers that see TT in bright images, the last of which cannot tell real fields apart."""

    competent = ("cnn", "forest")

    def __init__(self, least: float) -> None:
        self.least = least

    def log_probs(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """One class by the mean intensity, the same for all; the network is stricter."""
        means = raw.mean((1, 2, 3))
        return {
            name: np.log(np.where((means > least)[:, None], [0.1, 0.9], [0.9, 0.1]))
            for name, least in (("cnn", 2 * self.least), ("resnet", 0.0), ("forest", self.least))
        }


@pytest.fixture
def draft(package: ModelPackage, demo: Path) -> SavedCounterfactual:
    """A typical counterfactual towards TT whose measures are good."""
    field = reader(package, demo).read(0)
    numbers: dict[str, Any] = {
        "predicted": "DS", "counterfactual_target": "TT", "counterfactual_typical_status": "green",
        "image_nuclei_area": 0.2,
    }  # fmt: skip
    found = SimpleNamespace(numbers=numbers, verified={"typical": certified(0.99)}, images={}, texture={})
    return SavedCounterfactual(field, "typical", field.acquired, found)  # type: ignore[arg-type]


def evaluate(package: ModelPackage, draft: SavedCounterfactual, least: float) -> dict[str, Any]:
    """Columns after the evaluation by a panel that sees TT above a mean intensity."""
    package.oracles = Panel(least)  # type: ignore[assignment,misc]
    OracleEvaluation(package).evaluate([draft])
    return draft.explanation.numbers


def test_competent_oracles_alone_are_asked(package: ModelPackage, draft: SavedCounterfactual) -> None:
    numbers = evaluate(package, draft, -1.0)
    assert numbers["counterfactual_typical_oracles"] == numbers["counterfactual_typical_oracles_asked"] == 2
    assert numbers["counterfactual_typical_oracle_cnn_class"] == "TT"
    assert numbers["counterfactual_typical_oracle_cnn_probability"] == pytest.approx(0.9)
    assert not any("resnet" in name for name in numbers)


@pytest.mark.parametrize(("least", "agreeing", "status"), [(0.0, 2, "amber"), (0.7, 1, "amber"), (9.0, 0, "red")])
def test_most_oracles_must_agree(
    package: ModelPackage, draft: SavedCounterfactual, least: float, agreeing: int, status: str
) -> None:
    numbers = evaluate(package, draft, least * float(draft.acquired.mean()))
    assert numbers["counterfactual_typical_oracles"] == agreeing
    assert numbers["counterfactual_typical_status"] == status
    assert ("oracles" in numbers["counterfactual_typical_reasons"].split("; ")) == (agreeing < 2)
    # The picture is the field of the other class itself, which is why it is never green.
    assert "realism" in numbers["counterfactual_typical_reasons"]


def test_references_stand_beside_the_typical_image(package: ModelPackage, draft: SavedCounterfactual) -> None:
    numbers = evaluate(package, draft, -1.0)
    assert {"moments", "histogram", "nearest"} <= set(package.class_maps.names)
    for name in ("nothing", "moments", "histogram", "nearest"):
        assert numbers[f"reference_{name}_class"] in {"DS", "TT"}
        assert numbers[f"reference_{name}_oracles"] == 2
        assert (f"reference_{name}" in draft.explanation.images) == (name != "nothing")


def test_a_package_of_an_earlier_version_judges_nothing(package: ModelPackage, draft: SavedCounterfactual) -> None:
    package.arrays = {}
    del package.about["cell_area"]
    OracleEvaluation(package).evaluate([draft])
    numbers = draft.explanation.numbers
    assert numbers["counterfactual_typical_oracles_asked"] == 0
    assert numbers["counterfactual_typical_status"] == "amber"
    assert numbers["counterfactual_typical_reasons"] == "not judged"
    assert "counterfactual_typical_realism" not in numbers


def test_fields_without_cells_are_known_by_the_area_of_nuclei(package: ModelPackage) -> None:
    package.about["cell_area"] = {"measure": "nuclei_area", "median": 0.2}
    assert is_empty_field({"image_nuclei_area": 0.019}, package)
    assert not is_empty_field({"image_nuclei_area": 0.021}, package)
    assert not is_empty_field({}, package)


@pytest.mark.parametrize(
    ("quality", "measured", "status", "reasons"),
    [
        ("green", {}, "green", ()),
        ("red", {}, "red", ("own network",)),
        ("amber", {}, "amber", ("measures",)),
        ("green", {"agreeing": 1}, "red", ("oracles",)),
        ("green", {"agreeing": 1, "asked": 2}, "amber", ("oracles",)),
        ("green", {"agreeing": 2}, "green", ()),
        ("green", {"agreeing": 0, "asked": 0}, "amber", ("not judged",)),
        ("green", {"realism": 1.01}, "amber", ("realism",)),
        ("green", {"realism": float("nan")}, "green", ()),
        ("green", {"empty": True}, "amber", ("no cells",)),
        ("green", {"empty": True, "agreeing": 0}, "red", ("oracles", "no cells")),
    ],
)
def test_a_status_means_what_it_says(quality: Any, measured: dict[str, Any], status: str, reasons: tuple[str]) -> None:
    asked = {"agreeing": 3, "asked": 3, "realism": 0.5, "empty": False} | measured
    assert rate_counterfactual(quality, **asked) == (status, reasons)
