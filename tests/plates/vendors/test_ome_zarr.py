import json
import os

import numpy as np
import pytest
import zarr

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.find_images import find_images
from leigh_mlops.plates.vendors.ome_zarr import read_zarr_plates

UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def attributes_of(group, version, **about):
    group.attrs.update({"ome": {"version": "0.5", **about}} if version == 3 else about)


def write_field(plate, path, version, shape, axes, labels=("DAPI", "TMRM")):
    field = plate.create_group(path)
    field.create_array("0", data=np.zeros(shape, np.uint16))
    scale = {"type": "scale", "scale": [1.0] * (len(axes) - 2) + [0.5, 0.5]}
    attributes_of(
        field,
        version,
        multiscales=[
            {
                "axes": [{"name": axis, "unit": UNITS.get(axis)} for axis in axes],
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
        omero={"channels": [{"label": label} for label in labels]},
    )


def write_plate(path, version=3, shape=(2, 4, 4), axes="cyx", wells=("B/03",), fields=("0",), name="P1", **more):
    plate = zarr.open_group(path, mode="w", zarr_format=version)
    rows, columns = sorted({well.split("/")[0] for well in wells}), sorted({well.split("/")[1] for well in wells})
    about = {
        "name": name,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {"path": well, "rowIndex": rows.index(well.split("/")[0]), "columnIndex": columns.index(well.split("/")[1])}
            for well in wells
        ],
    }
    attributes_of(plate, version, plate=about)
    for well in wells:
        group = plate.create_group(well)
        attributes_of(group, version, well={"images": [{"path": field} for field in fields]})
        for field in fields:
            write_field(plate, f"{well}/{field}", version, shape, axes, **more)
    return path


def edit(group, change):
    """Change the attributes of a group on disk, in either version."""
    file = next(group / name for name in ("zarr.json", ".zattrs") if (group / name).is_file())
    content = json.loads(file.read_text())
    change(content["attributes"]["ome"] if file.name == "zarr.json" else content)
    file.write_text(json.dumps(content))


both = pytest.mark.parametrize("version", [2, 3])


@both
def test_a_folder_without_a_plate(tmp_path, version):
    assert read_zarr_plates(tmp_path) is None
    assert read_zarr_plates(tmp_path / "none") is None
    write_field(zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=version), "0", version, (2, 4, 4), "cyx")
    assert read_zarr_plates(tmp_path) is None


@both
@pytest.mark.parametrize("where", ["P.zarr", "."])
def test_a_plate_in_both_versions(tmp_path, version, where):
    plate = write_plate(tmp_path / "P.zarr", version, wells=("C/3", "C/12"), fields=("0", "7"))
    index = read_zarr_plates(tmp_path / where)
    assert (index.preset, index.source, index.why) == ("ome-zarr", plate, "the OME-Zarr plate holds 4 fields")
    assert index.channel_names == {"1": "DAPI", "2": "TMRM"}
    assert (index.absent, index.reasons) == ([], {})
    assert index.files["Metadata_Well"].tolist() == ["C03"] * 4 + ["C12"] * 4
    assert index.files["Metadata_Site"].tolist() == [0, 0, 7, 7] * 2
    last = index.files.iloc[-1].to_dict()
    assert last == {
        "Metadata_Plate": "P1",
        "Metadata_Well": "C12",
        "Metadata_Site": 7,
        "Metadata_Z": None,
        "Metadata_Time": None,
        "Metadata_Magnification": None,
        "Metadata_Acquisition": None,
        "Metadata_Row": 3,
        "Metadata_Col": 12,
        "condition": None,
        "split": None,
        "channel": "2",
        "folder": str(plate / "C/12/7"),
        "name": "0",
        "frame": "1",
        "Metadata_PixelSize_um": 0.5,
    }


