"""What stands in the files of a report; how it behaves is tested in tests/browser."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from leigh_mlops.report.job.html_tables import table_from_columns, table_from_records
from leigh_mlops.report.job.job_records import CardSection
from leigh_mlops.report.job.job_report import JobReport, ReportPicture, write_job_report
from leigh_mlops.report.table_columns import table_rows
from tests.browser.conftest import HOSTILE, write_job


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    index = write_job(tmp_path)
    for path in (index, *(index.parent / "wells").iterdir()):
        page = path.read_text()
        targets = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert targets
        assert not [target for target in targets if ":" in target.replace("data:", "") or target.startswith("/")]
        assert "default-src 'none'" in page
        assert "unsafe-inline" not in page.split("script-src")[1].split('"')[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_a_tag(tmp_path: Path, text: str) -> None:
    index = write_job(tmp_path, wells=2, text=text)
    plain = write_job(tmp_path / "plain", wells=2)
    for name in ("index.html", "wells"):
        hostile, harmless = (
            path / name if (path / name).is_file() else sorted((path / name).iterdir())[0]
            for path in (index.parent, plain.parent)
        )
        tags = [re.findall(r"<(\w+)", path.read_text()) for path in (hostile, harmless)]
        assert set(tags[0]) == set(tags[1])
        assert tags[0].count("script") == tags[1].count("script")


def test_a_well_that_lost_all_its_fields_has_a_page(tmp_path: Path) -> None:
    index = write_job(tmp_path, field_sections=lambda _: {})
    assert "No field of this well could be shown." in (index.parent / "wells" / "P1_A01.html").read_text()


def test_an_empty_job_has_a_page(tmp_path: Path) -> None:
    page = write_job_report(tmp_path, JobReport("Nothing")).read_text()
    assert "Every file was read." in page
    assert 'id="plates"' not in page


def test_an_undecodable_file_name_does_not_break_the_page(tmp_path: Path) -> None:
    failures = {"path": ["a\udcff.png"], "reason": ["no image"]}
    assert "a?.png" in write_job_report(tmp_path, JobReport("x", failures=failures)).read_text(encoding="utf-8")


def test_small_pictures_lie_within_the_page(tmp_path: Path) -> None:
    index = write_job(tmp_path)
    assert 'src="data:image/png;base64,' in index.read_text()
    (tmp_path / "images" / "one.png").write_bytes(b"x" * 500_000)
    assert 'src="data:image/png;base64,' not in write_job(tmp_path / "other", pictures=[]).read_text()


def test_absolute_paths_of_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absolute"):
        write_job_report(tmp_path, JobReport("x", pictures=[ReportPicture("/etc/a.png", "", "")]))


def test_tables_of_columns_and_of_records_agree() -> None:
    columns = {"name": ["a", None], "share": [0.5, 2.0]}
    of_columns = table_from_columns("k", "c", columns)
    of_records = table_from_records("k", "c", table_rows(columns | {"none": [None, None]}))
    assert [[cell.text for cell in row] for row in of_columns.rows] == [["a", "0.500"], ["-", "2.00"]]
    assert [[cell.text for cell in row] for row in of_records.rows] == [["a", "0.500"], ["-", "2.00"]]
    assert [column.number for column in of_columns.columns] == [False, True]
    assert [column.number for column in of_records.columns] == [False, True]
    assert table_from_records("k", "c", []) is None


def test_a_job_of_clusters_shows_their_fields_and_has_no_hits(tmp_path: Path) -> None:
    wells = {"Metadata_Plate": ["P1"], "Metadata_Well": ["A01"], "Metadata_Condition": ["DS"], "predicted": ["DS"]}
    pictures = [ReportPicture("images/a.png", "P1, A01", "typical")]
    report = JobReport("x", wells=wells, root=".")
    assert "No well is classified" in write_job_report(tmp_path / "classes", report).read_text()
    cards = [CardSection("cluster 1", ["3 fields."], pictures)]
    page = write_job_report(tmp_path / "clusters", replace(report, cards=cards)).read_text()
    assert "No well is classified" not in page
    assert re.search(r"<details open>\s*<summary>Typical fields", page)
