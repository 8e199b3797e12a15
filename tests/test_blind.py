from pathlib import Path

import pytest

from leigh_mlops.blind import blind
from leigh_mlops.errors import LeighError
from tests.jobs.blind_job import write_answers, write_blind_job


def test_a_test_is_made_taken_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = write_blind_job(tmp_path / "out")
    blind(out, fields=4, seed=0)
    assert "give people the folder" in capsys.readouterr().out
    assert (out / "blind" / "test" / "index.html").exists()
    files = [write_answers(out, tmp_path / f"answers-{name}.json", person=name) for name in ("ada", "bob")]
    blind(out, answers=files)
    said = capsys.readouterr().out
    assert "taken for real: 0 % (95 % interval 0 % to 49 %)" in said
    assert "2 people judged 4 generated and 4 real fields." in said
    assert "run the command of the job again" in said


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="holds no finished job"):
        blind(tmp_path)
