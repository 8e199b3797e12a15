"""The description of a job, ``job.json`` in its folder."""

import json
from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError, escape_unprintable

__all__ = ["read_job"]


def read_job(out: Path) -> dict[str, Any]:
    """Read the description of the job in a folder; empty where the folder holds none.

    Raises:
        LeighError: The file is damaged.
    """
    file = out / "job.json"
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise LeighError(
            f"{escape_unprintable(file)} is damaged ({type(error).__name__}); restore it from a copy, or explain into "
            "another folder."
        ) from None
