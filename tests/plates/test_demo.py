import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.culture import PHENOTYPES, draw_field
from leigh_mlops.plates.demo import write_demo_plate
from leigh_mlops.plates.layout import probe_position
from leigh_mlops.plates.split import assign_split
from leigh_mlops.plates.table import find_images


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo_plate(
        tmp_path_factory.mktemp("demo") / "plate", wells_per_class=10, fields_per_well=1, image_size_px=48
    )


def test_it_is_found_as_a_plate_of_a_microscope(demo):
    found = find_images(demo)
    assert (found.preset, found.channels) == ("harmony", ("DAPI", "TMRM"))
    assert (found.unmatched, found.unjoined) == ([], [])
    assert found.table["Metadata_Condition"].value_counts().to_dict() == {"DS": 10, "TT": 10}
    assert probe_position(found.table)["auc"] < 0.7
    for group in ("well", "donor"):
        assert set(assign_split(found.table, group)) == {"train", "val", "test"}


def test_files_are_those_of_an_opera_phenix(demo):
    image = tifffile.imread(demo / "Images" / "r02c02f01p01-ch1sk1fk1fl1.tiff")
    assert (image.shape, image.dtype) == ((48, 48), np.uint16)
    assert 50 < image.min() < image.max() <= 4095
    assert len(list((demo / "Images").iterdir())) == 40
    platemap = pd.read_csv(demo / "platemap.csv")
    assert list(platemap) == ["well_position", "condition", "control", "donor"]
    truth = json.loads((demo / "truth.json").read_text())
    assert truth["seed"] == 0
    assert truth["classes"]["TT"]["tmrm"] < truth["classes"]["DS"]["tmrm"]


def test_the_potential_differs_and_the_nuclei_do_not():
    def means(name):
        fields = [draw_field(np.random.default_rng(seed), PHENOTYPES[name], size_px=64) for seed in range(12)]
        return np.mean(fields, axis=(0, 2, 3))

    healthy, patient, treated = means("WT"), means("DS"), means("TT")
    np.testing.assert_allclose([patient[0], treated[0]], healthy[0], rtol=0.15)
    assert healthy[1] > 1.1 * patient[1] > 1.2 * treated[1]


def test_the_same_seed_draws_the_same_plate(tmp_path):
    small = {"wells_per_class": 1, "fields_per_well": 1, "image_size_px": 32}
    plates = [write_demo_plate(tmp_path / str(i), seed=seed, **small) for i, seed in enumerate([3, 3, 4])]
    first, same, other = ([path.read_bytes() for path in sorted((p / "Images").iterdir())] for p in plates)
    assert first == same
    assert first != other


def test_only_its_own_folder_is_replaced(tmp_path):
    small = {"wells_per_class": 1, "fields_per_well": 1, "image_size_px": 32}
    write_demo_plate(tmp_path / "demo", **small)
    write_demo_plate(tmp_path / "demo", classes=("WT",), **small)
    assert len(list((tmp_path / "demo" / "Images").iterdir())) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(LeighError, match="exists and is no demo plate"):
        write_demo_plate(tmp_path / "mine", **small)
    assert {path.name for path in tmp_path.iterdir()} == {"demo", "mine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ("DS", "XY")}, "classes DS,XY cannot be drawn; choose different ones of WT, DS, TT"),
        ({"classes": ("DS", "DS")}, "classes DS,DS cannot be drawn"),
        ({"classes": ()}, "classes none cannot be drawn"),
        ({"wells_per_class": 0}, "wells per class 0 is out of bounds"),
        ({"image_size_px": 9000}, "image size 9000 is out of bounds"),
    ],
)
def test_what_cannot_be_drawn(tmp_path, arguments, message):
    with pytest.raises(LeighError, match=message):
        write_demo_plate(tmp_path / "demo", **arguments)
