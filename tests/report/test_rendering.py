import json

import numpy as np
import pytest
import tifffile
from matplotlib import colormaps
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.report.image_files import atomic_write, round_trip_tiff16
from leigh_mlops.report.rendering import (
    SIGNED_MAP,
    channel_colours,
    colour_bar,
    composite,
    heatmap_overlay,
    intensity_limits,
    picture_strip,
    read_tiff16,
    write_gif,
    write_png,
    write_tiff16,
)

CHANNELS = ["DAPI", "TMRM", "DAPI+TMRM"]
LIMITS = [(0, 10), (0, 20), (0, 30)]


def pixel(*intensities: float) -> np.ndarray:
    return np.array(intensities, dtype=float)[:, None, None]


def test_channels_have_their_colours():
    dapi, tmrm = composite(pixel(10, 0, 0), CHANNELS, LIMITS)[0, 0], composite(pixel(0, 20, 0), CHANNELS, LIMITS)[0, 0]
    assert dapi.argmax() == 2
    assert dapi[2] == 255
    assert tmrm.argmax() == 1
    assert tmrm[1] == 255


def test_joined_channel_is_drawn_only_where_it_stands_alone():
    assert not composite(pixel(0, 0, 30), CHANNELS, LIMITS).any()
    assert list(channel_colours(["DAPI+TMRM"])) == ["DAPI+TMRM"]


def test_unknown_channels_get_colours_in_order():
    colours = channel_colours(["ER", "DAPI", "RNA"])
    assert colours["ER"] == (1.0, 0.0, 1.0)
    assert colours["RNA"] == (0.0, 1.0, 1.0)


def test_same_intensity_gets_the_same_colour_in_every_image():
    rng = np.random.default_rng(0)
    dark, bright = rng.uniform(0, 3, (3, 8, 8)), rng.uniform(0, 300, (3, 8, 8))
    dark[:, 0, 0] = bright[:, 0, 0] = (4, 9, 1)
    pictures = [composite(image, CHANNELS, LIMITS) for image in (dark, bright)]
    assert not np.array_equal(*pictures)
    assert np.array_equal(pictures[0][0, 0], pictures[1][0, 0])


def test_what_lies_outside_the_limits_is_clipped_and_nan_is_black():
    assert np.array_equal(composite(pixel(1e9, 0, 0), CHANNELS, LIMITS), composite(pixel(10, 0, 0), CHANNELS, LIMITS))
    assert not composite(pixel(np.nan, -5, 0), CHANNELS, LIMITS).any()


@pytest.mark.parametrize("limits", [[(0, 1)], [(0, 1), (0, 1), (1, 1)]])
def test_unfit_limits_are_refused(limits):
    with pytest.raises(ValueError, match="limits"):
        composite(pixel(1, 2, 3), CHANNELS, limits)


def test_limits_span_the_set_and_keep_apart():
    images = np.zeros((2, 2, 4, 4))
    images[1, 0] = 100
    assert intensity_limits(images, percentile=100).tolist() == [[0, 100], [0, 1]]


def test_overlay_shows_signs_and_one_scale():
    grey = np.full((1, 3, 3), 100, dtype=np.uint8)
    blue, bare, red = heatmap_overlay(grey, [[-2.0, np.nan, 2.0]], limit=2)[0].astype(int)
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert np.ptp(bare) < 30
    beyond = heatmap_overlay(grey, [[-9.0, 0.0, 9.0]], limit=2)[0]
    assert np.array_equal(beyond[0], blue)
    assert np.array_equal(beyond[2], red)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB from 0 to 1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    share = linear @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_the_signed_map_is_uniform_to_the_eye_and_safe_without_red_and_green():
    def spread(name):
        steps = np.linalg.norm(np.diff(lab(colormaps[name](np.linspace(0, 1, 41))[:, :3]), axis=0), axis=1)
        return steps.std() / steps.mean()

    assert spread("jet") > 0.3
    assert spread(SIGNED_MAP) < 0.1
    lightness = lab(colormaps[SIGNED_MAP](np.linspace(0, 1, 41))[:, :3])[:, 0]
    assert (np.diff(lightness[:21]) < 0).all()
    assert (np.diff(lightness[20:]) > 0).all()
    # Both ends differ most from blue to yellow, which those who see no red or no green see as well.
    low, _, high = lab(colormaps[SIGNED_MAP](np.array([0.0, 0.5, 1.0]))[:, :3])
    assert high[2] - low[2] > 40


def test_a_colour_bar_has_the_colours_of_the_maps_and_room_for_its_unit():
    bar = colour_bar(2.5, "logits")
    assert bar.shape == (64, 260, 3)
    ends = heatmap_overlay(np.zeros((1, 2, 3), np.uint8), [[-2.5, 2.5]], 2.5)[0]
    assert np.array_equal(bar[10, 4], ends[0])
    assert np.array_equal(bar[10, -5], ends[1])
    assert colour_bar(2.5, "logits per standard deviation of the training intensities, smoothed").shape[1] > 300
    assert not np.array_equal(colour_bar(2.6, "logits"), bar)


