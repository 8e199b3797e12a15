"""Example fields of each class."""

import numpy as np
import pandas as pd

from leigh_mlops.report.class_montage import class_montage

CHANNELS = ("DAPI", "TMRM")


def table() -> pd.DataFrame:
    classes = ["DS"] * 10 + ["TT"] * 3 + [None]
    numbers = range(1, len(classes) + 1)
    columns = {"Metadata_Plate": "P", "Metadata_Well": [f"A{number:02d}" for number in numbers], "Metadata_Site": 1}
    return pd.DataFrame(columns | {"Metadata_Condition": classes})


def texts(found: pd.DataFrame, read: list[int] | None = None) -> list[str]:
    def raw(rows: np.ndarray) -> np.ndarray:
        if read is not None:
            read.extend(rows.tolist())
        return np.random.default_rng(0).uniform(0, 255, (len(rows), 2, 8, 8)).astype(np.float32)

    figure = class_montage(found, raw, CHANNELS)
    return [] if figure is None else [text.get_text() for text in figure.texts]


def test_each_class_has_fields_of_different_wells_on_one_scale() -> None:
    read: list[int] = []
    shown = texts(table(), read)
    assert read == [0, 3, 6, 9, 10, 11, 12]
    assert {"DS: 4 of 10 fields", "TT: 3 of 3 fields", "P/A01, field 1", "P/A13, field 1"} <= set(shown)
    assert "P/A14, field 1" not in shown
    assert any("Raw intensity from black to full colour" in text for text in shown)


def test_excluded_fields_are_not_shown() -> None:
    found = table().assign(Metadata_Excluded=[True] * 9 + [False] * 5)
    assert "P/A01, field 1" in texts(table())
    assert "DS: 1 of 10 fields" in texts(found)
    assert "P/A01, field 1" not in texts(found)
    assert texts(found.assign(Metadata_Excluded=True)) == []
    assert texts(found.assign(Metadata_Condition=None)) == []
