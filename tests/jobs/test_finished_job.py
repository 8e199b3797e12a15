import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.explain import explain
from leigh_mlops.jobs.explain_job import ExplainJob
from leigh_mlops.jobs.finished_job import describe_inputs, describe_state, is_complete, request_digest
from leigh_mlops.jobs.job_file import read_job, write_job


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    """Folders of a plate and of a finished job on it."""
    for name in ("plate/DS/a.png", "plate/.twins/a.png", "out/images/f/image.png", "out/report/index.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return {"data": tmp_path / "plate", "out": tmp_path / "out"}


def finish(job: dict[str, Any], **asked: object) -> str:
    request = request_digest({"model": "models:/a/1", **job, **asked})
    inputs = describe_inputs([job["data"]], job["out"])
    done = {"finished": True, "failed": 0, "done": 1, "fields": 1, "model": "models:/a/1"}
    write_job(job["out"], done | describe_state(job["out"], request, inputs))
    return request


def test_a_job_is_complete_until_something_changes(job: dict[str, Any]) -> None:
    write_job(job["out"], {"finished": True, "failed": 0})
    assert not is_complete(job["out"], "")
    request = finish(job)
    assert is_complete(job["out"], request)
    assert not is_complete(job["out"], request_digest({"model": "models:/a/2", **job}))
    for change in (
        lambda: (job["data"] / "DS" / "a.png").write_text("another image"),
        lambda: (job["data"] / "DS" / "b.png").write_text("a new image"),
        (job["out"] / "images" / "f" / "image.png").unlink,
        lambda: (job["out"] / "blind").mkdir() or (job["out"] / "blind" / "result.json").write_text("{}"),
        lambda: os.utime(job["out"] / "report" / "index.html", (0, 0)),
    ):
        change()
        assert not is_complete(job["out"], request)
        finish(job)
        assert is_complete(job["out"], request)


@pytest.mark.parametrize("change", [{"finished": False}, {"failed": 1}])
def test_a_job_that_failed_or_was_stopped_is_not_complete(job: dict[str, Any], change: dict[str, Any]) -> None:
    request = finish(job)
    write_job(job["out"], read_job(job["out"]) | change)
    assert not is_complete(job["out"], request)


def test_files_are_described_with_the_folders_that_hold_them(job: dict[str, Any], tmp_path: Path) -> None:
    plate = job["data"]
    assert list(describe_inputs([plate, plate / "DS" / "a.png", plate / "DS" / "*"], job["out"])) == [str(plate)]
    known = describe_inputs([plate], job["out"])
    assert describe_inputs([plate / "DS" / "*"], job["out"], known) == known
    assert list(describe_inputs([tmp_path / "*"], job["out"], known)) == [str(plate), str(tmp_path / "*")]
    flat = describe_inputs([plate / "*"], job["out"])
    whole = describe_inputs([plate, tmp_path], job["out"])
    (plate / "DS" / "b.png").write_text("below")
    write_job(job["out"], {})  # the job's own folder is no input
    assert describe_inputs([plate / "*"], job["out"]) == flat
    (plate / "DS" / "b.png").unlink()
    assert describe_inputs([plate, tmp_path], job["out"]) == whole
    (plate / "b.png").write_text("beside")
    assert describe_inputs([plate / "*"], job["out"]) != flat


def test_a_request_is_what_results_depend_on(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = request_digest({**job, "workers": 1, "window": 15, "store": None})
    assert request_digest({**job, "workers": 2, "window": 15, "store": "mlruns"}) == first
    assert request_digest({**job, "window": 16, "store": None}) != first
    assert request_digest({**job, "window": 15, "store": "elsewhere"}) != first
    monkeypatch.chdir(job["out"])
    assert request_digest({**job, "data": Path("../plate"), "window": 15, "store": "../mlruns"}) != first
    known = request_digest({"store": "https://ada:secret@host/a"})
    assert request_digest({"store": "https://ada:other@host/a"}) == known
    assert request_digest({"store": "https://host/b"}) != known


ASKED = """
import sys
from pathlib import Path
from leigh_mlops.explain import explain
explain("models:/a/1", data=Path(sys.argv[1]), out=Path(sys.argv[2]))
print([name for name in ("torch", "ray", "mlflow") if name in sys.modules])
"""


def test_a_complete_job_starts_nothing_and_says_so(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        ExplainJob, "run", lambda self: asked.append(self.request) or {"failed": 0, "done": 1, "fields": 1}
    )
    explain("models:/a/1", **job)
    inputs = describe_inputs([job["data"]], job["out"])
    done = {"finished": True, "failed": 0, "done": 1, "fields": 1, "model": "models:/a/1"}
    write_job(job["out"], done | describe_state(job["out"], asked[0], inputs))
    command = [sys.executable, "-c", ASKED, str(job["data"]), str(job["out"])]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd()).stdout
    assert f"Nothing to do: {job['out']} is complete; open {job['out'] / 'report' / 'index.html'}." in said
    assert said.splitlines()[-2:] == ["1 of 1 fields explained.", "[]"]
    assert len(asked) == 1
    shutil.rmtree(job["out"] / "report")
    explain("models:/a/1", **job)
    assert len(asked) == 2
