"""Git revision of the source that made a result."""

import functools
import subprocess
from pathlib import Path

__all__ = ["commit", "revision"]


def revision() -> str:
    """Git revision of the package's source, ``-dirty`` where it has changes, or ``unknown`` outside a checkout."""
    return _git("describe", "--always", "--dirty", "--abbrev=12") if commit() else "unknown"


@functools.cache
def commit() -> str:
    """Git commit of the package's source, 40 digits, or an empty text outside a checkout."""
    # An installed package may lie below a checkout of something else, which does not track it.
    return _git("rev-parse", "HEAD") if _git("ls-files", Path(__file__).name) else ""


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
