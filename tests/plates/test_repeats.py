import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.find_images import find_images
from leigh_mlops.plates.repeats import choose_repeats, parse_repeat


def files(times, sites=None):
    about = {"Metadata_Plate": "p", "Metadata_Well": "B03", "Metadata_Site": sites or 1, "Metadata_Time": times}
    return pd.DataFrame(about)


def test_single_time_points_stay_whatever_their_numbers():
    kept, note = choose_repeats(files([0, 5], [1, 2]), "Metadata_Time", None)
    assert (len(kept), note) == (2, "")


def test_the_time_point_that_most_fields_have_is_kept():
    kept, note = choose_repeats(files([0, 5, 5], [1, 1, 2]), "Metadata_Time", None)
    assert kept["Metadata_Time"].tolist() == [5, 5]
    assert note == "of the time points 0, 5, 5 is kept; choose another or all with --time"
    assert len(choose_repeats(files([0, 5], [1, 1]), "Metadata_Time", "all")[0]) == 2


def test_each_plate_keeps_its_own():
    both = pd.concat([files([1, 1], [1, 2]), files([2, 3, 2], [1, 1, 2]).assign(Metadata_Plate="q")])
    kept, note = choose_repeats(both, "Metadata_Time", None)
    assert kept["Metadata_Time"].tolist() == [1, 1, 2, 2]
    assert note == "of the time points 2, 3, 2 is kept; choose another or all with --time"
    both.loc[both["Metadata_Plate"] == "p", "Metadata_Time"] = [4, 7]
    assert len(choose_repeats(both, "Metadata_Time", None)[0]) == 4
    both.loc[both["Metadata_Plate"] == "p", "Metadata_Site"] = 1
    kept, note = choose_repeats(both, "Metadata_Time", None)
    assert kept["Metadata_Time"].tolist() == [4, 2, 2]
    assert "those that most fields of a plate have (2, 4) are kept" in note


@pytest.mark.parametrize(("wanted", "kept"), [("first", [0]), ("last", [7]), (5, [5])])
def test_a_choice_counts(wanted, kept):
    assert choose_repeats(files([0, 5, 7]), "Metadata_Time", wanted)[0]["Metadata_Time"].tolist() == kept


def test_choices_that_cannot_be():
    with pytest.raises(LeighError, match="--time 3: no image has it; the time points are 0, 5"):
        choose_repeats(files([0, 5]), "Metadata_Time", 3)
    with pytest.raises(LeighError, match="the images have no acquisitions"):
        choose_repeats(files([0, 5]), "Metadata_Acquisition", 3)
    with pytest.raises(LeighError, match="--time 'noon' is not a choice"):
        parse_repeat("noon", "--time")
    with pytest.raises(LeighError, match="is not a choice"):
        parse_repeat("9" * 5000, "--time")


def test_a_time_series_counts_each_field_once(tmp_path):
    for name in ("A_C5_1_h0_w1.tif", "A_C5_1_h6_w1.tif", "A_C5_2_h0_w1.tif"):
        (tmp_path / name).touch()
    pattern = r"A_(?P<well>C5)_(?P<site>\d)_h(?P<time>\d)_w(?P<channel>\d)\.tif"
    found = find_images(tmp_path, pattern=pattern)
    assert found.table["Metadata_Site"].tolist() == [1, 2]
    assert found.notes == ["of the time points 0, 6, 0 is kept; choose another or all with --time"]
    assert len(find_images(tmp_path, pattern=pattern, time="all").table) == 3
