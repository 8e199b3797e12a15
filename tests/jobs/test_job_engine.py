from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.images import IntensityScale
from leigh_mlops.jobs import job_engine
from leigh_mlops.jobs.job_engine import fix_engine
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.models import ModelPackage, engine_choice
from tests.models.compact import images, trained

SCALE = IntensityScale("linear", 255, (0.2, 0.3, 0.4), (0.1, 0.2, 0.3))
TABLE = pd.DataFrame({"Metadata_Site": [1, 2]})


def package_of(family: str) -> ModelPackage:
    return ModelPackage(trained(family), ("DAPI", "TMRM", "Actin"), SCALE.to_json(), about={})


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the tables of which a sample was read."""
    lengths: list[int] = []
    raw = SCALE.invert(images(2).numpy()).astype(np.float32)

    def read(_: object, table: pd.DataFrame) -> list[SimpleNamespace]:
        lengths.append(len(table))
        return [SimpleNamespace(raw=each) for each in raw]

    monkeypatch.setattr(job_engine, "FieldReader", lambda *_: None)
    monkeypatch.setattr(job_engine, "read_sample", read)
    monkeypatch.setattr(engine_choice, "_FASTEST_FIRST", ("fused", "torch"))
    return lengths


def test_a_new_job_measures_the_engine_on_its_own_fields(samples: list[int]) -> None:
    options, difference = fix_engine(ExplainOptions(coverage=0.8), {}, package_of("resnext"), TABLE, None)
    assert (options.engine, options.precision, options.coverage) == ("fused", "fp32", 0.8)
    assert difference is not None
    assert 0 < difference < 1e-4
    assert samples == [2]


def test_no_field_is_read_for_a_network_that_has_no_choice(samples: list[int]) -> None:
    options, difference = fix_engine(ExplainOptions(), {}, package_of("iresnet"), TABLE, None)
    assert (options.engine, options.precision, difference) == ("torch", "fp32", None)
    assert samples == []


@pytest.mark.parametrize(
    ("before", "asked", "expected"),
    [
        ({"engine": "openvino", "precision": "bf16", "engine_difference": 3e-3}, None, ("openvino", "bf16", 3e-3)),
        ({"engine": "openvino", "precision": "bf16", "engine_difference": 3e-3}, "fused", ("fused", "bf16", 3e-3)),
        ({"model": "models:/older/1"}, None, ("torch", "fp32", None)),
    ],
)
def test_a_resumed_job_keeps_engine_and_difference(
    before: dict[str, object], asked: str | None, expected: tuple[object, ...], samples: list[int]
) -> None:
    options, difference = fix_engine(ExplainOptions(engine=asked), before, package_of("resnext"), TABLE, None)
    assert (options.engine, options.precision, difference) == expected
    assert samples == []
