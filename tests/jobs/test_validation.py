from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.validation import check_options, check_oracle
from leigh_mlops.models import ModelPackage, build_model


def package(**changed: Any) -> ModelPackage:
    means = {kind: torch.zeros(2, 1) for kind in ("true", "predicted")}
    given = {"channels": ("DAPI", "TMRM"), "scale": {"full_scale": 255}, "class_means": means} | changed
    spec = SimpleNamespace(classes=("DS", "TT"), image_size=32, family="iresnet")
    return ModelPackage(**{"model": SimpleNamespace(task="classify", spec=spec)} | given)


WHOLE: tuple[str, ...] = ("counterfactual",)


@pytest.mark.parametrize(
    ("changed", "methods", "said"),
    [
        ({"target": "XX"}, WHOLE, "The class 'XX' is unknown to the model; choose one of DS, TT"),
        ({"counterfactual": ("alpha_2",)}, WHOLE, "Unknown counterfactual 'alpha_2'; choose from alpha_0"),
        ({"confidence": 1.0}, WHOLE, r"A confidence of 1\.0 is out of range"),
        ({"sweep": 1}, WHOLE, "--sweep 1 is too small; give at least 2"),
        ({"sweep": 3, "counterfactual": ("boundary",)}, WHOLE, "add one to --counterfactual"),
        (
            {"sweep": 3},
            ("occlusion",),
            "--sweep applies to counterfactuals only, but iresnet is explained by occlusion",
        ),
        ({"oracle": "models:/x/1"}, ("occlusion",), "--oracle applies to counterfactuals only"),
        ({"counts": True}, ("occlusion",), "--counts applies to counterfactuals only"),
        ({"occlusion_budget": 9}, ("occlusion",), "--occlusion-budget 9 is too small; give at least 50"),
        (
            {"occlusion_budget": 90},
            WHOLE,
            "--occlusion-budget applies to occlusion only, but the methods are counterfactual",
        ),
        ({"metrics": ("fidelity",)}, ("occlusion",), "Unknown metric 'fidelity'; choose from infidelity, sensitivity"),
        ({"confidence": 5.0}, ("occlusion",), r"A confidence of 5\.0 is out of range"),
        ({"counterfactual": ("bondary",)}, ("occlusion",), "Unknown counterfactual 'bondary'; choose from alpha_0"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(changed: dict[str, Any], methods: tuple[str, ...], said: str) -> None:
    check_options(ExplainOptions(), package(), methods)
    with pytest.raises(LeighError, match=said) as caught:
        check_options(replace(ExplainOptions(), **changed), package(), methods)
    assert "\n" not in str(caught.value)


def test_a_model_without_class_means_makes_no_counterfactual() -> None:
    check_options(ExplainOptions(), package(class_means=None), ("occlusion",))
    with pytest.raises(LeighError, match="no class means by true and predicted class"):
        check_options(ExplainOptions(), package(class_means=None), WHOLE)


def counted(true: list[int], predicted: list[int]) -> ModelPackage:
    """A package whose class means are of so many training images of DS and TT."""
    means = {"true": torch.zeros(2, 1), "predicted": torch.zeros(2, 1)}
    return package(class_means=means | {"true_counts": torch.tensor(true), "predicted_counts": torch.tensor(predicted)})


@pytest.mark.parametrize(
    ("method", "true", "predicted", "said"),
    [
        ("counterfactual", [3, 3], [3, 0], "No training image was predicted as TT"),
        ("counterfactual", [3, 0], [3, 3], "No training image is TT"),
        ("interpolation", [3, 0], [3, 3], "No training image is TT"),
    ],
)
def test_a_target_without_a_mean_is_refused_before_any_field(
    method: str, true: list[int], predicted: list[int], said: str
) -> None:
    asked = ExplainOptions(target="TT")
    check_options(asked, counted([3, 3], [3, 3]), (method,))
    check_options(replace(asked, target="DS"), counted(true, predicted), (method,))
    with pytest.raises(LeighError, match=said):
        check_options(asked, counted(true, predicted), (method,))


def test_interpolations_need_means_by_true_class_alone_and_none_towards_a_field() -> None:
    asked = ExplainOptions(target="TT")
    check_options(asked, counted([3, 3], [3, 0]), ("interpolation",))
    neither = counted([3, 0], [3, 0])
    with pytest.raises(LeighError, match="No training image is TT"):
        check_options(asked, neither, ("interpolation",))
    check_options(replace(asked, towards_field="P/B03/1"), neither, ("interpolation",))


def oracle(**changed: Any) -> ModelPackage:
    given = {"family": "resnext", "classes": ("TT", "DS"), "image_size": 32, "channels": 2} | changed
    model = build_model(given.pop("family"), **given)
    return ModelPackage(model, ("DAPI", "TMRM")[: given["channels"]], {"full_scale": 255})


def test_an_oracle_sees_the_same_images_and_knows_the_same_classes() -> None:
    check_oracle(package(), oracle(), "models:/x/1")
    with pytest.raises(LeighError, match="models:/x/1 is of the family autoencoder and does not classify"):
        check_oracle(package(), oracle(family="autoencoder"), "models:/x/1")
    with pytest.raises(LeighError, match="has the classes DS, WT where the model has DS, TT"):
        check_oracle(package(), oracle(classes=("DS", "WT")), "models:/x/1")
    with pytest.raises(LeighError, match="has the image size 64 where the model has 32"):
        check_oracle(package(), oracle(image_size=64), "models:/x/1")
    with pytest.raises(LeighError, match="has the channels DAPI where the model has DAPI, TMRM"):
        check_oracle(package(), oracle(channels=1), "models:/x/1")
    with pytest.raises(LeighError, match="has the channels DAPI, TMRM where the model has TMRM, DAPI"):
        check_oracle(package(channels=("TMRM", "DAPI")), oracle(), "models:/x/1")
    with pytest.raises(LeighError, match="has the full scale 255 where the model has 65535"):
        check_oracle(package(scale={"full_scale": 65535}), oracle(), "models:/x/1")
