import pytest

from leigh_mlops.report.job.links import page_names, relative_url


def test_names_that_say_what_they_are_are_kept() -> None:
    assert page_names([("P1", "B03"), ("P-2", "B03")]) == ["P1_B03.html", "P-2_B03.html"]


def test_every_well_has_a_name_of_its_own() -> None:
    wells = [
        ("P1", "B03"), ("p1", "B03"), ("P/1", "B03"), ("P 1", "B03"), ("P", "1_B03"), ("P_1", "B03"), ("../P1", "B03"),
        ("P" * 300, "B03"), ("P" * 299, "B03"), ("É1", "B03"), ("", ""), ("\udcff", "B03"),
    ]  # fmt: skip
    names = page_names(wells)
    assert len({name.lower() for name in names}) == len(wells)
    assert all(len(name) < 150 and not set(name) & set('/\\:*?"<>| .') - {"."} for name in names)
    assert all(name.count(".") == 1 for name in names)
    assert page_names(wells) == names


@pytest.mark.parametrize("path", ["/etc/a.png", "//host/a.png", "\\\\host\\a.png"])
def test_absolute_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        relative_url("..", path)


def test_schemes_lose_their_meaning() -> None:
    assert relative_url("..", "javascript:alert(1)") == "../javascript%3Aalert%281%29"
    assert relative_url("..", "a?b#c d") == "../a%3Fb%23c%20d"