@pytest.mark.parametrize(("axes", "shape"), [("tczyx", (2, 2, 3, 4, 4)), ("czyx", (2, 3, 4, 4)), ("yx", (4, 4))])
def test_frames_are_planes_in_the_order_of_the_array(tmp_path, axes, shape):
    write_plate(tmp_path / "P.zarr", shape=shape, axes=axes)
    files = read_zarr_plates(tmp_path / "P.zarr").files
    numbers = np.arange(np.prod(shape[:-2], dtype=int)).reshape(shape[:-2])
    columns = {"t": "Metadata_Time", "c": "channel", "z": "Metadata_Z"}
    assert len(files) == numbers.size
    for row in files.to_dict("records"):
        at = tuple(int(row[columns[axis]]) - 1 for axis in axes[:-2])
        assert numbers[at] == int(row["frame"])
    if axes == "yx":
        assert files["channel"].tolist() == ["1"]
        assert files["Metadata_Z"].isna().all()


def test_wells_are_known_by_their_indices(tmp_path):
    plate = write_plate(tmp_path / "P.zarr", wells=("B/3",))
    assert read_zarr_plates(plate).files["Metadata_Well"].unique().tolist() == ["B03"]
    edit(plate, lambda ome: ome["plate"].update(rows=[{"name": "H"}], columns=[{"name": "08"}]))
    assert read_zarr_plates(plate).files["Metadata_Well"].unique().tolist() == ["H08"]
    edit(plate, lambda ome: ome["plate"].update(wells=[{"path": "B/3"}]))
    assert read_zarr_plates(plate).files["Metadata_Well"].unique().tolist() == ["B03"]


def test_fields_without_numbers_are_counted(tmp_path):
    plate = write_plate(tmp_path / "P.zarr", fields=("left", "right"), shape=(4, 4), axes="yx")
    assert read_zarr_plates(plate).files["Metadata_Site"].tolist() == [1, 2]


def test_several_plates(tmp_path):
    write_plate(tmp_path / "a.zarr", 2, name="a")
    write_plate(tmp_path / "b.zarr", 3, name="")
    index = read_zarr_plates(tmp_path)
    assert index.files["Metadata_Plate"].unique().tolist() == ["a", "b"]
    assert index.why == "2 OME-Zarr plates hold 2 fields"
    (tmp_path / "b.zarr/zarr.json").write_text("{")
    index = read_zarr_plates(tmp_path)
    assert index.files["Metadata_Plate"].unique().tolist() == ["a"]
    assert "its metadata cannot be read" in index.reasons[tmp_path / "b.zarr"]
    write_plate(tmp_path / "b.zarr", name="b", labels=("GFP", "RFP"))
    with pytest.raises(LeighError, match=r"channel 1 is 'GFP' here but 'DAPI' before"):
        read_zarr_plates(tmp_path)


def test_plates_of_one_name_stay_apart(tmp_path):
    for folder in ("monday", "tuesday"):
        write_plate(tmp_path / f"{folder}.zarr", name="screen")
        assert read_zarr_plates(tmp_path / f"{folder}.zarr").files["Metadata_Plate"].unique().tolist() == ["screen"]
    index = read_zarr_plates(tmp_path)
    assert index.files["Metadata_Plate"].unique().tolist() == ["monday", "tuesday"]
    assert index.notes[0].startswith("2 measurements bear the name screen and stay apart as plates monday, tuesday")


def test_channels_of_plates_are_matched_by_label(tmp_path):
    write_plate(tmp_path / "a.zarr", name="a", labels=("X", "Y"))
    write_plate(tmp_path / "b.zarr", name="b", labels=("Y", "X"))
    index = read_zarr_plates(tmp_path)
    assert index.channel_names == {"1": "X", "2": "Y"}
    frames = index.files.set_index(["Metadata_Plate", "channel"])["frame"].to_dict()
    assert frames == {("a", "1"): "0", ("a", "2"): "1", ("b", "1"): "1", ("b", "2"): "0"}


