"""Git revision of the source that made a result."""

import subprocess
from pathlib import Path

__all__ = ["revision"]


def revision() -> str:
    """Git revision of the package's source, ``-dirty`` where it has changes, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
