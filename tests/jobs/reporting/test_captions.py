import pytest

from leigh_mlops.explanations import map_unit
from leigh_mlops.jobs.reporting.captions import JobSummary, captions, describe_map, summarise_job
from leigh_mlops.report.table_columns import Columns

CLASSES = ("DS", "TT")
KEY = "counterfactual_confident"


def summarise(fields: Columns, wells: Columns | None = None, failed: int = 0) -> JobSummary:
    return summarise_job(fields, wells or {}, failed, CLASSES)


def said(**columns: object) -> list[str]:
    fields = {"counterfactual_target": "TT", **columns}
    filled = {name: values if isinstance(values, list) else [values] * 4 for name, values in fields.items()}
    return summarise(filled).counterfactuals


def test_without_counterfactuals_nothing_is_said_of_them() -> None:
    found = summarise({"x": [1]})
    assert found.counterfactuals == found.details == []
    assert found.job == ["1 field of 0 wells was explained; 0 could not be explained."]
    assert summarise({"x": [0, 0]}, {"x": [0]}, 2).job == [
        "2 fields of 1 well were explained; 2 could not be explained."
    ]


def test_labelled_wells_are_those_without_a_compound() -> None:
    wells = {
        "Metadata_Condition": ["DS", "DS", "TT", "DS"], "predicted": ["DS", "TT", "TT", None], "seen": [False] * 4,
        "compound": [None] * 4,
    }  # fmt: skip
    plain = summarise({"x": [0]}, wells).job[1]
    assert plain.startswith("2 of the 3 labelled wells that the model had not seen are classified as labelled;")
    found = summarise({"x": [0]}, wells | {"compound": [None, "good", None, None]}).job[1]
    assert found.startswith("2 of the 2 labelled wells without a compound that the model had not seen are")


@pytest.mark.parametrize("kind", ["confident", "alpha_1"])
def test_the_first_sentence_counts_what_arrived(kind: str) -> None:
    statuses = {
        f"counterfactual_{kind}_status": ["green", "amber", "red", None],
        "counterfactual_boundary_status": "green",
    }
    if kind == "alpha_1":
        del statuses["counterfactual_boundary_status"]
    assert said(**statuses)[0] == (
        "For 3 fields, the model generated an image towards TT; the model predicts TT for 2 of the saved files; the "
        "others explain nothing."
    )


def test_a_boundary_picture_counts_by_how_near_it_lies_and_not_by_its_side() -> None:
    key = "counterfactual_boundary"
    sides = {f"{key}_valid": [True, False, False, True]}
    assert said(**sides, **{f"{key}_status": "green"})[:2] == [
        "For 4 fields, the model generated an image towards TT; 4 of the saved files lie at or beyond the boundary to "
        "TT.",
        "Quality of the counterfactuals towards TT: 4 green (all measures within their limits), 0 amber (with "
        "reservations), 0 red (explains nothing).",
    ]
    found = said(**sides, **{f"{key}_status": ["green", "red", "green", "amber"]})
    assert found[0].startswith("For 4 fields, the model generated an image towards TT; 3 of the saved files lie")
    assert found[0].endswith("; the others explain nothing.")


def test_trust_is_said_where_it_was_measured() -> None:
    statuses = {f"{KEY}_status": ["green", "green", "amber", "red"]}
    assert len(said(**statuses)) == 2
    measured = {
        f"{KEY}_way": ["line", "line", "gradient", "line"], f"{KEY}_attempts": [1, 3, 2, 5],
        f"{KEY}_twin_error": [0.2, 0.4, None, 0.9],
    }  # fmt: skip
    assert said(**statuses, **measured)[1:] == [
        "Quality of the counterfactuals towards TT: 2 green (all measures within their limits), 1 amber (with "
        "reservations), 1 red (explains nothing).",
        "The median distance to the true twin in TT is 0.40 times that of the original image; below 1 means closer.",
    ]


def test_how_they_were_made_stands_among_the_details() -> None:
    found = summarise({
        "counterfactual_target": ["TT"] * 2, f"{KEY}_status": ["green", "red"], f"{KEY}_way": ["line", "gradient"],
        f"{KEY}_attempts": [1, 2],
    })  # fmt: skip
    assert not any("gradient" in sentence for sentence in found.counterfactuals)
    assert found.details == [
        "Counterfactuals towards TT: 1 along the gradient instead of the straight line, 1 with more than one attempt."
    ]


ALREADY = {"counterfactual_note": ["already TT", "already TT", None, "block 1 did not converge"]}


def test_fields_without_a_counterfactual_are_counted() -> None:
    statuses = {f"{KEY}_status": [None, None, "green", None]}
    assert said(**statuses)[0] == (
        "For 1 field, the model generated an image towards TT; the model predicts TT for 1 of the saved files."
    )
    assert len(said(**statuses)) == 2
    assert said(**statuses, **ALREADY)[2:] == [
        "2 fields are already TT and have no counterfactual.",
        "1 field has no counterfactual; see counterfactual_note in fields.parquet.",
    ]


def test_a_job_whose_fields_are_the_target_already_says_so() -> None:
    assert summarise({"counterfactual_note": ["already TT"] * 3}).counterfactuals == [
        "3 fields are already TT and have no counterfactual."
    ]


def test_a_kind_that_some_fields_lack_is_counted() -> None:
    lacking = {f"{KEY}_note": ["no step reaches TT", "block 1 did not converge", None, None]}
    both = {"counterfactual_boundary_status": ["green"] * 4, f"{KEY}_status": ["red", None, "amber", "green"]}
    found = said(**both, **lacking)
    assert found[0].startswith(
        "For 3 fields, the model generated an image towards TT; the model predicts TT for 2 of the saved files"
    )
    assert found[-1] == (
        "1 field has no confident counterfactual; see counterfactual_confident_note in fields.parquet."
    )
    assert said(counterfactual_boundary_status=["green"] * 4, **{f"{KEY}_note": ["block 1"] * 4})[-1].startswith(
        "4 fields have no confident counterfactual"
    )


