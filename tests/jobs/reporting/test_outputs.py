import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from leigh_mlops.jobs.blind_test import make_blind_test, store_answers
from leigh_mlops.jobs.records import read_records
from leigh_mlops.jobs.reporting.blind_summary import show_blind_result
from leigh_mlops.jobs.reporting.outputs import build_tables, write_outputs
from leigh_mlops.jobs.worker import field_id
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.report.image_files import write_png
from tests.jobs.blind_job import write_answers
from tests.jobs.reporting.test_change_report import fields as changed_fields


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
    fields, failures = build_tables(tmp_path, table)
    assert fields["Metadata_Well"].tolist() == ["B03"]
    assert fields["x"].tolist() == [3.0]
    assert failures.empty


@pytest.mark.parametrize("names", [("a.json", "b.json"), ("b.json", "a.json")])
def test_a_failure_counts_until_the_field_is_done(tmp_path: Path, names: tuple[str, str]) -> None:
    leave(tmp_path, names[0], {"field": "P_B03_f1", "path": "x.png", "failure": "truncated"})
    table = pd.DataFrame([row()])
    assert build_tables(tmp_path, table)[1]["reason"].tolist() == ["truncated"]
    leave(tmp_path, names[1], done("P_B03_f1"))
    fields, failures = build_tables(tmp_path, table)
    assert len(fields) == 1
    assert failures.empty


def test_of_a_field_that_was_done_again_the_newest_record_counts(tmp_path: Path) -> None:
    leave(tmp_path, "b.json", done("P_B03_f1", x=1.0))
    leave(tmp_path, "a.json", done("P_B03_f1", x=2.0))
    assert build_tables(tmp_path, pd.DataFrame([row()]))[0]["x"].tolist() == [2.0]
    leave(tmp_path, "c.json", {"field": "P_B03_f1", "path": "x.png", "failure": "its new file is truncated"})
    fields, failures = build_tables(tmp_path, pd.DataFrame([row()]))
    assert (len(fields), len(failures)) == (0, 1)


def test_a_file_whose_name_is_no_text_is_a_failure_like_any_other(tmp_path: Path) -> None:
    leave(tmp_path, "a.json", {"field": "P_B03_f1", "path": "a\udcff.png", "failure": "a\udcff.png is truncated"})
    failures = build_tables(tmp_path, pd.DataFrame([row()]))[1]
    assert failures["path"].tolist() == ["a\\udcff.png"]
    assert failures["reason"].tolist() == ["a\\udcff.png is truncated"]


def test_a_half_written_part_is_left_alone(tmp_path: Path) -> None:
    leave(tmp_path, "a.json", done("P_B03_f1"))
    (tmp_path / "parts" / ".half.json").write_text('[{"field": "P_B')
    assert len(list(read_records(tmp_path))) == 1


@pytest.fixture
def package() -> ModelPackage:
    torch.manual_seed(0)
    model = build_model("iresnet", classes=["DS", "TT"], image_size=32, channels=2, blocks=(1, 1), widths=(8, 8))
    versions = {"leigh_mlops": "0"}
    about = {"data_fingerprint": "a", "split_fingerprint": "b", "versions": versions}
    return ModelPackage(model, ("DAPI", "TMRM"), {}, about=about)


def explained(out: Path) -> pd.DataFrame:
    """Fields with confident counterfactuals, each with two pictures."""
    fields = changed_fields(3.0)
    write_png(out / "images" / "one.png", np.zeros((8, 8, 3), np.uint8))
    sure = (fields["predicted"] == "DS").astype(float)
    return fields.assign(
        field=[f"f{number}" for number in fields.index],
        probability_DS=sure,
        probability_TT=1 - sure,
        counterfactual_confident_class=fields["counterfactual_target"],
        counterfactual_confident_probability=0.96,
        counterfactual_confident_valid=True,
        picture_image="images/one.png",
        picture_counterfactual_confident="images/one.png",
    )


NONE = pd.DataFrame(columns=["field", "path", "reason"])
JOB = {"model": "models:/leigh-iresnet/1", "data": "plate"}


def test_a_job_leaves_tables_figures_and_a_page(tmp_path: Path, package: ModelPackage) -> None:
    write_outputs(tmp_path, explained(tmp_path), NONE, package, JOB)
    left = {"fields.parquet", "wells.parquet", "hits.csv", "failures.csv", "changes.csv", "changes.png", "columns.md"}
    assert left | {"contact_sheet.png"} <= {path.name for path in tmp_path.iterdir()}
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.index("predicts DS for 12 of the saved files") < page.index("mean TMRM falls by")
    assert 'href="../changes.png"' in page
    assert "Red: the saved file" in page
    well = (tmp_path / "report" / "wells" / "P_DS00.html").read_text()
    assert 'src="../../images/one.png"' in well
    assert "probability of TT 0.960, ● green" in well


