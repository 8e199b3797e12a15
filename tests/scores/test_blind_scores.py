import numpy as np
import pytest

from leigh_mlops.scores.blind_scores import blind_scores

GENERATED = [True] * 20 + [False] * 20


def wilson(share: float, number: int) -> tuple[float, float]:
    """Wilson (1927), written out."""
    z = 1.959963984540054
    centre = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2)) / (1 + z**2 / number)
    return centre - half, centre + half


def test_interval_is_that_of_wilson() -> None:
    taken = [True] * 7 + [False] * 13 + [True] * 12 + [False] * 8
    scores = blind_scores([taken], GENERATED)
    assert (scores.people, scores.generated.fields, scores.real.fields, scores.correct.fields) == (1, 20, 20, 40)
    assert (scores.generated.share, scores.real.share) == (0.35, 0.6)
    assert (scores.generated.low, scores.generated.high) == pytest.approx(wilson(0.35, 20))
    assert scores.correct.share == (13 + 12) / 40
    assert (scores.correct.low, scores.correct.high) == pytest.approx(wilson(25 / 40, 40))


def test_guesses_and_knowledge() -> None:
    known = ~np.array(GENERATED)
    assert blind_scores([known], GENERATED).correct[1:] == pytest.approx((1, wilson(1, 40)[0], 1))
    for answer in (True, False):  # who always says the same is right in half of the cases
        scores = blind_scores([[answer] * 40], GENERATED)
        assert scores.correct.share == 0.5
        assert scores.generated.share == scores.real.share == float(answer)


def test_more_people_are_not_more_fields() -> None:
    taken = [number % 3 == 0 for number in range(40)]
    one, five = blind_scores([taken], GENERATED), blind_scores([taken] * 5, GENERATED)
    assert five.people == 5
    assert five[1:] == one[1:]


def test_interval_holds_the_share_of_people_who_disagree() -> None:
    rng = np.random.default_rng(0)
    for people in (2, 3, 7):
        for chance in (0.0, 0.02, 0.5, 0.98):
            for found in blind_scores(rng.uniform(size=(people, 40)) < chance, GENERATED)[1:]:
                assert found.low <= found.share <= found.high


@pytest.mark.parametrize(
    ("taken", "generated"),
    [(np.empty((0, 2)), [True, False]), ([[True]], [True, False]), ([True, True], [True, False]), ([[True]], [True])],
)
def test_what_is_no_test_is_refused(taken: object, generated: object) -> None:
    with pytest.raises(ValueError, match="pass"):
        blind_scores(taken, generated)  # type: ignore[arg-type]
