import numpy as np

from leigh_mlops.models.transport import round_to_steps


def test_an_image_lies_in_the_steps_of_its_original():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 9, (1, 2, 8, 8)).astype(np.float32)
    raw = np.concatenate([whole, whole + 5 / 256, whole + np.float32(0.1)])
    changed = raw + rng.uniform(0, 1, raw.shape).astype(np.float32)
    assert (changed[0] != np.rint(changed[0])).any()
    found = round_to_steps(raw, changed)
    np.testing.assert_array_equal(found[0], np.rint(changed[0]))
    np.testing.assert_array_equal(found[1], np.rint(changed[1] * 256) / 256)
    assert (found[1] != np.rint(found[1])).any()
    np.testing.assert_array_equal(found[2], changed[2])
    np.testing.assert_array_equal(round_to_steps(raw, raw), raw)
