import numpy as np
import pandas as pd
import pytest

from leigh_mlops.plates import well_name
from leigh_mlops.report.latent_picture import latent_picture, outlying_rows, variance_share
from leigh_mlops.report.style import PALETTE, save_figure

EXPLAINED = [0.43, 0.12, 0.1]


def fields(rows=4, cols=9, sites=2, plates=1, seed=0):
    """Component 1 follows the class, component 2 the column of the well."""
    rng, table = np.random.default_rng(seed), []
    for plate in range(plates):
        for row in range(1, rows + 1):
            for col in range(1, cols + 1):
                name = ("DS", "TT", "WT")[(row + col) % 3]
                at = rng.normal(size=2) * 0.1 + ({"DS": -3, "TT": 0, "WT": 3}[name], 0.5 * col)
                for site in range(1, sites + 1):
                    table.append(
                        {
                            "field": f"P{plate}_{well_name(row, col)}_f{site}",
                            "Metadata_Plate": f"P{plate}",
                            "Metadata_Well": well_name(row, col),
                            "Metadata_Row": row,
                            "Metadata_Col": col,
                            "Metadata_Site": site,
                            "Metadata_Condition": name,
                            "seen": col % 2 == 0,
                            "latent_1": at[0] + rng.normal(),
                            "latent_2": at[1] + rng.normal(),
                            "latent_distance": 2.0,
                        }
                    )
    return pd.DataFrame(table)


def columns(table):
    return table.to_dict("list")


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_shares_tell_what_a_component_goes_with():
    table = fields()
    assert variance_share(columns(table), "latent_1", "Metadata_Condition") > 0.8
    assert variance_share(columns(table), "latent_2", "Metadata_Condition") < 0.1
    assert variance_share(columns(table), "latent_2", "Metadata_Col") > 0.6


def test_chance_explains_nothing_however_many_fields_a_well_has():
    shares = []
    for seed in range(40):
        table = fields(rows=4, cols=3, sites=20, seed=seed)
        table["latent_1"] = table["Metadata_Well"].map(
            dict(zip(table["Metadata_Well"].unique(), np.random.default_rng(seed).normal(size=12), strict=True))
        )
        shares.append(variance_share(columns(table), "latent_1", "Metadata_Row"))
    assert np.median(shares) < 0.05


def test_shares_that_cannot_be_told_are_nan():
    table = fields()
    assert np.isnan(variance_share(columns(table), "latent_1", "Metadata_Plate"))
    assert np.isnan(variance_share(columns(table), "latent_1", "field"))
    assert np.isnan(variance_share(columns(table), "latent_distance", "Metadata_Row"))


def test_the_share_is_the_adjusted_r_squared_by_hand():
    table = pd.DataFrame(
        {"Metadata_Plate": "P", "Metadata_Well": list("abcd"), "x": [0.0, 2.0, 4.0, 6.0], "group": list("ssll")}
    )
    # Within: 4 over 2 degrees of freedom; in all: 20 over 3.
    assert variance_share(columns(table), "x", "group") == pytest.approx(1 - (4 / 2) / (20 / 3))


def test_many_wells_are_shown_by_row_and_column():
    figure = latent_picture(columns(fields(plates=2)), EXPLAINED, 3.0)
    assert [title.partition(":")[0] for title in titles(figure)] == [
        "class",
        "plate",
        "row",
        "column",
    ]
    first = figure.axes[0]
    assert first.get_xlabel() == "component 1 (43% of the training fields' variance)"
    assert first.get_ylabel() == "component 2 (12% of the training fields' variance)"
    assert legend(first) == ["DS (48)", "TT (48)", "WT (48)"]
    assert legend(figure.axes[1]) == ["P0 (72)", "P1 (72)"]


def test_few_wells_are_named():
    figure = latent_picture(columns(fields(rows=2, cols=6)), EXPLAINED, 3.0)
    assert [title.partition(":")[0] for title in titles(figure)] == ["class", "plate", "well"]
    assert {text.get_text() for text in figure.axes[2].texts} >= {"A01", "B06"}


def test_far_fields_are_numbered_and_named():
    table = fields()
    assert "far out" not in latent_picture(columns(table), EXPLAINED, 3.0).get_supxlabel()
    table.loc[[5, 9], "latent_distance"] = [7.0, 8.0]
    table.loc[[5, 9], "latent_1"] = [4.0, 900.0]
    assert outlying_rows(columns(table), 3.0) == [9, 5]
    figure = latent_picture(columns(table), EXPLAINED, 3.0)
    said = figure.get_supxlabel()
    assert "2 of 72 fields lie far out (distance above 3.0)" in said
    assert f"1  {table['field'][9]}, distance 8.0" in said
    assert f"2  {table['field'][5]}, distance 7.0" in said
    for axes in figure.axes[:4]:
        assert {text.get_text() for text in axes.texts} >= {"1", "2"}
        assert axes.get_xlim()[1] < 50


def test_numbers_that_would_cover_each_other_share_a_label():
    table = fields()
    table.loc[[5, 9], ["latent_1", "latent_2", "latent_distance"]] = [6.0, 6.0, 9.0]
    assert "1, 2" in {text.get_text() for text in latent_picture(columns(table), EXPLAINED, 3.0).axes[0].texts}


def test_of_many_far_fields_the_farthest_are_named():
    said = latent_picture(columns(fields()), EXPLAINED, 1.0).get_supxlabel()
    assert "72 of 72 fields lie far out (distance above 1.0), the 8 farthest named here" in said
    assert said.count(", distance ") == 8


def test_every_field_is_drawn_once_and_those_seen_are_hollow():
    table = fields()
    table.loc[:9, "Metadata_Condition"] = None
    drawn = [
        dots for dots in latent_picture(columns(table), EXPLAINED, 3.0).axes[0].collections if len(dots.get_offsets())
    ]
    assert sum(len(dots.get_offsets()) for dots in drawn) == 72
    hollow = [dots for dots in drawn if not len(dots.get_facecolors())]
    assert sum(len(dots.get_offsets()) for dots in hollow) == table["seen"].sum()
    assert len({dots.get_edgecolors()[0].tobytes() for dots in hollow}) == 4
    assert len(PALETTE) == 7


def test_one_component_stands_against_the_distance(tmp_path):
    table = fields().drop(columns=["latent_2", "seen", "Metadata_Condition"])
    figure = latent_picture(columns(table), [0.9], 3.0)
    assert figure.axes[0].get_ylabel() == "distance from the training fields"
    assert [title.partition(":")[0] for title in titles(figure)] == ["plate", "row", "column"]
    assert legend(figure.axes[0]) == ["P0 (72)"]
    assert save_figure(figure, tmp_path / "a.png").stat().st_size > 10_000


def test_nothing_cannot_be_drawn():
    for table, explained in ((fields()[:0], EXPLAINED), (fields(), [])):
        with pytest.raises(ValueError, match="nothing to draw"):
            latent_picture(columns(table), explained, 3.0)