def test_unsigned_overlay_has_no_colour_below_zero():
    grey = np.full((1, 2, 3), 100, dtype=np.uint8)
    below, zero = heatmap_overlay(grey, [[-5.0, 0.0]], limit=2, signed=False)[0]
    assert np.array_equal(below, zero)


def test_strip_lays_pictures_side_by_side():
    pictures = [np.full((20, width, 3), 9, dtype=np.uint8) for width in (80, 90)]
    sheet = picture_strip(pictures, ["DS", "a title that is far too long"], gap=6)
    assert sheet.shape[1] == 80 + 6 + 90
    assert np.array_equal(sheet[-20:, :80], pictures[0])
    assert np.array_equal(sheet[-20:, 86:], pictures[1])


def test_small_pictures_in_a_strip_leave_room_for_their_titles():
    small = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    sheet = picture_strip([small, small], ["alpha 0.12", ""], gap=6)
    assert sheet.shape[1] == 96 + 6 + 96
    assert np.array_equal(sheet[-96:, :96][1::3, 1::3], small)


def test_png_round_trip(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    with Image.open(write_png(tmp_path / "deep" / "a.png", picture)) as read:
        assert np.array_equal(np.asarray(read), picture)


def test_gif_has_every_frame_and_loops(tmp_path):
    frames = [np.full((6, 6, 3), 40 * step, dtype=np.uint8) for step in range(5)]
    with Image.open(write_gif(tmp_path / "a.gif", frames, milliseconds=120)) as gif:
        assert gif.n_frames == 5
        assert gif.info["loop"] == 0
        assert gif.info["duration"] == 120


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_tiff_gives_an_unclipped_image_back(tmp_path, channels):
    image = np.random.default_rng(0).normal(100, 200, (channels, 6, 7))
    assert image.min() < 0
    assert image.max() > 255
    names = [f"C{number}" for number in range(channels)]
    stated = write_tiff16(tmp_path / "a.tif", image, names, full_scale=255)
    read, described = read_tiff16(tmp_path / "a.tif")
    assert described == stated
    assert described["channels"] == names
    assert read.shape == image.shape
    assert np.abs(read - image).max() <= stated["step"] / 2 * (1 + 1e-6)
    assert stated["step"] == pytest.approx(np.ptp(image) / 65535)


@pytest.mark.parametrize("spread", [0.0, 1e-3, 200.0])
def test_the_round_trip_in_memory_is_that_of_the_file(tmp_path, spread):
    image = np.random.default_rng(0).normal(100, spread, (2, 6, 7))
    write_tiff16(tmp_path / "a.tif", image, ["A", "B"], full_scale=255)
    np.testing.assert_array_equal(round_trip_tiff16(image), read_tiff16(tmp_path / "a.tif")[0])
    assert spread == 0 or (round_trip_tiff16(image) != image).any()


def test_counts_of_8_bit_files_are_kept_exactly(tmp_path):
    counts = np.random.default_rng(0).integers(0, 40 * 256, (2, 8, 8))
    image = (counts / 256).astype(np.float32)
    beside = image * np.float32(1 + 1e-6)  # as after the units of a network
    for each in (image, beside, np.rint(image) * 200):
        write_tiff16(tmp_path / "a.tif", each, ["A", "B"], full_scale=255)
        exact = np.rint(each * 256) / 256
        np.testing.assert_array_equal(read_tiff16(tmp_path / "a.tif")[0], exact)
    off = image + np.float32(1 / 600)
    assert (np.abs(round_trip_tiff16(off) * 256 % 1 - 0.5) < 0.45).all()


def test_tiff_states_its_scale_to_any_reader(tmp_path):
    write_tiff16(tmp_path / "a.tif", np.arange(8.0).reshape(2, 2, 2), ["DAPI", "Färbung"], full_scale=255)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 2
        assert file.pages[0].dtype == np.uint16
        assert json.loads(file.pages[0].description)["channels"] == ["DAPI", "Färbung"]


def test_even_image_comes_back(tmp_path):
    write_tiff16(tmp_path / "a.tif", np.full((1, 2, 2), -3.5), ["DAPI"], full_scale=255)
    assert (read_tiff16(tmp_path / "a.tif")[0] == -3.5).all()


def test_tiff_refuses_what_it_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        write_tiff16(tmp_path / "a.tif", np.full((1, 2, 2), np.nan), ["DAPI"], full_scale=255)
    assert not list(tmp_path.iterdir())


def test_foreign_tiff_is_refused_in_one_sentence(tmp_path):
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 2), np.uint16))
    (tmp_path / "c.tif").write_bytes(b"no image")
    for name in ("b.tif", "c.tif", "missing.tif"):
        with pytest.raises(LeighError, match=name):
            read_tiff16(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as temporary:
        temporary.write_text("half \udcff", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
