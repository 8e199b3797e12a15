"""What stands in the files of a report; how it behaves is tested in tests/browser."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.report.job.html_tables import table_from_columns, table_from_records
from leigh_mlops.report.job.job_records import CardExample, CardSection
from leigh_mlops.report.job.job_report import JobReport, PlateMetric, ReportPicture, write_job_report
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


def test_each_section_is_linked(tmp_path: Path) -> None:
    wells = {"Metadata_Plate": ["P"], "Metadata_Well": ["A01"], "Metadata_Row": [1], "Metadata_Col": [1]}
    plates = JobReport("x", wells=wells, plates={"Metadata_Plate": ["P"], "z_prime": [0.5]}, root=".")
    pages = [write_job(tmp_path), write_job_report(tmp_path / "many", many_plates())]
    right = replace(plates, wells=wells | {"Metadata_Condition": ["WT"], "predicted": ["WT"]})
    jobs = {"none": JobReport("x"), "plates": plates, "right": right}
    pages += [write_job_report(tmp_path / name, each) for name, each in jobs.items()]
    for page in map(Path.read_text, pages):
        links = re.findall(r'<li><a href="#([^"]*)"', page.split("</nav>")[0])
        assert links == re.findall(r'<section id="([^"]*)"', page)


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
    cards = [CardSection("cluster 1", ["3 fields."], [CardExample("typical: P1, A01", pictures)])]
    page = write_job_report(tmp_path / "clusters", replace(report, cards=cards)).read_text()
    assert "No well is classified" not in page
    assert re.search(r"<details open>\s*<summary>Typical fields", page)
    shown = r'typical: P1, A01</p>\s*<div class="pictures">\s*<figure>\s*<img src="[^"]*images/a.png"'
    assert re.search(shown, page)


def many_plates(**changed: Any) -> JobReport:
    """Five plates of four wells of two fields; the last plate holds a compound that is a hit, and two that are not."""
    keys = [(f"P/{plate}", well) for plate in range(1, 6) for well in ("A01", "A02", "B01", "B02")]
    wells: dict[str, list[Any]] = {
        "Metadata_Plate": [plate for plate, _ in keys], "Metadata_Well": [well for _, well in keys],
        "Metadata_Row": [1, 1, 2, 2] * 5, "Metadata_Col": [1, 2, 1, 2] * 5,
        "predicted": ["DS", "WT", "DS", "WT"] * 4 + ["WT"] * 4, "compound": [None] * 16 + ["a", "a", "b", "c"],
        "latent_1": [0.0] * 20, "latent_2": [1.0] * 20, "flagged": [0.5] * 20,
    }  # fmt: skip
    fields = {name: [value for value in values for _ in range(2)] for name, values in wells.items()}
    fields |= {"field": [f"f{number}" for number in range(40)]}
    report = JobReport(
        "Screen", wells=wells, fields=fields, metrics=[PlateMetric("predicted", "Prediction")], group="compound",
        well_columns=["Metadata_Well", "predicted"], hits={"compound": ["a", "b", "c"], "hit": [True, False, False]},
        plates={"Metadata_Plate": ["P/5"], "note": ["Controls do not differ."]},
    )  # fmt: skip
    return replace(report, **changed)


def test_many_plates_have_a_row_on_the_first_page_and_a_page_each(tmp_path: Path) -> None:
    few = many_plates()
    few = replace(few, wells={name: values[:16] for name, values in few.wells.items()})
    assert 'data-well="0"' in write_job_report(tmp_path / "few", few).read_text()
    assert not (tmp_path / "few" / "plates").exists()

    index = write_job_report(tmp_path / "many", many_plates()).read_text()
    assert "data-well" not in index.split("<script")[0]
    assert 'id="wells-table"' not in index
    rows = index.split('id="plates-table"')[1].split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]
    links = [re.search(r'href="([^"]*)"', row) for row in rows]
    assert all(link and (tmp_path / "many" / link[1]).is_file() for link in links)
    assert len({link[1] for link in links if link}) == 5
    assert "Controls do not differ." in rows[4]


def test_the_page_of_a_plate_has_its_wells_hits_and_neighbours(tmp_path: Path) -> None:
    write_job_report(tmp_path, many_plates())
    pages = sorted((tmp_path / "plates").iterdir())
    assert [page.read_text().count("data-well=") for page in pages] == [8] * 5  # cells of the map and dots of the chart
    first, last = pages[0].read_text(), pages[-1].read_text()
    assert 'id="hits-table"' not in first
    hits = last.split('id="hits-table"')[1].split("</table>")[0]
    assert hits.count("<tr>") == 2
    assert "<td>a</td>" in hits
    assert ">A01</a>" in hits
    assert ">P/5 A01</a>" in (tmp_path / "index.html").read_text()
    assert 'rel="prev"' in last
    assert 'rel="next"' not in last
    for href in re.findall(r'href="(\.\./wells/[^"]*)"', last):
        well = tmp_path / "plates" / href
        assert f'href="../plates/{pages[-1].name}"' in well.read_text()


def test_the_numbers_of_a_well_stand_beside_those_of_its_fields(tmp_path: Path) -> None:
    report = many_plates()
    names = {**report.fields, "trust": ["<b>"] * 40}
    write_job_report(tmp_path, replace(report, fields={name: names[name] for name in names if name != "flagged"}))
    page = next((tmp_path / "wells").iterdir())
    rows = dict(re.findall(r"<code>(\w+)</code></th>(.*?)</tr>", page.read_text()))
    assert rows["latent_2"] == "<td>1.00</td>" * 3
    assert rows["flagged"] == "<td>0.500</td><td></td><td></td>"
    assert rows["trust"] == "<td>-</td><td>&lt;b&gt;</td><td>&lt;b&gt;</td>"


def test_a_class_has_one_colour_on_all_plates(tmp_path: Path) -> None:
    write_job_report(tmp_path, many_plates())
    found = [
        set(re.findall(r'class="(n\d+)"><a[^>]*: WT"', page.read_text())) for page in (tmp_path / "plates").iterdir()
    ]
    assert found == [{"n1"}] * 5


def test_long_tables_of_many_plates_end_on_the_first_page(tmp_path: Path) -> None:
    failures = {"path": [f"{number}.tif" for number in range(201)], "reason": ["no image"] * 201}
    index = write_job_report(tmp_path, many_plates(failures=failures)).read_text()
    assert "199.tif" in index
    assert "200.tif" not in index
    assert "201 in all; the first 200 are shown" in index
    few = JobReport("x", failures=failures)
    assert "200.tif" in write_job_report(tmp_path / "few", few).read_text()


def test_pages_of_plates_that_no_longer_exist_are_removed(tmp_path: Path) -> None:
    write_job_report(tmp_path, many_plates())
    assert len(list((tmp_path / "plates").iterdir())) == 5
    write_job_report(tmp_path, JobReport("x"))
    assert not list((tmp_path / "plates").iterdir())
    assert not list((tmp_path / "wells").iterdir())
