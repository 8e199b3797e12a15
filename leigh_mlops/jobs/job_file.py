"""The description of a job, ``job.json`` in its folder."""

import json
from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.report.image_files import atomic_write

__all__ = ["JOB_FILE", "oracle_name", "read_job", "write_job"]

JOB_FILE = "job.json"


def read_job(out: Path) -> dict[str, Any]:
    """Read the description of the job in a folder in today's form; empty where the folder holds none.

    Raises:
        LeighError: The file is damaged.
    """
    file = out / JOB_FILE
    if not file.is_file():
        return {}
    try:
        return _upgrade(dict(json.loads(file.read_text(encoding="utf-8"))))
    except (ValueError, TypeError, RecursionError) as error:
        raise LeighError(
            f"{escape_unprintable(file)} is damaged ({type(error).__name__}); restore it from a copy, or explain into "
            "another folder."
        ) from None


def write_job(out: Path, job: dict[str, Any]) -> None:
    """Write the description of a job into its folder."""
    with atomic_write(out / JOB_FILE) as temporary:
        temporary.write_text(json.dumps(job, indent=2) + "\n")


def oracle_name(uri: str) -> str:
    """Name of a version in columns and folders, such as ``leigh-resnext-3``."""
    return uri.removeprefix("models:/").replace("/", "-")


def _upgrade(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job's description in today's form; until version 0.1.0 there was at most one oracle."""
    if "oracle" not in job or isinstance(job["oracle"], list):
        return job
    oracle = job["oracle"]
    job["oracle"] = [] if oracle is None else [oracle]
    job["oracle_asked"] = [] if oracle is None else [job.get("oracle_asked", oracle)]
    if "oracle_adjust" in job:
        job["oracle_adjust"] = {} if oracle is None else {oracle_name(oracle): job["oracle_adjust"]}
    return job
