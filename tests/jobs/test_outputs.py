import json
from pathlib import Path

import pandas as pd
import pytest

from leigh_mlops.jobs.outputs import collect, records_of
from leigh_mlops.jobs.worker import field_id


def row(plate: str = "P", well: str = "B03", site: int = 1) -> dict[str, object]:
    return {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": site, "Metadata_Row": 2, "Metadata_Col": 3}


def done(field: str, **numbers: float) -> dict[str, object]:
    return {"field": field, "seen": False, "numbers": numbers, "pictures": {}}


def leave(out: Path, name: str, *records: dict[str, object]) -> None:
    (out / "parts").mkdir(parents=True, exist_ok=True)
    (out / "parts" / name).write_text(json.dumps(records))


def test_names_that_differ_only_in_odd_letters_get_folders_of_their_own() -> None:
    assert field_id(pd.Series(row("plate-1"))) == "plate-1_B03_f1"
    names = {field_id(pd.Series(row(plate))) for plate in ("plate-1", "plate 1", "plate/1", "../plate-1")}
    assert len(names) == 4
    assert not any("/" in name or name.startswith(".") for name in names)


def test_records_find_their_row_after_the_table_has_grown(tmp_path: Path) -> None:
    leave(tmp_path, "a.json", done("P_B03_f1", x=3.0))
    table = pd.DataFrame([row(well="B02"), row(well="B03")])
    fields, failures = records_of(tmp_path, table)
    assert fields["Metadata_Well"].tolist() == ["B03"]
    assert fields["x"].tolist() == [3.0]
    assert failures.empty


@pytest.mark.parametrize("names", [("a.json", "b.json"), ("b.json", "a.json")])
def test_a_failure_counts_until_the_field_is_done(tmp_path: Path, names: tuple[str, str]) -> None:
    leave(tmp_path, names[0], {"field": "P_B03_f1", "path": "x.png", "failure": "truncated"})
    table = pd.DataFrame([row()])
    assert records_of(tmp_path, table)[1]["reason"].tolist() == ["truncated"]
    leave(tmp_path, names[1], done("P_B03_f1"))
    fields, failures = records_of(tmp_path, table)
    assert len(fields) == 1
    assert failures.empty


def test_a_half_written_part_is_left_alone(tmp_path: Path) -> None:
    leave(tmp_path, "a.json", done("P_B03_f1"))
    (tmp_path / "parts" / ".half.json").write_text('[{"field": "P_B')
    assert len(collect(tmp_path)) == 1
