from collections import Counter

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import probe_position
from leigh_mlops.plates.demo.demo_wells import demo_fields, demo_platemap, demo_wells
from leigh_mlops.plates.demo.design import DemoDesign, first_classes


def position_auc(wells):
    table = pd.DataFrame(
        {
            "Metadata_Plate": [str(well.plate) for well in wells],
            "Metadata_Well": [well.name for well in wells],
            "Metadata_Row": [well.row for well in wells],
            "Metadata_Col": [well.col for well in wells],
            "Metadata_Condition": [well.condition for well in wells],
        }
    )
    return probe_position(table)["auc"]


def of_class(wells, read):
    return {name: {read(well) for well in wells if well.condition == name} for name in ("DS", "TT")}


@pytest.mark.parametrize("size", [None, 96, 384])
def test_classes_stand_in_blocks_only_on_request(size):
    assert position_auc(demo_wells(DemoDesign(wells=size))) < 0.7
    blocks = demo_wells(DemoDesign(wells=size, confounder="position"))
    assert position_auc(blocks) > 0.95
    counts = Counter(well.condition for well in blocks)
    assert counts["DS"] == counts["TT"]


def test_a_plate_gives_the_class_away_only_on_request():
    several = demo_wells(DemoDesign(plates=2))
    assert of_class(several, lambda well: well.plate) == {"DS": {0, 1}, "TT": {0, 1}}
    confounded = demo_wells(DemoDesign(plates=2, confounder="plate"))
    assert of_class(confounded, lambda well: well.plate) == {"DS": {0}, "TT": {1}}
    assert len(confounded) == len(several)


def test_donors_and_backgrounds_differ_only_on_request():
    usual = demo_wells(DemoDesign())
    donors = of_class(usual, lambda well: well.donor)
    assert donors["DS"] == donors["TT"] == {"patient1", "patient2", "patient3"}
    assert {(well.parameters.nucleus, well.parameters.background) for well in usual} == {(1, 0)}

    own = demo_wells(DemoDesign(confounder="donor"))
    donors = of_class(own, lambda well: well.donor)
    assert not donors["DS"] & donors["TT"]
    assert of_class(own, lambda well: well.parameters.nucleus) == {"DS": {0.9}, "TT": {1.1}}
    bright = demo_wells(DemoDesign(confounder="background"))
    assert of_class(bright, lambda well: well.parameters.background) == {"DS": {0}, "TT": {60}}


def columns_of(wells):
    return [{well.col for well in wells if well.condition == name} for name in {well.condition for well in wells}]