def test_what_a_page_cannot_hold_stands_on_the_wells_page(tmp_path: Path, package: ModelPackage) -> None:
    write_outputs(tmp_path, explained(tmp_path), NONE, package, JOB)
    wells = pd.read_parquet(tmp_path / "wells.parquet")
    assert {"image_intensity_TMRM", "counterfactual_confident_after_intensity_TMRM"} <= set(wells)
    table = (tmp_path / "report" / "index.html").read_text().split('id="wells-table"')[1].split("</table>")[0]
    assert "image intensity" not in table
    assert "image_intensity_TMRM" in (tmp_path / "report" / "wells" / "P_DS00.html").read_text()


def test_checks_of_methods_are_read_where_they_were_written(tmp_path: Path, package: ModelPackage) -> None:
    write_outputs(tmp_path, explained(tmp_path), NONE, package, JOB)
    assert "Checks of the heatmap methods" not in (tmp_path / "report" / "index.html").read_text()
    (tmp_path / "methods.csv").write_text("method,passed,why\nocclusion,False,'-1 edge better\n")
    write_outputs(tmp_path, explained(tmp_path), NONE, package, JOB)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "-1 edge better" in page
    assert "&#39;-1 edge better" not in page


def test_a_blind_test_stands_in_the_report_once_people_took_it(tmp_path: Path, package: ModelPackage) -> None:
    write_outputs(tmp_path, explained(tmp_path), NONE, package, JOB)
    page = tmp_path / "report" / "index.html"
    assert "Blind test by people" not in page.read_text()
    (tmp_path / "job.json").write_text(json.dumps(JOB | {"finished": True}))
    make_blind_test(tmp_path, 4)
    result = store_answers(tmp_path, [write_answers(tmp_path, tmp_path / "answers-ada.json")])
    assert show_blind_result(tmp_path, result)
    shown = page.read_text()
    assert "taken for real: 0 % (95 % interval" in shown
    write_outputs(tmp_path, explained(tmp_path), NONE, package, JOB)
    assert "taken for real: 0 % (95 % interval" in page.read_text()
    assert 'href="../blind/result.json"' in page.read_text()


def test_maps_of_fields_that_are_left_out_are_no_cluster(tmp_path: Path, package: ModelPackage) -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((16, 16))
    table = explained(tmp_path).assign(predicted="DS", probability_DS=1.0, probability_TT=0.0)
    blurred = np.arange(len(table)) % 4 == 0

    def draw(centre: int) -> list[list[float]]:
        heat = np.exp(-((y - centre) ** 2 + (x - centre) ** 2) / rng.uniform(6, 10)) + rng.normal(0, 0.02, (16, 16))
        return heat.tolist()

    maps = [{"method": "occlusion", "values": draw(2 if each else 9)} for each in blurred]
    records = [done(name) | {"map": each} for name, each in zip(table["field"], maps, strict=True)]
    leave(tmp_path, "a.json", *records)
    write_outputs(tmp_path, table, NONE, package, JOB)
    assert pd.read_csv(tmp_path / "clusters.csv")["fields"].tolist() == [18, 6]
    flags = np.where(blurred, "out of focus (DAPI)", "")
    write_outputs(tmp_path, table.assign(Metadata_Flags=flags), NONE, package, JOB)
    assert pd.read_csv(tmp_path / "clusters.csv")["fields"].tolist() == [18]


def test_a_job_without_fields_leaves_its_failures(tmp_path: Path, package: ModelPackage) -> None:
    nothing, failures = build_tables(tmp_path, pd.DataFrame([row()]))
    write_outputs(tmp_path, nothing, failures, package, JOB)
    assert not (tmp_path / "changes.png").exists()
    assert (tmp_path / "report" / "index.html").exists()


def test_plates_of_another_width_are_said_on_the_page(tmp_path: Path, package: ModelPackage) -> None:
    nothing, failures = build_tables(tmp_path, pd.DataFrame([row()]))
    package.about["field_um"] = 702.0
    for widths in ({}, {"P8": 351.0}):
        write_outputs(tmp_path, nothing, failures, package, JOB | {"other_widths": widths})
        page = (tmp_path / "report" / "index.html").read_text()
        assert ("plate P8: 351 µm, where cells look 2 times as large" in page) == bool(widths)
