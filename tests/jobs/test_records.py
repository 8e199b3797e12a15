"""Records of fields as small files and as one file for each plate."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leigh_mlops.jobs import records as records_module
from leigh_mlops.jobs.records import pack_records, read_records
from leigh_mlops.jobs.reporting.outputs import build_tables, collect_maps, collect_textures

PLATES = {"P1_A01_f1": "P1", "P1_A02_f1": "P1", "P2_A01_f1": "P2"}
TABLE = pd.DataFrame({
    "Metadata_Plate": ["P2", "P1", "P1"], "Metadata_Well": ["A01", "A01", "A02"], "Metadata_Site": [1, 1, 1],
})  # fmt: skip


@pytest.fixture(autouse=True)
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one small file be enough to gather them."""
    monkeypatch.setattr(records_module, "_MOST_FILES", 0)


def done(field: str, **numbers: Any) -> dict[str, Any]:
    pictures = {"image": f"images/{field}/image.png"}
    return {"field": field, "files": [["a.tif", 1, 2**60 + 1]], "seen": False, "numbers": numbers, "pictures": pictures}


def leave(out: Path, *records: dict[str, Any]) -> Path:
    """Write one more file of records, newer than all others."""
    folder = out / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    newest = max((path.stat().st_mtime_ns for path in folder.iterdir()), default=0)
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(records))
    os.utime(path, ns=(newest + 10**9, newest + 10**9))
    return path


def by_field(out: Path) -> dict[str, dict[str, Any]]:
    found = list(read_records(out))
    assert len({record["field"] for record in found}) == len(found)
    return {record["field"]: record for record in found}


def some_records(out: Path) -> None:
    kept = {"texture": {"image": [1.0, 2.0]}, "map": {"method": "occlusion", "values": [[0.5]]}}
    leave(out, done("P1_A01_f1", x=1, predicted="DS", valid=True) | kept, done("P2_A01_f1", x=2.5))
    leave(out, {"field": "P1_A02_f1", "path": "a\udcff.png", "failure": "a\udcff.png is truncated"})


def test_packed_records_are_what_they_were(tmp_path: Path) -> None:
    some_records(tmp_path)
    before, tables = by_field(tmp_path), build_tables(tmp_path, TABLE)
    texts = collect_textures(tmp_path), collect_maps(tmp_path)
    assert texts == ({"P1_A01_f1": {"image": [1.0, 2.0]}}, ("occlusion", {"P1_A01_f1": [[0.5]]}))
    pack_records(tmp_path, PLATES)
    assert sorted(path.suffix for path in (tmp_path / "parts").iterdir()) == [".parquet"] * 2
    assert by_field(tmp_path) == before
    assert (collect_textures(tmp_path), collect_maps(tmp_path)) == texts
    for was, now in zip(tables, build_tables(tmp_path, TABLE), strict=True):
        pd.testing.assert_frame_equal(now, was, check_like=True)
    assert tables[0]["field"].tolist() == ["P2_A01_f1", "P1_A01_f1"]
    assert tables[0]["seen"].dtype == bool


def test_a_job_of_few_files_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some_records(tmp_path)
    monkeypatch.setattr(records_module, "_MOST_FILES", 2)
    pack_records(tmp_path, PLATES)
    assert sorted(path.suffix for path in (tmp_path / "parts").iterdir()) == [".json"] * 2


def test_the_newest_record_counts_whatever_file_it_is_in(tmp_path: Path) -> None:
    some_records(tmp_path)
    pack_records(tmp_path, PLATES)
    assert "failure" in by_field(tmp_path)["P1_A02_f1"]
    leave(tmp_path, done("P1_A02_f1", x=7.0))
    leave(tmp_path, done("P1_A02_f1", x=8.0))
    for _ in range(2):
        assert by_field(tmp_path)["P1_A02_f1"]["numbers"] == {"x": 8.0}
        assert by_field(tmp_path)["P1_A01_f1"]["numbers"]["x"] == 1
        pack_records(tmp_path, PLATES)
        assert len(list((tmp_path / "parts").glob("*.parquet"))) == 2
        assert not list((tmp_path / "parts").glob("*.json"))


def test_records_of_unknown_fields_are_kept(tmp_path: Path) -> None:
    leave(tmp_path, done("P9_A01_f1", x=1.0))
    pack_records(tmp_path, PLATES)
    assert set(by_field(tmp_path)) == {"P9_A01_f1"}


def test_few_records_at_once_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        leave(tmp_path, done("P1_A01_f1", x=number), done("P1_A02_f1", y=0.5 * number), done("P2_A01_f1", x=None))
    before = by_field(tmp_path)
    monkeypatch.setattr(records_module, "_MOST_ROWS", 1)
    assert by_field(tmp_path) == before
    pack_records(tmp_path, PLATES)
    assert by_field(tmp_path) == before
    assert before["P1_A01_f1"]["numbers"] == {"x": 3}


def test_an_interrupted_packing_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some_records(tmp_path)
    before = by_field(tmp_path)

    def stop(_: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            pack_records(tmp_path, PLATES)
    assert by_field(tmp_path) == before
    pack_records(tmp_path, PLATES)
    assert by_field(tmp_path) == before


def test_a_failed_field_leaves_whole_numbers_whole(tmp_path: Path) -> None:
    leave(tmp_path, done("P1_A01_f1", attempts=2), {"field": "P1_A02_f1", "failure": "no file", "path": "a.tif"})
    fields, failures = build_tables(tmp_path, TABLE)
    assert fields["attempts"].dtype == "int64"
    assert failures["field"].tolist() == ["P1_A02_f1"]