def test_acquisitions_are_no_fields(tmp_path):
    plate = write_plate(tmp_path / "P.zarr", fields=("0", "1", "2", "3"))
    assert read_zarr_plates(plate).files["Metadata_Acquisition"].isna().all()
    images = [{"path": str(number), "acquisition": 5 + number // 2} for number in range(4)]
    edit(plate / "B/03", lambda ome: ome["well"].update(images=images))
    index = read_zarr_plates(plate)
    first = index.files[index.files["channel"] == "1"]
    assert first["Metadata_Site"].tolist() == [1, 2, 1, 2]
    assert first["Metadata_Acquisition"].tolist() == [5, 5, 6, 6]
    found = find_images(plate)
    assert found.table["Metadata_Acquisition"].tolist() == [5, 5]
    assert found.notes == ["of the acquisitions 5, 6, 5 is kept; choose another or all with --acquisition"]
    assert len(find_images(plate, acquisition="all").table) == 4
    assert find_images(plate, acquisition="last").table["Metadata_Acquisition"].tolist() == [6, 6]
    with pytest.raises(LeighError, match="--acquisition 9: no image has it; the acquisitions are 5, 6"):
        find_images(plate, acquisition=9)


def test_a_well_that_cannot_be_read_is_named(tmp_path):
    plate = write_plate(tmp_path / "P.zarr", wells=("B/03", "B/04"))
    assert find_images(plate).refused == []
    file = plate / "B/04/zarr.json"
    file.write_text(file.read_text()[:20])
    found = find_images(plate)
    assert found.refused == [plate / "B/04"]
    assert found.reasons[plate / "B/04"]


def test_a_field_whose_channels_have_other_labels_is_left_out(tmp_path):
    plate = write_plate(tmp_path / "P.zarr", fields=("0", "1"))
    assert read_zarr_plates(plate).reasons == {}
    edit(plate / "B/03/1", lambda ome: ome["omero"].update(channels=[{"label": "TMRM"}, {"label": "DAPI"}]))
    index = read_zarr_plates(plate)
    assert index.reasons == {}
    assert index.files[["channel", "frame"]].to_numpy().tolist() == [["1", "0"], ["2", "1"], ["2", "0"], ["1", "1"]]
    edit(plate / "B/03/1", lambda ome: ome["omero"].update(channels=[{"label": "GFP"}, {"label": "RFP"}]))
    index = read_zarr_plates(plate)
    assert index.files["Metadata_Site"].tolist() == [0, 0]
    assert index.reasons == {plate / "B/03/1": "channel 1 is 'GFP' here but 'DAPI' before"}


def test_groups_that_are_not_there_are_absent(tmp_path):
    plate = write_plate(tmp_path / "P.zarr", wells=("B/03", "B/04"), fields=("0", "1"))
    (plate / "B/04").rename(tmp_path / "away")
    (plate / "B/03/1").rename(tmp_path / "away1")
    index = read_zarr_plates(plate)
    assert index.files["folder"].unique().tolist() == [str(plate / "B/03/0")]
    assert index.absent == [plate / "B/03/1", plate / "B/04"]


@both
@pytest.mark.parametrize("path", ["../secret", "..", "/etc", "B/../../secret", "B\\03", "", "out", 7, None, "a\0b"])
def test_paths_that_leave_the_plate_are_refused(tmp_path, version, path):
    write_plate(tmp_path / "secret", version)
    plate = write_plate(tmp_path / "P.zarr", version, fields=("0", "1"), wells=("B/03", "B/04"))
    for folder in (plate, plate / "B/03", plate / "B/03/0"):
        os.symlink(tmp_path / "secret", folder / "out")
    assert read_zarr_plates(plate).reasons == {}

    edit(plate / "B/03/0", lambda ome: ome["multiscales"][0]["datasets"][0].update(path=path))
    index = read_zarr_plates(plate)
    assert index.reasons == {plate / "B/03/0": "the path of its first dataset leaves the image"}
    edit(plate / "B/03", lambda ome: ome["well"].update(images=[{"path": path}, {"path": "1"}]))
    index = read_zarr_plates(plate)
    assert set(index.reasons.values()) == {"its path in the metadata leaves the plate"}
    edit(plate, lambda ome: ome["plate"]["wells"][0].update(path=path))
    index = read_zarr_plates(plate)
    assert set(index.reasons.values()) == {"its path in the metadata leaves the plate"}
    assert index.files["folder"].unique().tolist() == [str(plate / "B/04" / field) for field in "01"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "a list where an object belongs"),
        ("{", "Expecting property name"),
        ("\xff", "decode"),
        ("[" * 100_000, "nested too deeply"),
        ('{"multiscales": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"multiscales": []}', "it lists no multiscales"),
        ('{"multiscales": [{"datasets": {}}]}', "it lists no datasets"),
        ('{"multiscales": [{"datasets": [{"path": "0"}], "axes": 7}]}', "its axes are"),
        ('{"multiscales": [{"datasets": [{"path": "0"}], "axes": ["x", "y"]}]}', "its axes are x, y, not some of"),
        ('{"multiscales": [{"datasets": [{"path": "0"}], "axes": ["z", "y", "x"]}]}', "has no shape of 3 axes"),
    ],
)
def test_a_broken_field_is_one_reason(tmp_path, text, reason):
    plate = write_plate(tmp_path / "P.zarr", 2, fields=("0", "1"), shape=(4, 4), axes="yx")
    assert read_zarr_plates(plate).reasons == {}
    (plate / "B/03/0/.zattrs").write_text(text, encoding="latin-1")
    index = read_zarr_plates(plate)
    assert index.files["Metadata_Site"].tolist() == [1]
    assert reason in index.reasons[plate / "B/03/0"]


