import pytest

from leigh_mlops.training.schedule import rate_factor


def factors(epochs: int = 6, **how: object) -> list[float]:
    return [rate_factor(epoch, epochs=epochs, **how) for epoch in range(epochs)]


def test_nothing_asked_for_changes_nothing() -> None:
    assert factors() == factors(kind="constant", step_epochs=2) == [1.0] * 6


def test_steps_are_counted_from_the_first_epoch() -> None:
    assert factors(step_epochs=2, step_factor=0.5) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_cosine_falls_from_1_and_would_reach_0_with_the_epoch_after_the_last() -> None:
    fallen = factors(kind="cosine")
    assert fallen[0] == 1
    assert fallen == sorted(fallen, reverse=True)
    assert fallen[3] == pytest.approx(0.5)
    assert 0 < fallen[-1] < 0.1
    assert rate_factor(6, kind="cosine", epochs=6) == 0


@pytest.mark.parametrize("kind", ["step", "cosine", "constant"])
def test_a_warmup_rises_linearly_and_then_leaves_the_schedule_alone(kind: str) -> None:
    assert factors(kind=kind)[0] == 1
    assert factors(kind=kind, warmup_epochs=3)[:4] == [0.25, 0.5, 0.75, 1]
    assert factors(kind=kind, warmup_epochs=9)[-1] == pytest.approx(0.6)
