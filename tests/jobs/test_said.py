from types import SimpleNamespace

import pandas as pd
import pytest

from leigh_mlops.jobs.said import captions, sentences

PACKAGE = SimpleNamespace(model=SimpleNamespace(spec=SimpleNamespace(classes=("DS", "TT"))))
KEY = "counterfactual_confident"
NONE = pd.DataFrame()


def said(**columns: object) -> list[str]:
    fields = pd.DataFrame({"counterfactual_target": ["TT"] * 4, **columns})
    return sentences(fields, NONE, NONE, PACKAGE)[0]


def test_without_counterfactuals_nothing_is_said_of_them() -> None:
    found, job = sentences(pd.DataFrame({"x": [1]}), NONE, NONE, PACKAGE)
    assert found == []
    assert job == ["1 field of 0 wells was explained; 0 could not be explained."]
    one, two = (pd.DataFrame({"x": [0] * number}) for number in (1, 2))
    assert sentences(two, one, two, PACKAGE)[1] == ["2 fields of 1 well were explained; 2 could not be explained."]


@pytest.mark.parametrize("kind", ["confident", "alpha_1"])
def test_the_first_sentence_counts_what_arrived(kind: str) -> None:
    lights = {f"counterfactual_{kind}_light": ["green", "amber", "red", None], "counterfactual_boundary_light": "green"}
    if kind == "alpha_1":
        del lights["counterfactual_boundary_light"]
    assert said(**lights)[0].startswith(f"2 of 3 counterfactuals towards TT ({kind}) are TT to the model")


def test_a_boundary_picture_counts_by_how_near_it_lies_and_not_by_its_side() -> None:
    key = "counterfactual_boundary"
    sides = {f"{key}_valid": [True, False, False, True]}
    assert said(**sides, **{f"{key}_light": "green"})[:2] == [
        "4 of 4 counterfactuals towards TT (boundary) lie at the boundary to TT or past it when the saved file is "
        "read again.",
        "Of those towards TT, 4 green, 0 amber, 0 red (the rule stands under Methods).",
    ]
    found = said(**sides, **{f"{key}_light": ["green", "red", "green", "amber"]})
    assert found[0].startswith("3 of 4 counterfactuals towards TT (boundary)")
    assert found[0].endswith("; the others explain nothing.")


def test_trust_is_said_where_it_was_measured() -> None:
    lights = {f"{KEY}_light": ["green", "green", "amber", "red"]}
    assert len(said(**lights)) == 2
    found = said(
        **lights,
        **{
            f"{KEY}_way": ["line", "line", "gradient", "line"],
            f"{KEY}_attempts": [1, 3, 2, 5], f"{KEY}_oracle_class": ["TT", "TT", "TT", "DS"],
            f"{KEY}_twin_error": [0.2, 0.4, None, 0.9],
        },
    )  # fmt: skip
    assert found[1:] == [
        "Of those towards TT, 2 green, 1 amber, 1 red (the rule stands under Methods).",
        "Of those towards TT, 1 left the straight way for the gradient, and 3 needed further attempts after their "
        "file was read again.",
        "An independently trained classifier takes 3 of 4 (75 %) for TT.",
        "The median distance to the true twin in TT is 0.40 of that of the image itself; below 1 is nearer.",
    ]


ALREADY = {"counterfactual_note": ["already TT", "already TT", None, "block 1 did not converge"]}


def test_fields_without_a_counterfactual_are_counted() -> None:
    lights = {f"{KEY}_light": [None, None, "green", None]}
    assert said(**lights)[0] == (
        "1 of 1 counterfactuals towards TT (confident) are TT to the model when the saved file is read again."
    )
    assert len(said(**lights)) == 2
    assert said(**lights, **ALREADY)[2:] == [
        "2 fields are already TT and have no counterfactual.",
        "1 field has no counterfactual; counterfactual_note in fields.parquet says why.",
    ]


def test_a_job_whose_fields_are_the_target_already_says_so() -> None:
    every = pd.DataFrame({"counterfactual_note": ["already TT"] * 3})
    assert sentences(every, NONE, NONE, PACKAGE)[0] == ["3 fields are already TT and have no counterfactual."]


def test_a_kind_that_some_fields_lack_is_counted() -> None:
    lacking = {f"{KEY}_note": ["no step reaches TT", "block 1 did not converge", None, None]}
    both = {"counterfactual_boundary_light": ["green"] * 4, f"{KEY}_light": ["red", None, "amber", "green"]}
    found = said(**both, **lacking)
    assert found[0].startswith("2 of 3 counterfactuals towards TT (confident)")
    assert found[-1] == (
        "1 field has no confident counterfactual; counterfactual_confident_note in fields.parquet says why."
    )
    assert said(counterfactual_boundary_light=["green"] * 4, **{f"{KEY}_note": ["block 1"] * 4})[-1].startswith(
        "4 fields have no confident counterfactual"
    )


def test_captions() -> None:
    row = pd.Series(
        {
            "predicted": "DS", "probability_DS": 0.9, "counterfactual_target": "TT",
            "counterfactual_boundary_class": "TT", "counterfactual_boundary_probability": 0.503,
            f"{KEY}_class": "TT", f"{KEY}_probability": 0.96, f"{KEY}_light": "amber", f"{KEY}_map_full_colour": 0.02,
            "picture_image": "a.png", "picture_counterfactual_boundary": "b.png", f"picture_{KEY}": "c.png",
            f"picture_{KEY}_map": "d.png", "picture_sweep_film": "e.webp",
            "picture_sweep_video": "f.mp4", "picture_reconstruction": float("nan"),
        }
    )  # fmt: skip
    assert captions(row) == [
        ("a.png", "image: DS, 0.900"),
        ("b.png", "towards TT (boundary); saved file: TT (TT 0.503)"),
        ("c.png", "towards TT (confident); saved file: TT (TT 0.960); amber"),
        ("d.png", "where the change towards TT (confident) raises (red) or lowers (blue) its log-odds; "
                  "full colour is 0.02 nats"),
        ("e.webp", "from the image through the counterfactual towards TT and past it"),
    ]  # fmt: skip