def test_more_than_three_classes_stand_where_chance_says():
    assert not set.intersection(*columns_of(demo_wells(DemoDesign(classes=first_classes(3), wells=96))))
    wells = demo_wells(DemoDesign(classes=first_classes(4), wells=96))
    assert set(Counter(well.condition for well in wells).values()) == {24}
    assert min(map(len, columns_of(wells))) >= 8
    assert position_auc(wells) < 0.7
    names = [[well.condition for well in demo_wells(DemoDesign(classes=first_classes(4), seed=i))] for i in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    blocks = demo_wells(DemoDesign(classes=first_classes(4), confounder="position"))
    assert [well.condition for well in blocks] == sorted(
        (well.condition for well in blocks), key=first_classes(4).index
    )


def test_controls_are_healthy_or_bright_and_dim_cells():
    def controls(*classes):
        design = DemoDesign(classes=classes)
        table = demo_platemap(design, demo_wells(design), ["P"])
        return dict(zip(table["condition"], table["control"], strict=True))

    assert controls("DS", "TT") == {"DS": "negcon", "TT": "poscon"}
    assert controls("WT", "hyperpolarised", "TT") == {"WT": "negcon", "hyperpolarised": "", "TT": "poscon"}
    assert controls("TT") == {"TT": "negcon"}


def test_a_full_plate_has_every_well():
    wells = demo_wells(DemoDesign(wells=384, classes=("WT", "DS", "TT")))
    assert {(well.row, well.col) for well in wells} == {(row, col) for row in range(1, 17) for col in range(1, 25)}
    assert set(Counter(well.condition for well in wells).values()) == {128}
    assert len(demo_wells(DemoDesign(wells=96))) == 96


def test_plates_rows_and_edges_differ_as_much_as_was_asked_for():
    def stains(strength):
        wells = demo_wells(DemoDesign(wells=384, plates=3, plate_effect=strength))
        return np.log([well.parameters.stain for well in wells]).reshape(3, 384), wells

    none, wells = stains(0.0)
    assert {well.parameters.exposure for well in wells} == {(1.0, 1.0)}
    strong, wells = stains(0.4)
    assert len({well.parameters.exposure for well in wells}) == 3
    assert none.mean(axis=1).std() < 0.02 < 0.1 < strong.mean(axis=1).std()
    edge = np.array([well.row in (1, 16) or well.col in (1, 24) for well in wells]).reshape(3, 384)
    gain = strong - none  # the same wells, so chance cancels
    assert (gain[edge].mean() - gain[~edge].mean()) > 0.1
    slopes = [np.corrcoef(gain[plate], [well.row for well in wells[:384]])[0, 1] for plate in range(3)]
    assert np.abs(slopes).max() > 0.3


def test_flaws_fall_on_as_many_fields_as_was_asked_for():
    design = DemoDesign()
    assert {field.flaw for field in demo_fields(design, demo_wells(design))} == {""}
    flawed = DemoDesign(saturated=0.25, empty=0.5, wells_per_class=10, fields_per_well=2)
    fields = demo_fields(flawed, demo_wells(flawed))
    assert Counter(field.flaw for field in fields) == {"saturated": 10, "empty": 20, "": 10}
    assert [(field.well.number, field.site) for field in fields[:3]] == [(0, 1), (0, 2), (1, 1)]
    assert fields[0].make_rng(0).random() != fields[1].make_rng(0).random()


def test_the_plate_map_names_plates_where_there_are_several():
    design = DemoDesign(plates=3, wells_per_class=2)
    platemap = demo_platemap(design, demo_wells(design), ["a", "b", "c"])
    assert list(platemap) == ["plate", "well_position", "condition", "control", "donor", "batch"]
    assert dict(zip(platemap["plate"], platemap["batch"], strict=True)) == {"a": "batch1", "b": "batch1", "c": "batch2"}
    assert set(platemap.groupby("condition")["control"].unique().explode().items()) == {
        ("DS", "negcon"),
        ("TT", "poscon"),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ("DS", "XY")}, "classes DS,XY are unknown or repeated; choose different ones from WT, DS, TT"),
        (
            {"classes": ("DS", "swollen"), "effect": "intensity"},
            "DS,swollen are .*choose different ones from WT, DS, TT, or leave the effect 'both'",
        ),
        ({"classes": ("DS", "DS")}, "classes DS,DS are unknown or repeated"),
        ({"classes": ()}, "classes none are unknown or repeated"),
        ({"classes": ("DS",), "confounder": "donor"}, "the confounder 'donor' needs at least two classes"),
        ({"wells_per_class": 0}, "wells per class 0 is out of bounds"),
        ({"wells_per_class": 400, "classes": ("WT", "DS", "TT"), "wells": 1536}, "wells 1536 is unknown"),
        ({"wells_per_class": 400, "classes": ("WT", "DS", "TT")}, None),
        ({"image_size_px": 9000}, "image size 9000 is out of bounds"),
        ({"debris": 1.5}, "debris 1.5 is out of bounds"),
        ({"illumination": 1}, "illumination 1 is out of bounds; choose 0 to 0.8"),
        ({"effect": "size"}, "effect size is unknown; choose one of both, intensity, morphology"),
        ({"confounder": "moon"}, "confounder moon is unknown; choose one of none, position"),
        ({"confounder": "plate", "plates": 1}, "2 classes need 2 plates, one for each, not 1"),
        ({"saturated": 0.7, "debris": 0.7}, r"\(saturated 0.7, debris 0.7\) add up to more than 1"),
    ],
)
def test_what_cannot_be_drawn(arguments, message):
    if message is None:
        assert DemoDesign(**arguments).wells_per_plate == 1200
        return
    with pytest.raises(LeighError, match=message):
        DemoDesign(**arguments)