@pytest.mark.parametrize("shape", [[10**9, 10**9, 4, 4], ["2", 2, 4, 4], [0, 2, 4, 4], [True, 2, 4, 4], 4, None])
def test_a_shape_that_no_image_has(tmp_path, shape):
    plate = write_plate(tmp_path / "P.zarr", 2, fields=("0", "1"), shape=(2, 2, 4, 4), axes="czyx")
    file = plate / "B/03/0/0/.zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), "shape": shape}))
    assert read_zarr_plates(plate).files["Metadata_Site"].unique().tolist() == [1]


@both
@pytest.mark.parametrize("change", [{"wells": None}, {"wells": 7}])
def test_a_plate_that_lists_no_wells_is_refused(tmp_path, version, change):
    plate = write_plate(tmp_path / "P.zarr", version)
    edit(plate, lambda ome: ome["plate"].update(change))
    with pytest.raises(
        LeighError, match=r"P.zarr is not a readable OME-Zarr plate, because .* it lists no wells; export it again"
    ):
        read_zarr_plates(plate)


@pytest.mark.parametrize("index", [-1, 5, "0", 10**30])
def test_an_index_beyond_the_rows(tmp_path, index):
    plate = write_plate(tmp_path / "P.zarr")
    edit(plate, lambda ome: ome["plate"]["wells"][0].update(rowIndex=index))
    with pytest.raises(LeighError, match=r"has no readable image .* no row or column of index"):
        read_zarr_plates(plate)


@pytest.mark.parametrize(("unit", "size"), [("micrometer", 0.5), ("nanometer", 0.0005), ("pixel", None), (None, None)])
def test_the_size_of_a_pixel_needs_a_unit(tmp_path, unit, size):
    plate = write_plate(tmp_path / "P.zarr")
    edit(plate / "B/03/0", lambda ome: ome["multiscales"][0]["axes"][-1].update(unit=unit))
    assert read_zarr_plates(plate).files["Metadata_PixelSize_um"].tolist() == [size] * 2


@pytest.mark.parametrize("scale", [["a", "b", "c"], [1, 1, -1], [1, 1, 10**40], [], None, "x"])
def test_a_scale_that_is_none(tmp_path, scale):
    plate = write_plate(tmp_path / "P.zarr")
    one = {"type": "scale", "scale": scale}
    edit(plate / "B/03/0", lambda ome: ome["multiscales"][0]["datasets"][0].update(coordinateTransformations=[one]))
    assert read_zarr_plates(plate).files["Metadata_PixelSize_um"].isna().all()
    edit(plate / "B/03/0", lambda ome: ome["multiscales"][0]["datasets"][0].pop("coordinateTransformations"))
    assert read_zarr_plates(plate).files["Metadata_PixelSize_um"].isna().all()


def test_the_scale_of_all_levels_counts_too(tmp_path):
    plate = write_plate(tmp_path / "P.zarr")
    one = {"type": "scale", "scale": [1, 3, 3]}
    edit(plate / "B/03/0", lambda ome: ome["multiscales"][0].update(coordinateTransformations=[one]))
    assert read_zarr_plates(plate).files["Metadata_PixelSize_um"].tolist() == [1.5] * 2
