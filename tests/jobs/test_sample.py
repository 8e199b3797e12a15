from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.prepared_field import Field
from leigh_mlops.jobs.sample import MAX_SAMPLE, read_sample


def reader(broken: tuple[int, ...] = ()) -> Any:
    def read(row: int) -> Field:
        if row in broken:
            raise LeighError("no image")
        return Field(row, None, None, False)  # type: ignore[arg-type]

    return SimpleNamespace(read=read)


def rows(table: pd.DataFrame, broken: tuple[int, ...] = ()) -> list[int]:
    return [field.row for field in read_sample(reader(broken), table)]


def labelled(*classes: str | None) -> pd.DataFrame:
    return pd.DataFrame({"Metadata_Condition": classes})


def test_classes_come_in_turn_from_all_over() -> None:
    table = labelled(*["DS"] * 100, *["TT"] * 20, *[None] * 5)
    found = rows(table)
    assert len(found) == MAX_SAMPLE
    kinds = table["Metadata_Condition"].fillna("").iloc[found].tolist()
    assert [kinds.count(name) for name in ("DS", "TT", "")] == [4, 4, 4]
    assert max(row for row in found if row < 100) > 50
    assert rows(table) == found


@pytest.mark.parametrize(("fields", "wanted"), [(2, 2), (10, 4), (64, 8), (1000, 12)])
def test_small_jobs_take_fewer(fields: int, wanted: int) -> None:
    assert len(set(rows(pd.DataFrame({"Metadata_Site": range(fields)})))) == wanted


def test_what_cannot_be_read_is_passed_over() -> None:
    table = labelled(*["DS", "TT"] * 3)
    assert len(rows(table)) == 4
    left = rows(table, broken=(0, 1, 2))
    assert sorted(left) == [3, 4, 5]
    assert rows(table, broken=tuple(range(6))) == []
