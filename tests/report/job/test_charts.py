import numpy as np
import pytest
from matplotlib.axes import Axes

from leigh_mlops.report.job.charts import (
    PageChart,
    curve_charts,
    dose_charts,
    latent_chart,
    neighbour_chart,
    strip_chart,
)
from leigh_mlops.report.job.job_records import NeighbourMap, PlateMetric
from leigh_mlops.report.table_columns import Columns

METRIC = PlateMetric("score", "Score", low=0, high=10, digits=0)
WELLS = {"Metadata_Condition": ["DS", "DS", "DS", None, "WT"], "score": [1.0, 2.0, 3.0, 20.0, np.nan]}
HREFS = [f"wells/{number}.html" for number in range(4)]


def axes_of(chart: PageChart) -> Axes:
    (axes,) = chart.figure.axes
    return axes


def tick_texts(axes: Axes) -> list[str]:
    axes.figure.draw_without_rendering()
    return [label.get_text() for label in axes.get_xticklabels()]


def legend_texts(chart: PageChart) -> list[str]:
    return [text.get_text() for text in chart.figure.legends[0].get_texts()]


@pytest.fixture
def fields() -> Columns:
    first, second = np.random.default_rng(0).normal(size=(200, 2)).T.tolist()
    places = {"Metadata_Plate": ["P1"] * 200, "Metadata_Well": ["B03"] * 200}
    return places | {"latent_1": first, "latent_2": second, "Metadata_Condition": ["DS", "WT"] * 100}


def head(table: Columns, count: int = 4) -> Columns:
    return {name: values[:count] for name, values in table.items()}


def test_strip_chart_has_a_strip_with_median_and_quartiles_for_each_label() -> None:
    chart = strip_chart(WELLS, METRIC)
    axes = axes_of(chart)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["DS", "no label"]
    assert (
        chart.description
        == "DS: 3 wells, median 2, middle half 2 to 2; no label: 1 well, median 20, middle half 20 to 20"
    )
    box = axes.patches[0]
    assert (box.get_x(), box.get_width()) == (1.5, 1.0)
    assert axes.collections[1].get_segments()[0][:, 0].tolist() == [2.0, 2.0]


def test_strip_chart_draws_values_beyond_the_axis_on_its_edge() -> None:
    axes = axes_of(strip_chart(WELLS, METRIC))
    assert axes.get_xlim() == (0, 10)
    assert axes.collections[0].get_offsets()[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert axes.collections[2].get_offsets()[:, 0].tolist() == [10.0]


def test_strip_chart_needs_a_value() -> None:
    assert strip_chart(WELLS | {"score": [np.nan] * 5}, METRIC) is None


def test_strip_chart_shortens_names_and_takes_no_formula_from_them() -> None:
    wells = {"Metadata_Condition": ["$a$ and a very long name"], "score": [1.0]}
    (label,) = axes_of(strip_chart(wells, METRIC)).get_yticklabels()
    assert label.get_text() == r"\$a\$ and a very lo…"
    bell = strip_chart(wells | {"Metadata_Condition": ["a\x07"]}, METRIC)
    assert axes_of(bell).get_yticklabels()[0].get_text() == "a\ufffd"


def test_latent_chart_has_a_dot_for_each_field_and_a_link_for_each_well(fields: Columns) -> None:
    chart = latent_chart(fields, head(fields), HREFS)
    axes = axes_of(chart)
    assert legend_texts(chart) == ["DS", "WT"]
    assert sum(len(patch.get_path()) // 2 for patch in axes.patches) == 200
    assert [dots.get_urls() for dots in axes.collections] == [HREFS[::2], HREFS[1::2]]
    places = np.stack([fields["latent_1"], fields["latent_2"]], axis=1)
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), places[:4:2])
    assert chart.links[HREFS[1]] == {"data-well": "1", "aria-label": "P1, B03, WT"}


