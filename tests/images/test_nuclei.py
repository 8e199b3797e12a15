import numpy as np

from leigh_mlops.images.nuclei import find_nuclear_channel, nucleus_centres


def discs(*centres: tuple[int, int], radius: float = 4.0) -> np.ndarray:
    y, x = np.indices((64, 64))
    near = [np.hypot(y - cy, x - cx) <= radius for cy, cx in centres]
    return 100 + 900 * np.any(near, axis=0).astype(np.float32)


def test_an_empty_field_has_no_nuclei() -> None:
    noise = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    assert nucleus_centres(noise, 500).shape == (0, 2)
    assert len(nucleus_centres(noise + discs((20, 20)), 500)) == 1


def test_touching_nuclei_are_two() -> None:
    found = nucleus_centres(discs((20, 20), (20, 28), (50, 40)), 500)
    assert len(found) == 3
    np.testing.assert_allclose(sorted(found[:, 0])[2], 50, atol=1)


def test_a_lone_bright_pixel_is_none() -> None:
    plane = np.full((64, 64), 100, np.float32)
    plane[30, 30] = 4000
    assert not len(nucleus_centres(plane, 500))


def test_the_stain_of_nuclei_is_known_by_its_name() -> None:
    assert find_nuclear_channel(["TMRM", "DAPI+TMRM", "Hoechst 33342"]) == 2
    assert find_nuclear_channel(["TMRM", "MitoTracker"]) is None
    for name in ("DNA", "OrigDNA", "ch1_dna", "Hoechst33342", "H2B-mCherry", "DAPI (405)", "nuclei"):
        assert find_nuclear_channel(["mtDNA", name]) == 1
    for name in ("mtDNA", "cDNA", "Nucleiform"):
        assert find_nuclear_channel([name]) is None
