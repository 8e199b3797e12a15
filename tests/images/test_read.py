from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import ChannelFiles, Plane, field_files, raw_at_size, read_field, read_image
from tests.conftest import table_of

GREY = (np.arange(48 * 40, dtype=np.uint16).reshape(48, 40) * 31).astype(np.uint16)


def single(path: Path, frame: int | None = None, sample: int = 0, samples: int = 1) -> ChannelFiles:
    return ChannelFiles((Plane(path, frame, sample, samples),), None)


def table(folder: Path, **columns: list[str | None]) -> pd.DataFrame:
    paths = {f"PathName_{name[9:]}": str(folder) for name in columns if name.startswith("FileName_")}
    return pd.DataFrame(columns).assign(**paths)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_rgb_is_read_as_planes_in_the_order_of_the_file(tmp_path: Path, suffix: str) -> None:
    stored = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    Image.fromarray(stored).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), np.moveaxis(stored, -1, 0))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_8_bit_grey_is_read_as_one_plane(tmp_path: Path, suffix: str) -> None:
    stored = GREY.astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), stored[None])


LAYOUTS: dict[str, dict[str, object]] = {
    "plain": {},
    "big endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "strips": {"rowsperstrip": 5},
    "LZW": {"compression": "lzw", "rowsperstrip": 7},
    "LZW with predictor, big endian": {"compression": "lzw", "predictor": True, "byteorder": ">"},
    "deflate with predictor": {"compression": "zlib", "predictor": True},
    "PackBits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "JPEG 2000": {"compression": "jpeg2000"},
    "JPEG 2000 in tiles": {"compression": "jpeg2000", "tile": (16, 16)},
    "JPEG 2000 in strips": {"compression": "jpeg2000", "rowsperstrip": 20},
    "tiles": {"tile": (16, 32)},
    "tiles, deflate": {"tile": (16, 16), "compression": "zlib"},
    "OME": {"metadata": {"axes": "YX"}, "ome": True},
    "ImageJ": {"imagej": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_pixels(layout: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, **LAYOUTS[layout])
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint16
    assert image.dtype.isnative
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, GREY[None])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "jpeg2000"}, {"tile": (16, 16)}])
def test_colours_may_be_packed_or_apart(planar: str, options: dict[str, object], tmp_path: Path) -> None:
    stored = np.stack([GREY, GREY[::-1], GREY // 2])
    written = stored if planar == "separate" else np.moveaxis(stored, 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", written, photometric="rgb", planarconfig=planar, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), stored)


@pytest.mark.parametrize("dtype", ["int16", ">i2", "int32", "uint32", "float32", "float64"])
def test_whole_numbers_that_fit_16_bits_are_kept_exactly(dtype: str, tmp_path: Path) -> None:
    stored = (GREY // 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[0], GREY // 2)


def test_a_page_is_read_by_its_number(tmp_path: Path) -> None:
    pages = np.stack([GREY, GREY // 2, GREY // 4])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    for number, page in enumerate(pages):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif", number)[0], page)
    with pytest.raises(LeighError, match="stack of several pages"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(LeighError, match="3 pages and no page 3"):
        read_image(tmp_path / "a.tif", 3)


def test_a_thumbnail_behind_the_image_makes_no_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY)
        file.write(GREY[::4, ::4], subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0], GREY)


def test_a_file_of_a_set_does_not_pull_in_the_others(tmp_path: Path) -> None:
    uuids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + digit for digit in "12"]
    blocks = "".join(
        f'<TiffData FirstC="{number}" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{number}.ome.tif">{uuid}</UUID></TiffData>'
        for number, uuid in enumerate(uuids)
    )
    for number, uuid in enumerate(uuids):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="40" SizeY="48" '
            f'SizeZ="1" SizeC="2" SizeT="1"><Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>{blocks}'
            "</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / f"{number}.ome.tif", GREY + number, description=xml, metadata=None)
    assert tifffile.imread(tmp_path / "0.ome.tif").shape == (2, 48, 40)
    np.testing.assert_array_equal(read_image(tmp_path / "1.ome.tif"), (GREY + 1)[None])


def test_files_of_a_field_are_joined_in_the_order_asked_for(tmp_path: Path) -> None:
    for value, name in enumerate(["dapi", "tmrm"]):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((4, 4), value, np.uint16))
    made = table(tmp_path, FileName_TMRM=["tmrm.tif", None], FileName_DAPI=["dapi.tif"] * 2)
    whole, lacking = field_files(made, ["DAPI", "TMRM"])
    assert lacking is None
    assert whole == (single(tmp_path / "dapi.tif"), single(tmp_path / "tmrm.tif"))
    np.testing.assert_array_equal(read_field(whole)[:, 0, 0], [0, 1])


def test_channels_of_one_file_are_its_planes_in_the_order_of_the_columns(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 3), (10, 20, 30), np.uint8)).save(tmp_path / "a.png")
    made = table_of([tmp_path / "a.png"], ("DAPI", "TMRM", "both"))
    for channels, values in ((["DAPI", "TMRM", "both"], [10, 20, 30]), (["both", "DAPI"], [30, 10])):
        (files,) = field_files(made, channels)
        assert files is not None
        np.testing.assert_array_equal(read_field(files)[:, 0, 0], values)


def test_a_name_beside_a_folder_may_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "ZStep_1").mkdir()
    tifffile.imwrite(tmp_path / "ZStep_1" / "x.tif", GREY)
    (files,) = field_files(table(tmp_path, FileName_A=["ZStep_1/x.tif"]), ["A"])
    assert files is not None
    np.testing.assert_array_equal(read_field(files)[0], GREY)


