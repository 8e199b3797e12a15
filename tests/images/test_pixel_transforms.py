import json
import random
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.images.pixel_transforms import PixelTransforms, build_pixel_transforms, check_augmentation
from leigh_mlops.settings import AUGMENTATIONS

GAIN = {"__class_fullname__": "MultiplicativeNoise", "multiplier": [0.5, 2.0], "per_channel": True, "p": 1.0}
GAIN_BY_HALF = {"__class_fullname__": "MultiplicativeNoise", "multiplier": [0.5, 0.5], "p": 1.0}
WHITE = np.array([4000, 3000], np.float32)


def field(channels: int = 2, side: int = 32) -> npt.NDArray[np.float32]:
    """Raw intensities of a 12-bit camera, all of them in the lowest part of 16 bits."""
    return np.random.default_rng(0).integers(100, 1500, (channels, side, side)).astype(np.float32)


def named(name: str, **arguments: object) -> str:
    return json.dumps([{"__class_fullname__": name, "p": 1.0, **arguments}])


def transforms(*serialised: dict[str, object]) -> PixelTransforms:
    return PixelTransforms(serialised, WHITE)


def test_intensities_are_raw_ones_and_lose_no_level() -> None:
    raw = field()
    halved = transforms(GAIN_BY_HALF).apply(raw, 0)
    assert halved.dtype == np.float32
    np.testing.assert_allclose(halved, raw / 2, rtol=1e-5)
    assert len(np.unique(halved)) > 1000


def test_each_channel_has_a_gain_of_its_own_from_the_seed_alone() -> None:
    raw, varied = field(), transforms(GAIN)
    first = varied.apply(raw, 7)
    gains = (first / raw).mean(axis=(1, 2))
    assert abs(gains[0] - gains[1]) > 0.01
    np.random.seed(1)  # noqa: NPY002  # a transform that used the global state would differ
    random.seed(1)
    varied.apply(raw, 8)
    np.testing.assert_array_equal(varied.apply(raw, 7), first)
    assert not np.array_equal(varied.apply(raw, 8), first)


@pytest.mark.parametrize("preset", [name for name, serialised in AUGMENTATIONS.items() if serialised])
def test_a_preset_changes_a_field_and_its_draws_follow_from_the_seed(preset: str) -> None:
    raw = field()
    one, other = (build_pixel_transforms(preset, lambda: WHITE) for _ in range(2))
    assert one is not None
    assert other is not None
    versions = [one.apply(raw, seed) for seed in range(6)]
    for seed, version in reversed(list(enumerate(versions))):
        np.testing.assert_array_equal(other.apply(raw, seed), version)
    assert len({version.tobytes() for version in versions}) > 3
    for channels in (1, 2, 3, 5):
        check_augmentation(preset, channels)


def test_the_published_augmentation_needs_no_further_transforms() -> None:
    assert build_pixel_transforms(None, lambda: WHITE) is None
    assert build_pixel_transforms("published", lambda: WHITE) is None


def test_parts_are_drawn_independently() -> None:
    half, blank = GAIN_BY_HALF | {"p": 0.5}, {"__class_fullname__": "CoarseDropout", "p": 0.5}
    raw = np.full((2, 32, 32), 1000, np.float32)
    varied = [transforms(half, blank).apply(raw, seed) for seed in range(40)]
    drawn = {(bool(np.median(each) < 900), bool((each == 0).any())) for each in varied}
    assert drawn == {(False, False), (False, True), (True, False), (True, True)}


def test_groups_and_the_form_that_the_library_writes_are_read() -> None:
    import albumentations

    pipeline = albumentations.Compose([albumentations.OneOf([albumentations.HorizontalFlip(p=1.0)], p=1.0)])
    written = json.dumps(albumentations.to_dict(pipeline))
    built = build_pixel_transforms(written, lambda: WHITE)
    assert built is not None
    np.testing.assert_allclose(built.apply(field(), 0), field()[:, :, ::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (named("AutoContrast"), "AutoContrast can't be used on fields: it works on 8 bits"),
        (named("Posterize"), "works on 8 bits"),
        (named("ImageCompression"), "works on 8 bits"),
        (named("RandomToneCurve"), "works on 8 bits"),
        (named("InvertImg"), "changes the mean intensity"),
        (named("Normalize"), "outside the range of intensities"),
        (named("Normalize", mean=[0, 0], std=[1, 1], max_pixel_value=1, normalization="min_max"), "its own range"),
        (named("RandomBrightnessContrast"), "clips too many pixels"),
        (named("FromFloat"), "another size or type"),
        (named("RandomCrop", height=16, width=16), "another size or type"),
        (named("ToGray"), "fails on 2 channels"),
        (named("ChannelShuffle"), "exchanges the stains"),
        (named("ConstrainedCoarseDropout"), "fails on 2 channels"),
    ],
)
def test_what_breaks_intensities_is_refused_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(LeighError, match=reason) as caught:
        check_augmentation(text, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        named("GaussNoise", std_range=[0.001, 0.01]),
        named("RandomBrightnessContrast", brightness_limit=0.01, contrast_limit=0.2),
        named("ElasticTransform", alpha=30, sigma=5),
        named("GaussianBlur"),
        named("CoarseDropout"),
        named("RandomGamma"),
        named("ShotNoise", scale_range=[0.000001, 0.00001]),
        named("Affine", shear=[-5, 5]),
    ],
)
def test_what_a_microscope_or_a_specimen_does_is_allowed(text: str) -> None:
    check_augmentation(text, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (named("os.system"), "'os.system', which is no transform"),
        (named("Lambda"), "'Lambda', which is no transform"),
        (named("subprocess.Popen", args="ls"), "no transform"),
        (named("tests.evil.Transform"), "no transform"),
        (named("GausNoise"), "did you mean 'GaussNoise'"),
        (named("GaussNoise", std=3), "std"),
        (named("GaussNoise", std_range=[2, 3]), "GaussNoise of the augmentation is not valid"),
        (named("GaussianBlur", blur_limit=[3, 999_999_999]), "blur_limit is 999999999, and no number for a field is"),
        (named("Affine", scale=float("nan")), "Affine of the augmentation is not valid .scale is nan"),
        (named("OneOf", transforms=[]), "has no transforms"),
        ('[{"p": 1}]', "names no transform"),
        ("[3]", "names no transform"),
    ],
)
def test_what_is_no_transform_of_the_library_is_refused(text: str, reason: str) -> None:
    with pytest.raises(LeighError, match=reason) as caught:
        check_augmentation(text, 2)
    assert "\n" not in str(caught.value)


ASKED = """
import os, sys, urllib.request
os.environ.pop("NO_ALBUMENTATIONS_UPDATE", None)
asked = []
class Opener:
    def open(self, url, **options):
        asked.append(url)
        raise OSError
urllib.request.build_opener = lambda *handlers: Opener()
if sys.argv[1] == "package":
    from leigh_mlops.images.pixel_transforms import build_pixel_transforms
    build_pixel_transforms("morphology", lambda: [1])
else:
    import albumentations
print(len(asked))
"""


def test_the_library_does_not_ask_the_network_for_its_version() -> None:
    asked = [
        subprocess.run([sys.executable, "-W", "ignore", "-c", ASKED, who], capture_output=True, text=True, check=True)
        for who in ("library", "package")
    ]
    assert [done.stdout.strip() for done in asked] == ["1", "0"]
