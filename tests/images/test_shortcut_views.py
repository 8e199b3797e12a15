"""Views of drawn fields, in which one thing beside the phenotype differs between two classes."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.images.measure import measure_field
from leigh_mlops.images.shortcut_views import Views, measure_views, view_fields
from leigh_mlops.plates import probe_confounds
from leigh_mlops.plates.demo.microscope import FieldParameters, draw_classes
from leigh_mlops.plates.demo.phenotype import PHENOTYPES
from leigh_mlops.report.sentences import confound_sentences

CHANNELS = ["DAPI", "TMRM"]
WELLS = 12
PLANTED = {
    "clean": {},
    "background": {"background": 90.0},
    "density": {"density": 4.0},
    "focus": {"blur": 0.02},
    "stamp": {"stamp": True},
}


@cache
def drawn(kind: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Image table and counts of twelve wells of each class, one field each."""
    rows, fields = [], []
    for number in range(2 * WELLS):
        condition, (row, column) = ("DS", "WT")[number % 2], divmod(number, 6)
        parameters = FieldParameters(**(PLANTED[kind] if condition == "WT" else {}))
        rng = np.random.default_rng(100 + number)
        fields.append(draw_classes(rng, {"": PHENOTYPES[condition]}, parameters, size_px=96)[""])
        rows.append(
            {
                "Metadata_Plate": "P", "Metadata_Well": f"{'ABCD'[row]}{column + 1:02d}", "Metadata_Row": row + 1,
                "Metadata_Col": column + 1, "Metadata_Condition": condition,
            }
        )  # fmt: skip
    return pd.DataFrame(rows), np.array(fields)


def views_of(kind: str) -> Views:
    table, fields = drawn(kind)
    quality = pd.DataFrame([measure_field(field, CHANNELS) for field in fields])
    rows = view_fields(table, ("Metadata_Plate", "Metadata_Well"), "Metadata_Condition")
    return measure_views(lambda some: fields[some].astype(np.float32), rows, CHANNELS, quality, table.index)


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found_and_named_and_nothing_else(kind: str) -> None:
    found = probe_confounds(drawn(kind)[0], views_of(kind))
    named = {name for name, scores in found.items() if confound_sentences({name: scores})}
    if kind == "clean":
        assert named == set()
        assert found["cells"]["auc"] > 0.9
    else:
        assert found[kind]["auc"] > 0.95
        assert kind in named
        assert "stamp" not in named or kind == "stamp"


def test_fields_are_chosen_from_all_wells_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leigh_mlops.images.shortcut_views.MAX_FIELDS", 4)
    table = pd.DataFrame({"plate": "P", "well": list("AAABBC"), "class": ["x"] * 5 + [None]})
    assert view_fields(table, ("plate", "well"), "class").tolist() == [0, 1, 3, 4]


def test_without_a_nuclear_stain_there_is_no_density() -> None:
    table, fields = drawn("clean")
    quality = pd.DataFrame([measure_field(field, ["A", "B"]) for field in fields])
    rows = np.arange(4)
    found = measure_views(lambda some: fields[some].astype(np.float32), rows, ["A", "B"], quality, table.index)
    assert "density" not in found
    assert set(found["focus"]) == {"A", "B"}
