"""Pins of a lock file and requirements of the project."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["LOCKS", "ROOT", "Pin", "read_pins", "read_requirements"]

ROOT = Path(__file__).parent.parent
LOCKS = (ROOT / "requirements.lock", ROOT / "deploy" / "requirements.lock")

_PIN = re.compile(r"^([\w.-]+)(?:\[[\w,.-]+\])?==([\w.+!]+)(?: ; (.+?))?(?: \\)?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass
class Pin:
    """A version that a lock file installs.

    Attributes:
        name: Normalised name of the distribution.
        version: Its version.
        marker: Environments in which it is installed; empty for all.
        hashes: SHA-256 of each of its files that may be installed.
    """

    name: str
    version: str
    marker: str
    hashes: list[str]


def read_pins(lock: Path) -> list[Pin]:
    """Read the pins of a lock file."""
    pins: list[Pin] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if (found := _PIN.match(line)) is not None:
            pins.append(Pin(canonicalize_name(found[1]), found[2], found[3] or "", []))
        elif (digest := _HASH.search(line)) is not None:
            pins[-1].hashes.append(digest[1])
    return pins


def read_requirements() -> list[Requirement]:
    """Read what building, the package and its extras require of others."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project, build = (tomllib.loads(text)[name] for name in ("project", "build-system"))
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    found = map(Requirement, [*build["requires"], *project["dependencies"], *extras])
    return [each for each in found if each.name != "leigh_mlops"]