def test_latent_chart_draws_outliers_on_its_edge(fields: Columns) -> None:
    beyond = {"latent_1": [1e6, np.nan], "latent_2": [0.0, 0.0]}
    far = {name: [*values, *beyond.get(name, [None, None])] for name, values in fields.items()}
    axes = axes_of(latent_chart(far, head(fields), HREFS))
    assert axes.get_xlim()[1] < 5
    unlabelled = axes.patches[2].get_path().vertices
    assert unlabelled.tolist() == [[axes.get_xlim()[1], 0.0]] * 2


def test_latent_chart_needs_two_components(fields: Columns) -> None:
    assert latent_chart({"latent_1": fields["latent_1"]}, head(fields), HREFS) is None


def test_neighbour_chart_places_wells_at_the_medians_of_their_fields() -> None:
    places = {"Metadata_Plate": ["P1"] * 6, "Metadata_Well": ["A01"] * 3 + ["A02"] * 3}
    labels = {"Metadata_Condition": ["DS"] * 3 + ["WT"] * 3}
    found = {"place_1": [0.0, 1.0, 8.0, 10.0, 11.0, 12.0], "place_2": [0.0, 1.0, 2.0, 5.0, 6.0, 7.0]}
    wells = {"Metadata_Plate": ["P1"] * 3, "Metadata_Well": ["A01", "A02", "A03"]} | {
        "Metadata_Condition": ["DS", "WT", "WT"]
    }
    chart = neighbour_chart(NeighbourMap("t-SNE", places | labels | found), wells, HREFS[:3])
    assert chart.title == "Map of neighbours (t-SNE)"
    axes = axes_of(chart)
    assert [dots.get_offsets().tolist() for dots in axes.collections] == [[[1.0, 1.0]], [[11.0, 6.0]]]
    assert set(tick_texts(axes)) == {""}
    assert neighbour_chart(None, wells, HREFS[:3]) is None


def test_curve_charts_have_a_line_for_each_part() -> None:
    curves = {
        "epoch": [1, 2, 1, 2, 1], "metric": ["train/log_loss"] * 2 + ["val/log_loss"] * 2 + ["val/accuracy"],
        "value": [1.0, 0.5, 1.2, np.nan, 0.9],
    }  # fmt: skip
    accuracy, loss = curve_charts(curves)
    assert (legend_texts(accuracy), legend_texts(loss)) == (["val"], ["train", "val"])
    assert [line.get_ydata().tolist() for line in axes_of(loss).lines] == [[1.0, 0.5], [1.2]]
    assert [line.get_marker() for line in axes_of(loss).lines] == ["None", "o"]
    assert loss.description == "log loss (nats) over epochs: train from 1 to 0.5, val from 1.2 to 1.2"
    assert curve_charts({}) == []


def test_dose_charts_sort_and_clip() -> None:
    doses = {"compound": ["A"] * 3 + ["B"] * 2, "dose": [10.0, 0.1, 1.0, 1.0, 2.0], "rescue": [90, 0, 400, 1, 2]}
    (chart,) = dose_charts(doses)
    axes = axes_of(chart)
    assert (chart.title, chart.description) == ("A", "A: rescue by dose, 0.1: 0 %, 1: 400 %, 10: 90 %")
    assert axes.collections[-1].get_offsets().tolist() == [[0.1, 0.0], [1.0, 150.0], [10.0, 90.0]]
    assert tick_texts(axes) == ["0.1", "1", "10"]
    assert not axes.lines
    assert dose_charts({}) == []


def test_dose_charts_label_the_ends_where_no_power_of_ten_is_near() -> None:
    doses = {"compound": ["A"] * 3, "dose": [2.0, 3.0, 5.0], "rescue": [1, 2, 3], "fitted": [1.0, 2.0, np.nan]}
    axes = axes_of(dose_charts(doses)[0])
    assert tick_texts(axes) == ["2", "5"]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.0, 2.0, np.nan])