@pytest.mark.parametrize(
    ("name", "frame"),
    [("a.tif|b.tif|c.tif", None), ("stack.tif", "0|1|2"), ("a.tif|b.tif|c.tif", "0|0|0"), ("a.tif|b.tif|c.tif", "0")],
)
def test_planes_are_projected_by_their_maximum(name: str, frame: str | None, tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 65535, (3, 8, 8), np.uint16)
    for letter, plane in zip("abc", planes, strict=True):
        tifffile.imwrite(tmp_path / f"{letter}.tif", plane)
    tifffile.imwrite(tmp_path / "stack.tif", planes, photometric="minisblack")
    (files,) = field_files(table(tmp_path, FileName_A=[name], Frame_A=[frame]), ["A"])
    assert files is not None
    assert len(files[0].planes) == 3
    np.testing.assert_array_equal(read_field(files)[0], planes.max(axis=0))


@pytest.mark.parametrize("frames", [["1", None], [1.0, np.nan]])
def test_a_frame_may_be_missing_or_a_number_in_disguise(frames: list[object], tmp_path: Path) -> None:
    made = table(tmp_path, FileName_A=["a.tif", "b.tif"]).assign(Frame_A=frames)
    assert [files[0].planes[0].frame for files in field_files(made, ["A"]) if files] == [1, None]


@pytest.mark.parametrize("packed", ["²/3", "x", "4/3", "0/3", "1/" + "9" * 5000])
def test_a_sample_that_can_not_be_is_a_failure_of_its_row(packed: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 3), (10, 20, 30), np.uint8)).save(tmp_path / "a.png")
    made = table(tmp_path, FileName_A=["a.png"] * 2).assign(Sample_A=["2/3", packed])
    good, bad = field_files(made, ["A"])
    assert good is not None
    assert bad is not None
    assert read_field(good)[0, 0, 0] == 20
    with pytest.raises(LeighError, match="channels"):
        read_field(bad)


@pytest.mark.parametrize("frame", ["x", "-1", "1|2|3"])
def test_a_frame_that_can_not_be_is_a_failure_of_its_row(frame: str, tmp_path: Path) -> None:
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY)
    (files,) = field_files(table(tmp_path, FileName_A=["a.tif|b.tif"], Frame_A=[frame]), ["A"])
    assert files is not None
    with pytest.raises(LeighError, match="page"):
        read_field(files)


@pytest.mark.parametrize("change", ["size", "type", "samples", "plane"])
def test_channels_that_differ_are_refused(change: str, tmp_path: Path) -> None:
    good, other = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(good, GREY)
    written = {"size": GREY[:-1], "type": GREY.astype(np.uint8), "plane": GREY[:-1]}
    tifffile.imwrite(
        other, written.get(change, np.stack([GREY] * 3)), photometric="rgb" if change == "samples" else None
    )
    files = (single(good), single(other))
    if change == "plane":
        files = (ChannelFiles((Plane(good, None, 0, 1), Plane(other, None, 0, 1)), None),)
    assert read_field((single(good),)).shape == (1, 48, 40)
    with pytest.raises(LeighError, match=r"[ab]\.tif"):
        read_field(files)


