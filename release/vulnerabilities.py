"""Comparison of lower bounds and locks with a stored list of known vulnerabilities.

python -m release.vulnerabilities
"""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from release.pins import LOCKS, read_pins, read_requirements

__all__ = ["find_vulnerabilities", "lowest_version", "unsafe_reason"]

SAFE: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""Oldest version without known vulnerabilities, and the vulnerabilities, by the name of the distribution."""


def lowest_version(requirement: Requirement) -> Version | None:
    """Lower bound of a requirement; None where there is none."""
    return max((Version(each.version) for each in requirement.specifier if each.operator in (">=", "==")), default=None)


def unsafe_reason(name: str, version: Version | None) -> str | None:
    """Reason why a version must not be installed; None if it may be."""
    if version is None:
        return f"{name} has no lower bound"
    known = SAFE.get(canonicalize_name(name))
    if known is None or version >= Version(known["safe"]):
        return None
    return f"{name} {version} is older than {known['safe']}: {known['reason']}"


def find_vulnerabilities() -> list[str]:
    """Describe each lower bound and each pin of a lock that admits a known vulnerability."""
    versions = [("pyproject.toml", each.name, lowest_version(each)) for each in read_requirements()]
    versions += [(lock.name, pin.name, Version(pin.version)) for lock in LOCKS for pin in read_pins(lock)]
    found = [(where, unsafe_reason(name, version)) for where, name, version in versions]
    return [f"{where}: {reason}" for where, reason in found if reason is not None]


def main() -> None:
    """Print what is found; the exit code is 1 if there is anything."""
    found = find_vulnerabilities()
    print("\n".join(found) or f"No lower bound and no lock admits one of the vulnerabilities of {len(SAFE)} packages.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
