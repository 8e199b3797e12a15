from pathlib import Path

import pytest

from leigh_mlops.report.job.blind_page import BlindPicture, replace_blind_section, write_blind_page
from leigh_mlops.report.job.job_report import JobReport, write_job_report

SCRIPT = "</script><script>alert(1)</script><!-- /blind_section -->"


def test_texts_are_escaped(tmp_path: Path) -> None:
    page = write_blind_page(tmp_path / "index.html", SCRIPT, [BlindPicture(SCRIPT, SCRIPT)], (8, 8)).read_text()
    assert page.count("<script") == 2
    assert SCRIPT not in page


@pytest.mark.parametrize("sentences", [["First.", SCRIPT, r"\1"], []])
def test_a_section_written_anew_is_that_of_a_whole_page(tmp_path: Path, sentences: list[str]) -> None:
    def write(name: str, said: list[str]) -> Path:
        return write_job_report(tmp_path / name, JobReport(SCRIPT, sentences=[SCRIPT], blind_test=said, root="."))

    page, built = write("a", ["Before."]), write("b", sentences)
    assert "Blind test by people" in page.read_text()
    assert replace_blind_section(page, sentences)
    assert page.read_text() == built.read_text()
    assert ("Blind test" in page.read_text()) == bool(sentences)


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    assert not replace_blind_section(page, ["First."])
    page.write_text("<!-- blind_link --><!-- /blind_link -->")
    assert not replace_blind_section(page, ["First."])
    assert page.read_text() == "<!-- blind_link --><!-- /blind_link -->"
