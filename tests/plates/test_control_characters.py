import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.control_characters import require_printable_names
from leigh_mlops.plates.find_images import find_images

TABLE = pd.DataFrame({"Metadata_Plate": ["p", "p"], "Metadata_Well": ["B03", "B04"]})


@pytest.mark.parametrize("column", ["Plate", "Condition", "Compound", "JCP2022", "Donor", "Batch"])
@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\r", "\n", "\t", "\x9b", "\u2028", "\u202e", "\udcff"])
def test_a_name_with_a_control_character_is_refused(column, sign):
    names = pd.Series(["Plätte-1 \N{DNA DOUBLE HELIX}", None], dtype=object)
    require_printable_names(TABLE.assign(**{f"Metadata_{column}": names}))
    with pytest.raises(LeighError, match="has a control character; rename it") as caught:
        require_printable_names(TABLE.assign(**{f"Metadata_{column}": names.where(names.notna(), f"x{sign}y")}))
    assert str(caught.value).isprintable()
    assert f"'x{ascii(sign)[1:-1]}y'" in str(caught.value)


def place_fields(root):
    (root / "Images").mkdir(parents=True)
    for well in ("r02c02", "r02c03"):
        (root / "Images" / f"{well}f01p01-ch1sk1fk1fl1.tiff").touch()
    return root


@pytest.mark.parametrize("column", ["condition", "compound"])
def test_a_plate_map_with_a_control_character_makes_no_table(tmp_path, column):
    root, platemap = place_fields(tmp_path / "p"), "well_position,{}\nB02,x{}y\nB03,z\n"
    (root / "platemap.csv").write_text(platemap.format(column, ""))
    assert len(find_images(root).table) == 2
    (root / "platemap.csv").write_text(platemap.format(column, "\x1b[2J"))
    with pytest.raises(LeighError, match=r"'x\\x1b\[2Jy' of well p/B02 has a control character"):
        find_images(root)


def test_a_plate_whose_folder_has_a_control_character_makes_no_table(tmp_path):
    with pytest.raises(LeighError, match=r"Plate 'p\\n1' of well p\\n1/B02 has a control character"):
        find_images(place_fields(tmp_path / "p\n1"))
