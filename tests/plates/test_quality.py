import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.bit_depth import bit_depths
from leigh_mlops.plates.flaws import FLAWS
from leigh_mlops.plates.quality import EXCLUDED_BY_DEFAULT, FLAGS, count_flags_by_class, flag_fields

CHANNELS = ("DAPI", "TMRM")


def fields(count=40, classes=("DS", "TT"), plate="p"):
    return pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": [f"A{1 + i // 2:02d}" for i in range(count)],
            "Metadata_Site": [1 + i % 2 for i in range(count)],
            "Metadata_Condition": [classes[i // 2 % len(classes)] for i in range(count)],
            **{f"FileName_{channel}": "x.tif" for channel in CHANNELS},
        }
    )


def measured(table, seed=0):
    """Measures of sound 12-bit fields; in class TT, TMRM has no signal."""
    rng, count, columns = np.random.default_rng(seed), len(table), {}
    for channel in CHANNELS:
        off = (table["Metadata_Condition"] == "TT") & (channel == "TMRM")
        columns |= {
            f"mean_{channel}": rng.lognormal(np.where(off, 3, 5), 0.1),
            f"max_{channel}": rng.integers(3000, 4000, count).astype(float),
            f"bits_{channel}": np.full(count, 4095.0),
            f"at_max_{channel}": np.full(count, 1e-5),
            f"focus_{channel}": rng.lognormal(np.where(off, -3, 0), 0.15),
            f"foreground_{channel}": np.where(off, 0.0, rng.uniform(0.05, 0.2, count)),
            f"debris_{channel}": np.where(rng.random(count) < 0.9, 0.0, 0.002),
        }
    return pd.DataFrame(columns, index=table.index)


def changed(quality, row, **values):
    quality = quality.copy()
    for name, value in values.items():
        quality.loc[row, [c for c in quality if c == name or (c.startswith(f"{name}_") and name in MEASURES)]] = value
    return quality


MEASURES = ("mean", "max", "bits", "at_max", "focus", "foreground", "debris")


def test_every_flaw_has_its_words():
    assert set(FLAGS) == {*FLAWS, "by_hand"}
    assert set(EXCLUDED_BY_DEFAULT) <= set(FLAWS)
    assert len(set(FLAGS.values())) == len(FLAGS)


@pytest.mark.parametrize("seed", range(5))
def test_sound_fields_have_no_flags(seed):
    table = fields(200)
    flags = flag_fields(table, measured(table, seed))
    assert (flags["Metadata_Flags"] == "").all()
    assert not flags["Metadata_Excluded"].any()
    assert flags["Metadata_Excluded"].dtype == bool


PLANTED = {
    "out_of_focus": ({"focus": 0.2}, "out of focus"),
    "empty": ({"foreground": 0.0005}, "empty"),
    "shapeless": ({"foreground": 0.008, "focus": np.nan}, "empty"),
    "debris": ({"debris_TMRM": 0.031, "debris_DAPI": 0.001}, "debris (TMRM 3.1 % of pixels)"),
    "saturated": ({"at_max_TMRM": 0.0312, "max_TMRM": 4095}, "saturated (TMRM 3.1 % of pixels)"),
    "dim": ({"mean_DAPI": 30}, "dim (DAPI 20 % of the median)"),
    "bright": ({"mean_DAPI": 600}, "bright (DAPI 404 % of the median)"),
    "unreadable": (dict.fromkeys(MEASURES, np.nan), "unreadable"),
}


@pytest.mark.parametrize("flaw", PLANTED)
def test_a_planted_flaw_is_named(flaw):
    table = fields()
    quality = measured(table)
    values, words = PLANTED[flaw]
    assert flag_fields(table, quality)["Metadata_Flags"][4] == ""
    flags = flag_fields(table, changed(quality, 4, **values))
    assert flags["Metadata_Flags"][4].split("(")[0] == words.split("(")[0]
    assert flags["Metadata_Flags"][4].endswith(words[-12:])
    assert (flags["Metadata_Flags"].drop(4) == "").all()
    name = next(name for name, known in FLAGS.items() if known == words.split(" (")[0])
    assert flags["Metadata_Excluded"][4] == (name in EXCLUDED_BY_DEFAULT)
    assert flag_fields(table, changed(quality, 4, **values), exclude=[name])["Metadata_Excluded"].sum() == 1
    assert not flag_fields(table, changed(quality, 4, **values), exclude=[])["Metadata_Excluded"].any()


def test_a_missing_channel_is_not_unreadable():
    table, quality = fields(), measured(fields())
    table.loc[3, "FileName_TMRM"] = None
    quality.loc[3] = np.nan
    flags = flag_fields(table, quality)
    assert flags["Metadata_Flags"][3] == "missing channel (TMRM)"
    assert flags["Metadata_Excluded"].tolist() == [i == 3 for i in range(40)]


def test_reasons_stand_side_by_side():
    table = fields()
    quality = changed(measured(table), 4, foreground=0.0, debris=0.02)
    assert flag_fields(table, quality)["Metadata_Flags"][4] == (
        "empty; debris (DAPI 2.0 % of pixels, TMRM 2.0 % of pixels)"
    )


def test_one_blurred_channel_is_not_out_of_focus():
    table = fields()
    quality = changed(measured(table), 4, focus_DAPI=0.1)
    assert (flag_fields(table, quality)["Metadata_Flags"] == "").all()


def test_a_class_without_tmrm_is_judged_by_the_channel_that_it_has():
    table = fields()
    treated = table.index[table["Metadata_Condition"] == "TT"][0]
    quality = measured(table)
    assert (quality.loc[table["Metadata_Condition"] == "TT", "focus_TMRM"] < 0.1).all()
    assert (flag_fields(table, quality)["Metadata_Flags"] == "").all()
    blurred = flag_fields(table, changed(quality, treated, focus_DAPI=0.1))
    assert blurred["Metadata_Flags"][treated] == "out of focus"
    # A treatment after which all nuclei are less crisp is not a flaw, though few wells of the plate have it.
    crisp = fields(120).assign(Metadata_Condition=["TT" if i < 20 else "DS" for i in range(120)])
    softened = measured(crisp)
    softened.loc[:19, "focus_DAPI"] *= 0.2
    assert (flag_fields(crisp, softened)["Metadata_Flags"] == "").all()
    # A few treated wells on a plate of untreated ones are no outliers either.
    few = table.assign(Metadata_Condition=["TT" if i < 4 else "DS" for i in table.index])
    assert (flag_fields(few, measured(few))["Metadata_Flags"] == "").all()


def test_intensity_is_compared_within_the_class_and_the_plate():
    table = pd.concat([fields(40, plate="p"), fields(40, plate="q")], ignore_index=True)
    quality = measured(table)
    quality.loc[40:, "mean_DAPI"] *= 20  # another exposure
    assert (flag_fields(table, quality)["Metadata_Flags"] == "").all()
    # As bright as the untreated, which no other treated field is.
    treated = table.index[table["Metadata_Condition"] == "TT"][0]
    quality.loc[treated, "mean_TMRM"] = np.exp(5)
    assert flag_fields(table, quality)["Metadata_Flags"][treated].startswith("bright (TMRM 7")
    unlabelled = table.assign(Metadata_Condition=None)
    assert (flag_fields(unlabelled, quality)["Metadata_Flags"] == "").all()


def test_small_plates_have_no_outliers():
    table = fields(11, classes=("DS",))
    values = {"focus": 1e-6, "mean": 1e4, "debris": 0.5}
    assert (flag_fields(table, changed(measured(table), 4, **values))["Metadata_Flags"] == "").all()
    large = fields(12, classes=("DS",))
    assert flag_fields(large, changed(measured(large), 4, **values))["Metadata_Flags"][4].startswith("out of focus; ")


def test_equal_fields_do_not_explode():
    table = fields()
    quality = pd.DataFrame(dict.fromkeys(measured(table), 1.0), index=table.index)
    assert (flag_fields(table, quality)["Metadata_Flags"] == "").all()
    nearly = changed(quality, 4, focus=0.9, mean=1.1, debris=1.005)
    assert (flag_fields(table, nearly)["Metadata_Flags"] == "").all()
    black = quality * 0
    assert (flag_fields(table, black)["Metadata_Flags"] == "empty").all()


@pytest.mark.parametrize(
    ("largest", "values", "share", "saturated"),
    [
        (4095, 4095, 0.02, True),
        (4095, 4095, 0.009, False),
        (4000, 4095, 0.02, False),  # 12 bits hold it, but it is not their top
        (4095 << 4, 0xFFF0, 0.02, True),
        (40000, 0xFFFF, 0.02, False),
    ],
)
def test_saturation_is_the_top_of_the_plates_bit_depth(largest, values, share, saturated):
    table = fields()
    quality = measured(table).assign(bits_DAPI=float(values), bits_TMRM=float(values), max_DAPI=100.0, max_TMRM=100.0)
    flags = flag_fields(table, changed(quality, 0, max_DAPI=largest, at_max_DAPI=share))
    assert flags["Metadata_Flags"].str.contains("saturated").tolist() == [saturated] + [False] * 39


def test_what_a_user_excluded_stays_out():
    table = fields().assign(Metadata_Excluded=False, Metadata_Flags="")
    quality = changed(measured(table), 6, focus=0.2)
    table.loc[[2, 4], "Metadata_Excluded"] = True
    table.loc[4, "Metadata_Flags"] = "bubble"
    flags = flag_fields(table, quality)
    assert flags["Metadata_Flags"][2] == "excluded in the table"
    assert flags["Metadata_Flags"][4] == "bubble; excluded in the table"
    assert flags["Metadata_Flags"][6] == "out of focus"
    assert flags.index[flags["Metadata_Excluded"]].tolist() == [2, 4, 6]

    again = flag_fields(table.assign(**flags), quality)
    pd.testing.assert_frame_equal(again, flags)
    # What a rule left out comes back under another rule; what a user left out does not.
    other = flag_fields(table.assign(**flags), quality, exclude=[])
    assert other.index[other["Metadata_Excluded"]].tolist() == [2, 4]


@pytest.mark.parametrize("yes", ["True", "true", "1", "yes"])
def test_exclusions_that_a_table_wrote_as_text(yes):
    table = fields().assign(Metadata_Excluded="False")
    table.loc[3, "Metadata_Excluded"] = yes
    table.loc[5, "Metadata_Excluded"] = None
    assert flag_fields(table, measured(table))["Metadata_Excluded"].tolist() == [i == 3 for i in range(40)]


@pytest.mark.parametrize(
    ("change", "exclude", "message"),
    [
        ({}, ["blurred"], "'blurred' is not a flaw to exclude by; choose from missing_channel, unreadable"),
        ({"Metadata_Excluded": "maybe"}, [], "Metadata_Excluded holds 'maybe'; write true or false"),
    ],
)
def test_what_cannot_be_flagged(change, exclude, message):
    with pytest.raises(LeighError, match=message):
        flag_fields(fields().assign(**change), measured(fields()), exclude=exclude)


def test_counts_show_a_flaw_that_falls_on_one_class():
    table = fields()
    quality = measured(table)
    none = count_flags_by_class(flag_fields(table, quality), table)
    assert none.index.tolist() == [*FLAGS, "excluded"]
    assert none.columns.tolist() == ["DS", "TT"]
    assert (none == 0).all(axis=None)
    quality = changed(quality, table.index[table["Metadata_Condition"] == "TT"][:3], foreground=0.0, debris=0.1)
    table.loc[39, "Metadata_Condition"] = None
    quality = changed(quality, 39, foreground=0.0)
    counts = count_flags_by_class(flag_fields(table, quality), table)
    assert counts.columns.tolist() == ["DS", "TT", "no class"]
    assert counts.loc[["empty", "debris", "dim", "excluded"]].to_numpy().tolist() == [
        [0, 3, 1],
        [0, 3, 0],
        [0, 0, 0],
        [0, 3, 1],
    ]


MOVED = "moved up by {}: every value is a multiple of {}"


@pytest.mark.parametrize(
    ("largest", "ored", "expected", "top", "sentence"),
    [
        (228, 255, (8, 0, 8), 255, "8 bits in 8-bit files"),
        (1000, 1023, (10, 0, 16), 1023, "10 bits in 16-bit files"),
        (4095, 4095, (12, 0, 16), 4095, "12 bits in 16-bit files"),
        (4096, 8191, (14, 0, 16), 16383, "14 bits in 16-bit files"),
        (65535, 65535, (16, 0, 16), 65535, "16 bits in 16-bit files"),
        (4095 << 4, 0xFFF0, (12, 4, 16), 65520, f"12 bits in 16-bit files, {MOVED.format(4, 16)}"),
        (200 << 8, 0xFF00, (8, 8, 16), 65280, f"8 bits in 16-bit files, {MOVED.format(8, 256)}"),
        (0, 0, (8, 0, 8), 255, "8 bits in 8-bit files"),
    ],
)
def test_bit_depths(largest, ored, expected, top, sentence):
    table = fields(4)
    quality = measured(table).assign(max_DAPI=1.0, max_TMRM=1.0, bits_DAPI=0.0, bits_TMRM=0.0)
    quality.loc[2, ["max_TMRM", "bits_TMRM"]] = [largest, ored]
    if not largest:
        quality[["max_DAPI", "max_TMRM"]] = 0.0
    quality.loc[3] = np.nan
    depth = bit_depths(table, quality)["p"]
    assert (depth.bits, depth.shift, depth.file_bits) == expected
    assert depth.max_value == top
    assert str(depth) == depth.sentence == sentence


def test_bit_depths_of_plates():
    table = pd.concat([fields(4, plate=name) for name in ("b", "a", "unread")], ignore_index=True)
    quality = measured(table)
    quality.loc[:3, ["max_DAPI", "max_TMRM"]] = 200.0
    quality.loc[8:] = np.nan
    depths = bit_depths(table, quality)
    assert {plate: depth.bits for plate, depth in depths.items()} == {"a": 12, "b": 8}
    known = bit_depths(table, quality, file_bits=16)["b"]
    assert (known.bits, known.file_bits) == (8, 16)


def test_blobs_in_one_channel_are_nuclei_not_debris():
    table = fields()
    quality = measured(table).assign(debris_DAPI=0.0, debris_TMRM=0.0)
    flags = flag_fields(table, changed(quality, 3, debris_DAPI=0.03))
    assert (flags["Metadata_Flags"] == "").all()
    assert "debris" in flag_fields(table, changed(quality, 3, debris=0.03))["Metadata_Flags"][3]


def test_one_hot_pixel_of_a_channel_does_not_hide_the_saturation_of_another():
    table = fields()
    quality = measured(table).assign(max_TMRM=4095.0, bits_TMRM=4095.0, at_max_TMRM=0.05)
    assert flag_fields(table, quality)["Metadata_Flags"].str.contains("saturated").all()
    hot = changed(quality, 0, max_DAPI=60_000.0, bits_DAPI=65_535.0)
    assert flag_fields(table, hot)["Metadata_Flags"].str.contains("saturated").all()


def test_a_class_of_few_blurred_fields_is_not_left_out():
    table = fields().iloc[:20].reset_index(drop=True)
    few = (table["Metadata_Condition"] == "DS").to_numpy().nonzero()[0]
    assert 0 < len(few) < 12
    quality = changed(measured(table), few, focus=0.2)
    assert not flag_fields(table, quality)["Metadata_Excluded"].any()
