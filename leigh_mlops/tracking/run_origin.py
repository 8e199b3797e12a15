"""Origin of a run (user, source, commit) in the tags that MLflow's UI shows."""

import getpass
import sys
from pathlib import Path

from mlflow.entities import SourceType
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE, MLFLOW_USER

from leigh_mlops.tracking.source_revision import commit

__all__ = ["origin_tags"]

_PACKAGE = "leigh_mlops"


def origin_tags() -> dict[str, str]:
    """Tags of user, source and git commit; those that are not known are empty."""
    return {
        MLFLOW_USER: _user_name(),
        MLFLOW_SOURCE_NAME: source_name(sys.argv),
        MLFLOW_SOURCE_TYPE: SourceType.to_string(SourceType.LOCAL),
        MLFLOW_GIT_COMMIT: commit(),
    }


def source_name(arguments: list[str]) -> str:
    """Name of a running program, without folders and options.

    Example:
        >>> source_name(["/home/a/leigh_mlops/tune.py", "--data", "plate"])
        'leigh_mlops.tune'
        >>> source_name(["/usr/bin/leigh", "tune", "--data", "plate"])
        'leigh tune'
    """
    program = Path(arguments[0])
    if program.parent.name == _PACKAGE:
        return f"{_PACKAGE}.{program.stem}"
    return " ".join([program.name, *(word for word in arguments[1:2] if word.isalpha())])


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # A container may run under a number that has no name.
        return ""
