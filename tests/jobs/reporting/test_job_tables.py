import numpy as np
import pandas as pd

from leigh_mlops.jobs.reporting.job_tables import JobTables, job_tables
from leigh_mlops.screening.screen import Screen

WELLS = pd.DataFrame({
    "Metadata_Plate": "P", "Metadata_Well": ["A01", "A02"], "Metadata_compound": ["DMSO", "C1"], "fields": [3, 1],
    "fields_left_out": [0, 1], "rescue_low": [-5.0, np.nan], "rescue_high": [5.2, np.nan],
})  # fmt: skip
HITS = pd.DataFrame({"compound": ["C1"], "rescue": [88.2], "ec50": [np.nan], "plates": [1], "reason": ["it rescues"]})
NONE = pd.DataFrame(columns=["field", "path", "reason"])


def converted(**tables: pd.DataFrame) -> JobTables:
    nothing = pd.DataFrame()
    return job_tables(Screen(**({"fields": nothing, "wells": WELLS, "hits": nothing} | tables)), NONE)


def test_wells_gain_what_pages_show() -> None:
    wells = converted().wells
    assert wells["quality"] == [1.0, 0.5]
    assert wells["rescue_interval"] == ["-5 to 5", None]
    assert [name if isinstance(name, str) else None for name in wells["compound"]] == [None, "C1"]
    assert {"quality", "rescue_interval"}.isdisjoint(converted(wells=WELLS[["Metadata_Well"]]).wells)


def test_compounds_keep_the_columns_that_say_something() -> None:
    assert converted(hits=HITS).hits == {"compound": ["C1"], "rescue": [88.2], "reason": ["it rescues"]}
    assert list(converted(hits=HITS.drop(columns="compound")).hits) == ["rescue", "plates", "reason"]
    assert converted(hits=HITS[:0]).hits["compound"] == []


def test_failures_are_named_by_their_path() -> None:
    failed = pd.DataFrame([["f", "a.tif", "truncated"]], columns=NONE.columns)
    assert job_tables(Screen(pd.DataFrame(), WELLS, pd.DataFrame()), failed).failures == {
        "path": ["a.tif"], "reason": ["truncated"],
    }  # fmt: skip
