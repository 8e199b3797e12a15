import json
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.blind_test import make_blind_test
from leigh_mlops.jobs.job_file import read_job, write_job
from leigh_mlops.jobs.reporting.nights import collect_nights


def test_a_job_is_read_and_a_folder_without_one_is_empty(tmp_path: Path) -> None:
    assert read_job(tmp_path) == {}
    (tmp_path / "job.json").write_text(json.dumps({"model": "models:/m/1"}))
    assert read_job(tmp_path) == {"model": "models:/m/1"}


def test_a_job_of_one_oracle_is_read_as_one_of_several(tmp_path: Path) -> None:
    old = {"oracle": "models:/leigh-resnext/3", "oracle_asked": "models:/leigh-resnext@champion", "oracle_adjust": None}
    write_job(tmp_path, old)
    new = read_job(tmp_path)
    assert new == {
        "oracle": ["models:/leigh-resnext/3"],
        "oracle_asked": ["models:/leigh-resnext@champion"],
        "oracle_adjust": {"leigh-resnext-3": None},
    }
    write_job(tmp_path, new)
    assert read_job(tmp_path) == new
    write_job(tmp_path, {"oracle": None, "oracle_asked": None, "oracle_adjust": None})
    assert read_job(tmp_path) == {"oracle": [], "oracle_asked": [], "oracle_adjust": {}}


@pytest.mark.parametrize("content", [b"", b'{"model": ', b"[" * 100_000, b"3", b"\xff\xfe", b"9" * 5000])
def test_a_damaged_description_of_a_job_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(LeighError, match=r"job\.json is damaged"):
        read_job(tmp_path)
    with pytest.raises(LeighError, match=r"job\.json is damaged"):
        make_blind_test(tmp_path)
    with pytest.raises(LeighError, match=r"job\.json is damaged"):
        collect_nights([tmp_path])
