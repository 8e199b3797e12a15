import sys
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.field_explanations import explain_fields, predict_fields
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, engine_choice
from leigh_mlops.models.engine_choice import choose_engine, measure_difference
from leigh_mlops.models.engines import Engine, build_predictor
from tests.models.compact import images, trained

SCALE = IntensityScale("linear", 255, (0.2, 0.3, 0.4), (0.1, 0.2, 0.3))


def package_of(family, **about):
    model = trained(family)
    for layer in getattr(model, "head", nn.Identity()).parameters():
        layer.data *= 3  # far enough from equal probabilities for bf16 to show
    return ModelPackage(model, ("DAPI", "TMRM", "Actin"), SCALE.to_json(), about=about)


@pytest.fixture(autouse=True)
def no_openvino(monkeypatch):
    """The extra may be installed where the tests run."""
    monkeypatch.setitem(sys.modules, "openvino", None)


def test_only_the_plain_passes_of_a_package_are_the_engines():
    package = package_of("resnext")
    rounded = replace(package, engine=Engine("fused", "bf16"))
    raw = SCALE.invert(images(2).numpy()).astype(np.float32)
    assert package.predictor is package.model
    before, after = (predict_fields(each, raw) for each in (package, rounded))
    assert 1e-5 < np.abs(before - after).max() < 0.1
    found = [explain_fields(each, raw, ("occlusion",)) for each in (package, rounded)]
    probabilities = [each[0].numbers["probability_DS"] for each in found]
    assert probabilities == [before[0, 0], pytest.approx(after[0, 0], abs=1e-6)]
    target = {each[0].numbers["occlusion_target"] for each in found}
    assert len(target) == 1
    np.testing.assert_array_equal(found[0][0].maps["occlusion"], found[1][0].maps["occlusion"])


def test_modes_are_shared():
    model = trained("resnext")
    predictor = build_predictor(model, Engine("fused"))
    assert predictor is not model
    predictor.train()
    assert model.head.training


def test_the_default_is_the_fastest_that_is_right():
    package, shown = package_of("resnext"), images(5)
    assert measure_difference(package.model, Engine("fused", "bf16"), shown) > engine_choice.MAX_DIFFERENCE
    engine, difference = choose_engine(package, shown)
    assert engine == Engine("fused", "fp32")
    assert 0 < difference < 1e-5


def test_bf16_is_taken_only_where_it_is_asked_for(monkeypatch):
    package, shown = package_of("resnext"), images(5)
    asked = choose_engine(package, shown, precision="bf16")
    assert asked.engine == Engine("fused", "bf16")
    assert asked.difference > engine_choice.MAX_DIFFERENCE
    monkeypatch.setattr(engine_choice, "MAX_DIFFERENCE", 1.0)
    assert choose_engine(package, shown).engine == Engine("fused", "fp32")
    assert choose_engine(package, shown, name="torch").engine == Engine("torch", "fp32")


@pytest.mark.parametrize(("family", "about"), [("iresnet", {}), ("resnext", {"adaptation": "controls"})])
def test_networks_that_no_engine_fits(family, about):
    package = package_of(family, **about)
    assert choose_engine(package, images(2)) == (Engine(), 0.0)
    with pytest.raises(LeighError, match="leave both options out"):
        choose_engine(package, images(2), "fused")


@pytest.mark.parametrize(
    ("name", "precision", "words"),
    [
        ("tensorrt", None, "--engine 'tensorrt' is unknown; choose torch, fused or openvino"),
        (None, "int8", "--precision 'int8' is unknown; choose fp32 or bf16"),
        ("openvino", None, r"not installed; install leigh_mlops\[openvino\]"),
    ],
)
def test_what_is_unknown_or_not_installed_is_refused(name, precision, words):
    with pytest.raises(LeighError, match=words):
        choose_engine(package_of("resnext"), images(2), name, precision)


def test_without_a_field_nothing_is_measured():
    assert choose_engine(package_of("resnext"), None) == (Engine(), None)
