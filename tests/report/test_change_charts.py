from dataclasses import replace

import pytest
from PIL import Image

from leigh_mlops.report.change_charts import ChangeDirection, change_figure, change_sentences, measure_name
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores.paired_changes import PairedChange

NAN = float("nan")
FALLS = PairedChange(
    before=9.0, after=5.9, change=-3.1, low=-3.4, high=-2.8, wells=12, p=1e-6, q=1e-5,
    real=-3.4, real_low=-3.9, real_high=-2.9, real_p=1e-8, real_q=1e-7,
)  # fmt: skip
UNKNOWN = replace(FALLS, real=NAN, real_low=NAN, real_high=NAN, real_p=NAN, real_q=NAN)


def way(**changes):
    return ChangeDirection("DS", "TT", changes, wells=12, unseen=True)


def test_measures_in_words():
    assert measure_name("area_ch3") == "area of ch3 (share of the field)"
    assert measure_name("ch3_intensity_DAPI") == "DAPI in ch3 (raw intensity)"


def test_a_change_is_said_with_its_interval_and_beside_the_real_difference():
    said = change_sentences(way(intensity_TMRM=FALLS, nuclei_area=FALLS))
    assert said == [
        "Towards TT (from DS, 12 wells, none seen in training), mean TMRM falls by 3.1 (2.8 to 3.4), "
        "91 % of the real difference of 3.4.",
        "Towards TT, the signs agree in 2 of the 2 measures in which the classes differ "
        "(false discovery rate below 5 %).",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace(FALLS, real=3.4), "falls by 3.1 (2.8 to 3.4), but between the classes it rises by 3.4."),
        (replace(FALLS, real_q=0.3), "where the classes are not known to differ (-3.4)."),
        (replace(FALLS, low=-6.0, high=1.0), "changes by -3.1 (-6 to 1), which is not significant."),
        (replace(FALLS, q=0.06), "changes by -3.1 (-3.4 to -2.8), which is not significant."),
        (UNKNOWN, "mean TMRM falls by 3.1 (2.8 to 3.4)."),
    ],
)
def test_what_is_not_known_is_not_claimed(change, words):
    said = change_sentences(way(intensity_TMRM=change))
    assert said[0].endswith(words)


def test_signs_are_counted_among_real_differences_alone():
    changes = {"a": FALLS, "b": replace(FALLS, real=3.4), "c": replace(FALLS, real_q=0.3), "d": UNKNOWN}
    assert change_sentences(way(**changes)) == [
        "Towards TT, the signs agree in 1 of the 2 measures in which the classes differ "
        "(false discovery rate below 5 %)."
    ]
    assert change_sentences(way(d=UNKNOWN)) == []


def test_one_well_and_trained_wells_and_fields_left_out():
    few = replace(FALLS, low=NAN, high=NAN)
    assert change_sentences(way(intensity_TMRM=few))[0].startswith("Towards TT, the signs agree")
    seen = replace(way(intensity_TMRM=FALLS), unseen=False, left_out=1)
    said = change_sentences(seen)
    assert "some of them seen in training" in said[0]
    assert said[-1] == "Towards TT, 1 field with a red counterfactual is left out of these measures."


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_one_row_for_each_measure_and_one_column_for_each_way(tmp_path):
    there = way(intensity_TMRM=FALLS, nuclei_area=UNKNOWN, texture_TMRM=replace(FALLS, real=3.4))
    back = ChangeDirection("TT", "DS", dict.fromkeys(there.changes, replace(FALLS, real_q=0.3)), wells=1, unseen=False)
    figure = change_figure([there, back], "What changes")
    assert len(figure.axes) == 6
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [
        "from DS towards TT (12 wells)", "from TT towards DS (1 well)",
    ]  # fmt: skip
    assert [texts(axes) for axes in figure.axes[::2]] == [["91 %"], ["classes not\ncompared"], ["-91 %\nopposite sign"]]
    nothing = replace(FALLS, change=NAN, low=NAN, high=NAN)
    assert texts(change_figure([way(nuclei_area=nothing)], "").axes[0]) == ["not measured"]
    assert texts(figure.axes[1]) == ["classes not\nknown to differ"]
    assert all(axes.get_xlim()[0] == -axes.get_xlim()[1] for axes in figure.axes)
    with Image.open(save_figure(figure, tmp_path / "changes.png")) as picture:
        assert min(picture.size) > 300


def test_a_figure_needs_a_direction():
    with pytest.raises(ValueError, match="nothing to draw"):
        change_figure([], "What changes")
