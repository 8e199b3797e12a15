import numpy as np
import pandas as pd

from leigh_mlops.report.job.charts import curve_charts, latent_chart, strip_chart
from leigh_mlops.report.job.dose_charts import dose_charts
from leigh_mlops.report.job.job_records import PlateMetric

METRIC = PlateMetric("score", "Score", low=0, high=10, digits=0)
WELLS = pd.DataFrame({"Metadata_Condition": ["DS", "DS", "DS", None, "WT"], "score": [1.0, 2.0, 3.0, 20.0, np.nan]})


def test_a_strip_says_median_and_quartiles_of_each_label() -> None:
    chart = strip_chart(WELLS, METRIC)
    assert [strip.name for strip in chart.strips] == ["DS", "no label"]
    assert (
        chart.caption == "DS: 3 wells, median 2, middle half 2 to 2; no label: 1 well, median 20, middle half 20 to 20"
    )
    assert len(chart.strips[0].dots) == 3


def test_what_lies_beyond_the_axis_stands_on_its_edge() -> None:
    ds, unlabelled = strip_chart(WELLS, METRIC).strips
    assert [round(x) for x, _ in ds.dots] == [187, 244, 301]
    assert unlabelled.dots[0][0] == 700


def test_without_values_there_is_no_strip() -> None:
    assert strip_chart(WELLS.assign(score=np.nan), METRIC) is None


def test_a_latent_map_has_a_dot_for_each_field_and_a_place_for_each_well() -> None:
    rng = np.random.default_rng(0)
    fields = pd.DataFrame(rng.normal(size=(200, 2)), columns=["latent_1", "latent_2"])
    fields["Metadata_Condition"] = ["DS", "WT"] * 100
    chart = latent_chart(fields, fields[:4])
    assert [group.name for group in chart.groups] == ["DS", "WT"]
    assert sum(group.path.count("M") for group in chart.groups) == 200
    assert sorted(number for group in chart.groups for *_, number in group.wells) == [0, 1, 2, 3]
    far = latent_chart(pd.concat([fields, pd.DataFrame({"latent_1": [1e6], "latent_2": [0.0]})]), fields[:4])
    assert float(far.x.ticks[-1][1]) < 5
    assert latent_chart(fields[["latent_1"]], fields) is None


def test_curves_have_a_line_for_each_part() -> None:
    curves = pd.DataFrame({
        "epoch": [1, 2, 1, 2, 1], "metric": ["train/log_loss"] * 2 + ["val/log_loss"] * 2 + ["val/accuracy"],
        "value": [1.0, 0.5, 1.2, np.nan, 0.9],
    })  # fmt: skip
    accuracy, loss = curve_charts(curves)
    assert [name for name, *_ in accuracy.lines] == ["val"]
    assert [name for name, *_ in loss.lines] == ["train", "val"]
    assert loss.description == "train from 1 to 0.5, val from 1.2 to 1.2"
    assert curve_charts(pd.DataFrame()) == []


def test_doses_of_a_compound_stand_in_their_order() -> None:
    doses = pd.DataFrame(
        {"compound": ["A"] * 3 + ["B"] * 2, "dose": [10.0, 0.1, 1.0, 1.0, 2.0], "rescue": [90, 0, 400, 1, 2]}
    )
    (chart,) = dose_charts(doses)
    assert chart.name == "A"
    assert chart.description == "0.1: 0 %, 1: 400 %, 10: 90 %"
    xs, ys = [x for x, *_ in chart.points], [y for _, y, *_ in chart.points]
    assert xs == sorted(xs)
    assert ys[1] == 10
    assert [text for _, text in chart.x.ticks] == ["0.1", "1", "10"]
    assert chart.curve == ""
    assert dose_charts(pd.DataFrame()) == []
