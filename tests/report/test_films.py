import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from leigh_mlops.errors import LeighError
from leigh_mlops.report import films
from leigh_mlops.report.films import ping_pong_frames, write_mp4, write_webp


@pytest.fixture
def frames():
    """A coloured square that moves over a noisy ground."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 60, (48, 64, 3), dtype=np.uint8) for _ in range(6)]
    for step, frame in enumerate(drawn):
        frame[8:40, 8 * step : 8 * step + 20] = (40, 220, 90)
    return drawn


def read_mp4(path):
    film, read = cv2.VideoCapture(str(path)), []
    rate = film.get(cv2.CAP_PROP_FPS)
    while True:
        there, frame = film.read()
        if not there:
            return read, rate
        read.append(frame[..., ::-1])


def test_webp_has_every_pixel_of_every_frame(tmp_path, frames):
    with Image.open(write_webp(tmp_path / "deep" / "a.webp", frames, milliseconds=120)) as film:
        assert film.n_frames == 6
        assert film.info["loop"] == 0
        for page, frame in zip(ImageSequence.Iterator(film), frames, strict=True):
            np.testing.assert_array_equal(np.asarray(page.convert("RGB")), frame)
            assert page.info["duration"] == 120


def test_mp4_shows_every_frame_in_its_colours(tmp_path, frames):
    read, rate = read_mp4(write_mp4(tmp_path / "a.mp4", frames, milliseconds=125))
    assert rate == pytest.approx(8)
    assert len(read) == 6
    for step, (shown, frame) in enumerate(zip(read, frames, strict=True)):
        others = [np.abs(shown.astype(int) - other).mean() for other in frames]
        assert np.argmin(others) == step
        inside = shown[14:34, 8 * step + 5 : 8 * step + 15].reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(inside, (40, 220, 90), atol=25)
        assert frame.shape == shown.shape


def test_an_odd_side_loses_its_last_pixel(tmp_path, frames):
    read, _ = read_mp4(write_mp4(tmp_path / "a.mp4", [frame[:47, :63] for frame in frames]))
    assert {frame.shape for frame in read} == {(46, 62, 3)}


def test_a_missing_codec_is_said_and_leaves_no_file(tmp_path, frames, monkeypatch, capfd):
    write_mp4(tmp_path / "a.mp4", frames)
    monkeypatch.setattr(films, "CODEC", "none")
    with pytest.raises(LeighError, match=r"b\.mp4 cannot be written, .* lacks the codec none"):
        write_mp4(tmp_path / "b.mp4", frames)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    capfd.readouterr()


@pytest.mark.parametrize("write", [write_webp, write_mp4])
def test_frames_are_of_one_size(tmp_path, frames, write):
    for unfit in ([], [frames[0], frames[1][:20]]):
        with pytest.raises(ValueError, match="unequal size or none"):
            write(tmp_path / "a", unfit)


def test_a_film_goes_back_the_way_it_came(frames):
    assert [id(frame) for frame in ping_pong_frames(frames[:1])] == [id(frames[0])]
    assert [id(frame) for frame in ping_pong_frames(frames[:2])] == [id(frame) for frame in frames[:2]]
