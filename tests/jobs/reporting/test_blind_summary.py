from pathlib import Path

from leigh_mlops.jobs.blind_test import BlindResult, make_blind_test, store_answers
from leigh_mlops.jobs.reporting.blind_summary import show_blind_result, summarise_blind_test
from leigh_mlops.scores.blind_scores import blind_scores
from tests.jobs.blind_job import write_answers, write_blind_job

GENERATED = [True] * 20 + [False] * 20


def result(taken: list[bool], *, people: int = 1, seen: int = 0) -> BlindResult:
    return BlindResult("t", "typical", seen, blind_scores([taken] * people, GENERATED))


def test_without_answers_nothing_is_said() -> None:
    assert summarise_blind_test(None) == []


def test_the_share_of_generated_fields_comes_first_with_its_reference() -> None:
    first, second, third, fourth = summarise_blind_test(result([True] * 9 + [False] * 11 + [True] * 11 + [False] * 9))
    assert first == (
        "Generated fields (typical counterfactuals) that are taken for real: 45 % (95 % interval 26 % to 66 %)."
    )
    assert "taken for real: 55 % (95 % interval 34 % to 74 %)" in second
    assert "Right answers: 55 %" in third
    assert "does not show" in third
    assert fourth.startswith("1 person judged 20 generated and 20 real fields.")


def test_knowledge_is_told_from_guesses() -> None:
    said = summarise_blind_test(result([False] * 20 + [True] * 20, people=3, seen=4))
    assert "The answers are better than guesses." in said[2]
    assert "worse than guesses" in summarise_blind_test(result([True] * 20 + [False] * 20))[2]
    assert said[3].startswith("3 people judged")
    assert said[4].endswith("of 4 of the generated fields.")


def test_a_job_without_a_page_has_no_place_for_it(tmp_path: Path) -> None:
    out = write_blind_job(tmp_path / "out")
    make_blind_test(out, 4)
    found = store_answers(out, [write_answers(out, tmp_path / "a.json")])
    assert not show_blind_result(out, found)
    (out / "report").mkdir()
    page = out / "report" / "index.html"
    page.write_text("<!-- blind_link --><!-- /blind_link --><!-- blind_section --><!-- /blind_section -->")
    assert "taken for real" not in page.read_text()
    assert show_blind_result(out, found)
    assert "taken for real: 0 % (95 % interval" in page.read_text()