def test_a_shift_makes_plates_differ_in_gain_offset_focus_and_density() -> None:
    plain, shifted = (demo_wells(DemoDesign(wells_per_class=2, plates=2, plate_shift=shift)) for shift in (0.0, 1.0))
    assert {well.parameters.blur for well in plain} == {0.0}
    changes = []
    for before, after in zip(plain, shifted, strict=True):
        old, new = before.parameters, after.parameters
        gains = [one / other for one, other in zip(new.exposure, old.exposure, strict=True)]
        assert all(0.5 <= gain <= 2 for gain in gains)
        changes.append((*np.round([*gains, new.density / old.density], 9), new.background, new.blur))
    # The same for all wells of a plate, and another one for each plate.
    assert len(set(changes)) == 2
    first, second = sorted(set(changes))
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_views_differ_only_on_request():
    usual = {well.parameters for well in demo_wells(DemoDesign())}
    assert {(each.blur, each.stamp) for each in usual} == {(0.0, False)}
    for name, read in (("focus", lambda each: each.blur), ("stamp", lambda each: each.stamp)):
        found = of_class(demo_wells(DemoDesign(confounder=name)), lambda well, read=read: read(well.parameters))
        assert not found["DS"] & found["TT"]
    dense = demo_wells(DemoDesign(confounder="density"))
    plain = demo_wells(DemoDesign())
    ratios = {
        (one.condition, round(one.parameters.density / other.parameters.density, 6))
        for one, other in zip(dense, plain, strict=True)
    }
    assert ratios == {("DS", 0.5), ("TT", 2.0)}


def test_a_screen_has_treated_wells_of_patients():
    plain = DemoDesign(classes=["DS", "WT"])
    assert {well.compound for well in demo_wells(plain)} == {""}
    design = DemoDesign(classes=["DS", "WT"], compounds=["inert", "toxic"], wells_per_compound=3)
    wells = demo_wells(design)
    assert Counter(well.compound for well in wells) == {"": 30, "inert": 3, "toxic": 3}
    assert {well.condition for well in wells if well.compound} == {"DS"}
    before = {well.name: well.parameters.density for well in demo_wells(plain)}
    assert {round(w.parameters.density / before[w.name], 6) for w in wells if w.compound == "toxic"} == {0.12}
    table = demo_platemap(design, wells, ["P"]).set_index("well_position")
    assert set(table.loc[table["compound"] != "", "control"]) == {""}
    assert set(table.loc[(table["compound"] == "") & (table["condition"] == "WT"), "control"]) == {"poscon"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"compounds": ["aspirin"]}, "compounds aspirin are unknown"),
        ({"compounds": ["inert"], "classes": ["DS", "TT"]}, "need the classes DS and WT"),
        ({"compounds": ["inert", "toxic"], "wells_per_class": 8}, "leave fewer than 2 of 8 wells of DS untreated"),
    ],
)
def test_screens_that_cannot_be_drawn(options, match):
    with pytest.raises(LeighError, match=match):
        DemoDesign(**({"classes": ["DS", "WT"]} | options))


@pytest.mark.parametrize("count", [0, 9])
def test_no_more_classes_than_there_are(count):
    assert first_classes(2) == ("WT", "DS")
    with pytest.raises(LeighError, match=rf"{count} classes can't be drawn, since there are 8 \(WT, .*choose 1 to 8"):
        first_classes(count)
