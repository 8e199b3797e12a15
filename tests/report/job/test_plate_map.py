import re

import numpy as np
import pytest
from matplotlib import colormaps

from leigh_mlops.report.job.job_records import PlateMetric
from leigh_mlops.report.job.plate_map import legends, plate_grids, ramp_styles, well_colours

WELLS = {
    "Metadata_Plate": ["P2", "P1", "P1"], "Metadata_Well": ["A01", "B03", "H12"], "Metadata_Row": [1, 2, 8],
    "Metadata_Col": [1, 3, 12], "probability": [0.0, 1.0, np.nan], "predicted": ["WT", "DS", None],
}  # fmt: skip


def test_a_well_stands_in_its_row_and_column() -> None:
    first, second = plate_grids(WELLS, ["a", "b", "c"])
    assert (first.name, second.name) == ("P1", "P2")
    assert (len(first.rows), len(first.columns)) == (8, 12)
    letter, cells = first.rows[1]
    assert letter == "B"
    assert (cells[2].name, cells[2].href, cells[2].number) == ("B03", "b", 1)
    assert sum(cell is not None for _, row in first.rows for cell in row) == 2


def test_wells_without_a_place_have_no_grid() -> None:
    assert plate_grids({name: WELLS[name] for name in WELLS if name != "Metadata_Row"}, ["a", "b", "c"]) == []
    assert plate_grids(WELLS | {"Metadata_Row": [np.nan] * 3}, ["a", "b", "c"]) == []


def test_the_scale_is_that_of_the_metric_and_not_of_the_values() -> None:
    assert well_colours(WELLS, PlateMetric("probability", "")) == [("s0", "0.00"), ("s32", "1.00"), ("none", "-")]
    assert well_colours(WELLS, PlateMetric("probability", "", high=2.0))[1] == ("s16", "1.00")
    assert well_colours(WELLS, PlateMetric("probability", "", low=0.5, high=0.9))[:2] == [
        ("s0", "0.00"),
        ("s32", "1.00"),
    ]


def test_a_signed_scale_has_zero_in_its_middle() -> None:
    assert well_colours(WELLS, PlateMetric("probability", "", "", -3, 3, signed=True))[0] == ("d16", "0.00")
    nearly = WELLS | {"probability": [-0.001] * 3}
    assert well_colours(nearly, PlateMetric("probability", "", "", -3, 3, signed=True))[0] == ("d16", "0.00")


def test_words_have_a_colour_each() -> None:
    assert well_colours(WELLS, PlateMetric("predicted", "")) == [("n1", "WT"), ("n0", "DS"), ("none", "-")]
    assert legends(WELLS, [PlateMetric("predicted", "Class")])[0].names == [("n0", "DS"), ("n1", "WT")]


def test_answers_and_the_lack_of_one_have_colours_of_their_own() -> None:
    texts = ["WT", "can't say (DS or WT)", "can't say (no class)"]
    wells = WELLS | {"set": texts}
    plain = [colour for colour, _ in well_colours(wells, PlateMetric("set", ""))]
    assert "undecided" not in plain
    metric = PlateMetric("set", "", names=["DS", "WT"], undecided="can't say")
    # The second class keeps its colour without a well of the first.
    assert well_colours(wells, metric) == [("n1", "WT"), ("undecided", "can't say"), ("undecided", "can't say")]
    assert legends(wells, [metric])[0].names == [("n1", "WT"), ("undecided", "can't say")]
    assert ".undecided { background-image: repeating-linear-gradient" in ramp_styles()


def test_a_legend_says_what_lies_beyond_its_ends() -> None:
    assert legends(WELLS, [PlateMetric("probability", "")])[0].ticks == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    beyond = legends(WELLS, [PlateMetric("probability", "", low=0.5, high=0.9, digits=1)])[0].ticks
    assert (beyond[0], beyond[-1]) == ("≤ 0.5", "≥ 0.9")


def luminance(colour: str) -> float:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return float(
        np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    )


def test_text_is_read_on_every_colour() -> None:
    styles = re.findall(r"background: (#\w{6}); color: (#\w{3});", ramp_styles())
    assert len(styles) == 2 * 33 + 7 + 1
    for ground, ink in styles:
        dark, light = sorted((luminance(ground), 0.0 if ink == "#000" else 1.0))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize(("name", "even"), [("jet", False), ("cividis", True)])
def test_lightness_rises_evenly(name: str, even: bool) -> None:
    shades = [
        luminance("#" + bytes((np.array(colormaps[name](step / 32)[:3]) * 255).astype(int).tolist()).hex())
        for step in range(33)
    ]
    assert bool((np.diff(shades) > 0).all()) is even