def test_captions() -> None:
    row = {
            "predicted": "DS", "probability_DS": 0.9, "counterfactual_target": "TT",
            "counterfactual_boundary_class": "TT", "counterfactual_boundary_probability": 0.503,
            f"{KEY}_class": "TT", f"{KEY}_probability": 0.96, f"{KEY}_status": "amber", f"{KEY}_map_full_colour": 0.02,
            "picture_image": "a.png", "picture_counterfactual_boundary": "b.png", f"picture_{KEY}": "c.png",
            f"picture_{KEY}_map": "d.png", "picture_sweep_film": "e.webp",
            "picture_sweep_video": "f.mp4", "picture_reconstruction": float("nan"),
    }  # fmt: skip
    assert captions(row) == [
        ("a.png", "image: DS, 0.900"),
        ("b.png", "towards TT (boundary); saved file: TT (TT 0.503)"),
        ("c.png", "towards TT (confident); saved file: TT (TT 0.960); amber"),
        ("d.png", "where the change towards TT (confident) raises (red) or lowers (blue) its log-odds; "
                  "full colour is 0.02 nats"),
        ("e.webp", "from the image through the counterfactual towards TT and past it"),
    ]  # fmt: skip


METHODS = (
    "occlusion", "grad_cam", "guided_grad_cam", "integrated_gradients", "smooth_grad", "deep_lift", "lrp",
    "prediction_difference",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_map_says_what_it_shows_and_its_full_colour(method: str) -> None:
    title, said = describe_map(method, {f"{method}_target": "TT", f"{method}_full_colour": 0.25})
    assert title
    assert "TT" in said
    assert f"full colour is 0.25 {map_unit(method)}." in said


def test_a_map_of_one_channel_names_it() -> None:
    row = {"occlusion_target": "TT", "occlusion_TMRM_full_colour": 0.5}
    assert describe_map("occlusion_TMRM", row)[0] == "Occlusion of TMRM alone"
    assert describe_map("occlusion_TMRM", row)[1].endswith("full colour is 0.5 logits.")
    assert describe_map("image", row) is None
    assert describe_map("grad_camera", row) is None


def verdicts(**changed: object) -> Columns:
    """Predictions for real fields, two references and the counterfactuals of one direction."""
    images = ["real fields", "nothing", "histogram", "confident"]
    columns = {
        "target": ["TT"] * 4, "images": images, "fields": [9, 4, 4, 4], "empty_fields": [0, 1, 1, 1],
        "unseen": [True] * 4,
        "network": [1.0, 0.0, 1.0, 1.0], "oracle_cnn": [1.0, 0.0, 0.5, 1.0], "oracle_forest": [0.9, 0.0, 0.25, 0.75],
        "most_oracles": [None, 0.0, 0.25, 0.75], "realism_auc": [0.5, 1.0, 0.9, 0.8],
    }  # fmt: skip
    return {**columns, **changed}


def described(table: Columns) -> list[str]:
    """Sentences on four counterfactuals towards TT that their own network believes."""
    fields = {"counterfactual_target": ["TT"] * 4, f"{KEY}_status": ["amber"] * 4, f"{KEY}_valid": [True] * 4}
    return summarise_job(fields, {}, 0, CLASSES, table).counterfactuals


def test_other_classifiers_speak_beside_references_and_real_fields() -> None:
    assert described(verdicts())[1] == (
        "Most independent classifiers predict TT for 75 % of the 4 images of fields that the model had not seen (cnn "
        "100 %, forest 75 %; 1 field without cells not counted), against 0 % for the images as they are and 25 % after "
        "matching each channel's histogram. A forest still distinguishes them from real TT fields with an AUC of 0.80 "
        "(0.5: it cannot; real fields against real fields: 0.50)."
    )


def test_without_other_classifiers_nothing_is_known() -> None:
    none = {name: values for name, values in verdicts().items() if not name.startswith("oracle_")}
    assert described(none)[1].startswith("No independent classifier evaluated these images")
    assert not any("independent" in sentence for sentence in described({}))


def test_the_own_network_counts_although_others_deny() -> None:
    fields = {"counterfactual_target": ["TT"] * 2, f"{KEY}_status": ["red"] * 2, f"{KEY}_valid": [True, False]}
    assert "predicts TT for 1 of the saved files" in summarise(fields).counterfactuals[0]


def test_parts_and_sham_edits_have_a_sentence_each() -> None:
    table = {name: list(values) for name, values in verdicts().items()}
    table["images"][1:3] = ["texture of TMRM alone", "intensity of TMRM alone"]
    assert described(table)[2] == (
        "Parts of the change towards TT, each applied alone, turn most independent classifiers for these shares of 4 "
        "fields: intensity of TMRM 25 %, texture of TMRM 0 %."
    )
    shams = {
        "counterfactual_target": ["TT"] * 4, f"{KEY}_status": ["amber"] * 4, "sham_turned": [True, False, False, None],
        "sham_oracles_turned": [1, 0, 0, None], "sham_oracles_asked": [2, 2, 2, None],
    }  # fmt: skip
    assert summarise(shams).counterfactuals[-1] == (
        "Noise of the method: a sham edit, transport from a class to itself, changes the prediction of this network "
        "for 33 % of 3 fields, and those of independent classifiers for 17 %; it should be at most 5 %."
    )