ZARRS: dict[str, dict[str, object]] = {
    "v2": {"zarr_format": 2},
    "v2, slashes": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "v2, not compressed": {"zarr_format": 2, "compressors": None},
    "v3": {},
    "v3, not compressed": {"compressors": None},
    "v3, gzip": {"compressors": zarr.codecs.GzipCodec()},
    "v3, blosc": {"compressors": zarr.codecs.BloscCodec()},
    "v3, shards": {"shards": (1, 2, 32, 32)},
    "v3, blosc in shards": {"shards": (1, 1, 48, 48), "compressors": zarr.codecs.BloscCodec()},
    "v3, dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
}


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "uint8"])
@pytest.mark.parametrize("kind", ZARRS)
def test_planes_of_an_array_are_counted_in_c_order(kind: str, dtype: str, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (2, 3, 48, 40)).astype(dtype)
    options = {"shape": stored.shape, "chunks": (1, 1, 16, 16), "dtype": dtype} | ZARRS[kind]
    zarr.create_array(str(tmp_path / "B" / "0"), **options)[:] = stored  # type: ignore[arg-type]
    made = table(tmp_path / "B", FileName_A=["0"] * 6, Frame_A=[str(number) for number in range(6)])
    for number, files in enumerate(field_files(made, ["A"])):
        assert files is not None
        image = read_field(files)
        assert image.dtype.isnative
        np.testing.assert_array_equal(image[0], stored[divmod(number, 3)])
    with pytest.raises(LeighError, match="no plane 6"):
        read_image(tmp_path / "B" / "0", 6)
    with pytest.raises(LeighError, match="6 planes"):
        read_image(tmp_path / "B" / "0")


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("inner", [(1, 16, 16), (1, 32, 32), (2, 32, 32)])
def test_the_index_of_shards_may_lie_anywhere(
    inner: tuple[int, ...], location: str, checksum: bool, endian: str, tmp_path: Path
) -> None:
    stored = np.random.default_rng(0).integers(0, 65535, (2, 32, 32), np.uint16)
    index = [zarr.codecs.BytesCodec(endian=endian), *([zarr.codecs.Crc32cCodec()] if checksum else [])]
    codecs = [zarr.codecs.BytesCodec(), zarr.codecs.GzipCodec()]
    shards = zarr.codecs.ShardingCodec(chunk_shape=inner, codecs=codecs, index_codecs=index, index_location=location)
    array = zarr.create(
        store=str(tmp_path / "0"), shape=(2, 32, 32), chunks=(2, 32, 32), dtype="uint16", codecs=[shards]
    )
    array[:] = stored
    for number, plane in enumerate(stored):
        np.testing.assert_array_equal(read_image(tmp_path / "0", number)[0], plane)


@pytest.mark.parametrize(
    "compressor", [zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec(), zarr.codecs.ZstdCodec(checksum=True)]
)
def test_a_checksum_may_follow_compressed_blocks(compressor: object, tmp_path: Path) -> None:
    codecs = [zarr.codecs.BytesCodec(), compressor, zarr.codecs.Crc32cCodec()]
    array = zarr.create(store=str(tmp_path / "0"), shape=GREY.shape, chunks=(16, 16), dtype="uint16", codecs=codecs)
    array[:] = GREY
    np.testing.assert_array_equal(read_image(tmp_path / "0")[0], GREY)


def test_a_plane_of_which_no_block_exists_was_never_written(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "0"), shape=(2, 8, 8), chunks=(1, 4, 4), dtype="uint16")
    array[0, :4, :4] = 5
    assert read_image(tmp_path / "0", 0)[0].sum() == 80
    with pytest.raises(LeighError, match="ever written"):
        read_image(tmp_path / "0", 1)


def with_illumination(tmp_path: Path, light: np.ndarray) -> tuple[np.ndarray, tuple[ChannelFiles, ...]]:
    np.save(tmp_path / "light.npy", light)
    tifffile.imwrite(tmp_path / "a.tif", np.full((64, 64), 1000, np.uint16))
    made = table(tmp_path, FileName_A=["a.tif"]).assign(Illumination_A=str(tmp_path / "light.npy"))
    (files,) = field_files(made, ["A"])
    assert files is not None
    return read_field(files), files


def test_pixels_are_divided_by_the_illumination_as_it_is(tmp_path: Path) -> None:
    light = np.linspace(0.5, 2, 64 * 64).reshape(64, 64)
    image, files = with_illumination(tmp_path, light)
    assert (image == 1000).all()
    expected = (1000 / light).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(raw_at_size(image, 32, files)[0], expected, atol=0.51)


@pytest.mark.parametrize(
    ("light", "said"),
    [
        (np.ones((63, 64)), "64 x 63"),
        (np.ones(64), "shape"),
        (np.zeros((64, 64)), "above 0"),
        (np.full((64, 64), np.nan), "finite"),
        (np.full((64, 64), None), "illumination|object|Python"),
    ],
)
def test_an_illumination_that_can_not_be_is_refused(light: np.ndarray, said: str, tmp_path: Path) -> None:
    image, files = with_illumination(tmp_path, light)
    with pytest.raises(LeighError, match=said) as caught:
        raw_at_size(image, 32, files)
    assert "light.npy" in str(caught.value)


def test_a_rectangular_field_is_its_centre_square(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    files = (single(tmp_path / "a.tif"),)
    image = read_image(tmp_path / "a.tif")
    assert image.shape == (1, 48, 40)
    np.testing.assert_array_equal(raw_at_size(image, 32, files), raw_at_size(image[:, 4:44], 32, files))


def test_an_illumination_has_the_size_of_the_whole_field(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    light = np.linspace(0.5, 1.5, GREY.size, dtype=np.float32).reshape(GREY.shape)
    np.save(tmp_path / "light.npy", light)
    np.save(tmp_path / "small.npy", light[4:44])
    plain = single(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    found = raw_at_size(image, 32, (plain._replace(illumination=tmp_path / "light.npy"),))
    cut = raw_at_size(image[:, 4:44], 32, (plain._replace(illumination=tmp_path / "small.npy"),))
    np.testing.assert_array_equal(found, cut)
