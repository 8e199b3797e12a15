import pytest

from leigh_mlops.settings import Range


def test_whole_numbers_and_ends() -> None:
    assert Range(low=1, high=3).contains(1.5)
    whole = Range(low=1, high=3, integer=True)
    assert [whole.contains(value) for value in (1, 3.0, 1.5, 4, True, "2", None)] == [True, True, *[False] * 5]
    for wrong in (
        {"low": 1, "high": 2.5, "integer": True},
        {"low": 0, "high": 1, "log": True},
        {"low": 0, "high": "inf"},
    ):
        with pytest.raises(ValueError, match=r"whole numbers|low must be below high|finite"):
            Range.model_validate(wrong)
