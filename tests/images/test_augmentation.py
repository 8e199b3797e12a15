import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter, rotate

from leigh_mlops.images.augmentation import Augmentation, affine_maps, warp

SIDE = 48


def moved(image: npt.NDArray[np.generic], **what: object) -> npt.NDArray[np.generic]:
    settings = {
        "flips": np.zeros((2, 1), bool),
        "turns": np.zeros(1, int),
        "degrees": np.zeros(1),
        "shift_px": np.zeros((2, 1)),
    }
    return np.stack(warp(image, affine_maps(image.shape[-1], **(settings | what))[0]))


@pytest.fixture(params=[np.uint16, np.float32])
def noise(request: pytest.FixtureRequest) -> npt.NDArray[np.generic]:
    return np.random.default_rng(0).integers(0, 65536, (3, SIDE, SIDE)).astype(request.param)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
def test_without_a_change_pixels_stay_whatever_the_number_of_channels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (channels, SIDE, SIDE)).astype(np.uint16)
    np.testing.assert_array_equal(moved(image), image)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flip_is_exact(noise: npt.NDArray[np.generic], axis: int) -> None:
    flips = np.zeros((2, 1), bool)
    np.testing.assert_array_equal(moved(noise, flips=flips), noise)
    flips[axis] = True
    np.testing.assert_array_equal(moved(noise, flips=flips), np.flip(noise, 2 - axis))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_quarter_turn_is_exact_after_a_flip_too(noise: npt.NDArray[np.generic], turns: int) -> None:
    np.testing.assert_array_equal(moved(noise, turns=np.array([turns])), np.rot90(noise, turns, (1, 2)))
    both = moved(noise, turns=np.array([turns]), flips=np.array([[True], [False]]))
    np.testing.assert_array_equal(both, np.rot90(np.flip(noise, 2), turns, (1, 2)))


def test_a_whole_shift_is_exact(noise: npt.NDArray[np.generic]) -> None:
    shifted = moved(noise, shift_px=np.array([[5.0], [-3.0]]))
    np.testing.assert_array_equal(shifted[:, : SIDE - 3, 5:], noise[:, 3:, : SIDE - 5])


@pytest.mark.parametrize("degrees", [-10.0, 4.0, 90.0, 37.0])
def test_a_rotation_is_scipys_within_the_error_of_interpolation(degrees: float) -> None:
    smooth = np.stack([gaussian_filter(plane, 2) for plane in np.random.default_rng(0).random((2, SIDE, SIDE))])
    image = (10000 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    expected = rotate(image, degrees, axes=(2, 1), reshape=False, order=1, mode="mirror")
    opposite = rotate(image, -degrees, axes=(2, 1), reshape=False, order=1, mode="mirror")
    turned = moved(image, degrees=np.array([degrees]))
    # Older versions of OpenCV round places to 1/32 px.
    assert np.abs(turned - expected).max() < 10000 / 32
    assert np.abs(turned - opposite).max() > 10000 / 4


@pytest.mark.parametrize("degrees", [10.0, 45.0])
def test_borders_are_reflected_and_never_black(degrees: float) -> None:
    bright = np.full((3, SIDE, SIDE), 1000, np.uint16)
    assert (rotate(bright, degrees, axes=(2, 1), reshape=False, order=1) == 0).any()
    assert (moved(bright, degrees=np.array([degrees]), shift_px=np.array([[9.3], [-7.7]])) == 1000).all()


def test_draws_stay_within_their_bounds_and_reach_them() -> None:
    augmentation = Augmentation(flip=0.25, rotation_degrees=20, quarter_turns=True, shift=0.1, jitter=0.3)
    drawn = augmentation.draw(np.random.default_rng(0), 4000, 100)
    linear = drawn.placements[:, :, :2]
    determinants = np.linalg.det(linear)
    np.testing.assert_allclose(np.abs(determinants), 1)
    assert (determinants < 0).mean() == pytest.approx(2 * 0.25 * 0.75, abs=0.03)
    assert drawn.factors.min() == pytest.approx(0.7, abs=0.01)
    assert drawn.factors.max() == pytest.approx(1.3, abs=0.01)
    centre = np.full(2, 49.5)
    away = np.einsum("nij,j->ni", linear, centre) + drawn.placements[:, :, 2] - centre
    assert 13 < np.linalg.norm(away, axis=1).max() <= 10 * 2**0.5 + 1e-9
    turned = np.degrees(np.arctan2(np.abs(linear[:, 1, 0]), np.abs(linear[:, 0, 0])))
    beyond = np.minimum(turned, 90 - turned)
    assert 19 < beyond.max() <= 20 + 1e-9
    assert (turned > 45).mean() == pytest.approx(0.5, abs=0.03)


def test_one_more_augmentation_leaves_the_other_draws_as_they_were() -> None:
    plain = Augmentation().draw(np.random.default_rng(3), 20, 64)
    jittered = Augmentation(jitter=0.2).draw(np.random.default_rng(3), 20, 64)
    np.testing.assert_array_equal(plain.placements, jittered.placements)
    assert (plain.factors == 1).all()
    assert (jittered.factors != 1).all()


@pytest.mark.parametrize("degrees", [-10.0, 3.0, 10.0])
def test_a_rotation_is_that_of_albumentations(degrees: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its version
    import albumentations

    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.random((64, 64)).astype(np.float32), (0, 0), 2)
    turned = affine_maps(
        64, flips=np.zeros((2, 1), bool), turns=np.zeros(1, int), degrees=np.array([degrees]), shift_px=np.zeros((2, 1))
    )
    (ours,) = warp(image[None], turned[0])
    oracle = albumentations.Affine(rotate=(degrees, degrees), border_mode=cv2.BORDER_REFLECT_101, p=1.0)
    theirs = oracle(image=image)["image"]
    assert np.abs(theirs - image).max() > 0.05
    # Its centre lies half a pixel off; away from the border the two agree but for that.
    np.testing.assert_allclose(ours[8:-8, 8:-8], theirs[8:-8, 8:-8], atol=0.02)
