import pytest

from leigh_mlops.models.engine_choice import choose_engine, measure_difference
from leigh_mlops.models.engines import Engine
from tests.models.compact import images
from tests.models.test_engines import package_of

pytest.importorskip("openvino", reason="the extra openvino is not installed")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("family", ["resnext", "backbone", "deepcluster"])
def test_openvino_computes_the_same_in_fp32(family):
    package, shown = package_of(family), images(5)
    assert 0 < measure_difference(package.model, Engine("openvino"), shown) < 1e-5
    assert choose_engine(package, shown).engine.name == "openvino"
