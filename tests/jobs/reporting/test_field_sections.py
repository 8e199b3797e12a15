import pytest

from leigh_mlops.jobs.reporting.field_sections import build_field_sections
from leigh_mlops.report.table_columns import Columns

KEY = "counterfactual_confident"
ROW = {
    "Metadata_Plate": "P", "Metadata_Well": "B03", "Metadata_Site": 1, "Metadata_Z": 1, "field": "f1",
    "Metadata_Condition": "DS", "predicted": "DS", "probability_DS": 0.9, "probability_TT": 0.1, "seen": False,
    "counterfactual_target": "TT", "trust": "defocus; saturation",
    "picture_image": "i.png", "picture_image_DAPI": "d.png",
    f"{KEY}_status": "amber", f"{KEY}_length": 2.0, f"{KEY}_probability": 0.96, f"{KEY}_clipped": 0.2,
    f"picture_{KEY}": "c.png", f"picture_{KEY}_map": "m.png", f"{KEY}_map_full_colour": 0.02,
    "counterfactual_boundary_status": "green", "counterfactual_boundary_length": 1.0,
    "counterfactual_boundary_probability": 0.5, "picture_counterfactual_boundary": "b.png",
    "image_intensity_TMRM": 10.0, f"{KEY}_after_intensity_TMRM": 5.0, "picture_occlusion": "o.png",
    "occlusion_target": "DS", "occlusion_full_colour": 0.5, "picture_sweep_film": "s.webp",
    "picture_sweep_video": "s.mp4",
}  # fmt: skip


def columns(*rows: dict[str, object]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]}


def make_section(doubts: dict[str, str] | None = None, **changed: object):
    return build_field_sections(columns(ROW | changed), doubts or {})["f1"]


def test_steps_go_from_the_image_over_the_boundary() -> None:
    steps = make_section().steps
    assert [(step.path, step.probability, step.status) for step in steps] == [
        ("i.png", 0.1, ""), ("b.png", 0.5, "green"), ("c.png", 0.96, "amber"),
    ]  # fmt: skip
    reached = {"counterfactual_boundary_length": 3.0}
    assert [step.path for step in make_section(**reached).steps] == ["i.png", "c.png", "b.png"]


@pytest.mark.parametrize("missing", ["picture_image", f"picture_{KEY}"])
def test_without_pictures_there_is_no_such_step(missing: str) -> None:
    assert "c.png" in [step.path for step in make_section().steps]
    assert "c.png" not in [step.path for step in make_section(**{missing: None}).steps]


def test_pictures_stand_where_they_belong() -> None:
    section = make_section()
    assert section.image.path == "i.png"
    assert [(each.path, each.title) for each in section.channels] == [("d.png", "DAPI")]
    assert [each.path for each in section.maps] == ["m.png", "o.png"]
    assert [each.path for each in section.others] == ["s.webp"]
    assert section.flags == ["defocus", "saturation"]


def test_the_curve_of_ever_larger_edits_is_captioned_by_its_area() -> None:
    section = make_section(picture_smallest_edit_curve="k.png", smallest_edit_area=0.875)
    (curve,) = (each for each in section.others if each.path == "k.png")
    assert curve.title == "Ever larger edits"
    assert "0.88 (0.5: an even rise" in curve.caption
    assert not section.references


def test_a_map_of_a_method_that_failed_its_checks_says_so() -> None:
    assert not any(each.warning for each in make_section().maps)
    maps = {
        each.title: each.warning
        for each in make_section({"occlusion": "no better than edges"}, picture_occlusion_TMRM="t.png").maps
    }
    assert maps["Occlusion"] == maps["Occlusion of TMRM alone"] == "no better than edges"
    assert maps["Where the change matters (confident)"] == ""


def test_changes_are_those_of_the_step_that_says_most() -> None:
    (change,) = make_section().changes
    assert (change["image"], change["counterfactual"], change["change (%)"]) == (10.0, 5.0, -50.0)
    assert [row["status"] for row in make_section().verification] == ["green", "amber"]


def test_why_there_is_no_counterfactual_is_said() -> None:
    bare = {name: None for name in ROW if "counterfactual" in name} | {"counterfactual_note": "already TT"}
    section = make_section(**bare)
    assert section.notes == ["No counterfactual: already TT."]
    assert section.steps == section.verification == section.changes == []


def test_planes_are_named_where_there_are_several() -> None:
    assert make_section().title == "Field 1"
    two = columns(ROW, ROW | {"Metadata_Z": 2, "field": "f2"})
    assert [each.title for each in build_field_sections(two, {}).values()] == ["Field 1, plane 1", "Field 1, plane 2"]
