import numpy as np
import pytest

from leigh_mlops.scores.stain_order import better_orders


def stained(count: int, seed: int, *, spread: float = 0.2) -> np.ndarray:
    """Fields of two classes in three channels; in the second class the second stain is gone."""
    rng = np.random.default_rng(seed)
    centres = np.array([[[3.0, -1.0], [2.0, 0.5], [0.0, 1.0]], [[3.0, -1.0], [0.5, 0.8], [0.0, 1.0]]])
    return centres[np.arange(count) % 2] + rng.normal(0, spread, (count, 3, 2))


def test_fields_like_those_of_training_have_their_own_order() -> None:
    assert set(better_orders(stained(40, 1), stained(60, 0))) == {None}


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_swapped_channels_are_found(order: tuple[int, ...]) -> None:
    # Channel c of the file holds what the model calls order[c].
    swapped = stained(40, 1)[:, order]
    inverse = tuple(int(place) for place in np.argsort(order))
    found = better_orders(swapped, stained(60, 0))
    assert found.count(inverse) >= 38


def test_another_treatment_is_no_other_order() -> None:
    treated = stained(40, 1) + np.array([[0.0, 0.0], [-4.0, 1.0], [0.0, 0.0]])
    assert set(better_orders(treated, stained(60, 0))) == {None}


def test_what_cannot_be_compared_has_its_own_order() -> None:
    fields = stained(3, 1)[:, (1, 0, 2)]
    fields[1, 0, 0] = np.nan
    assert better_orders(fields, stained(60, 0))[1] is None
    assert better_orders(stained(3, 1)[:, :1], stained(60, 0)[:, :1]) == [None] * 3
    with pytest.raises(ValueError, match="do not fit"):
        better_orders(fields, stained(60, 0)[:, :2])
