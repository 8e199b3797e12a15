"""Lower bounds and lock files admit no version with a known vulnerability."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.pins import LOCKS, read_pins, read_requirements
from release.vulnerabilities import SAFE, find_vulnerabilities, lowest_version, unsafe_reason


@pytest.mark.parametrize("text", ["pillow>=10.4", "pillow", "pillow<14", "PyYAML>=5.3,<7", "ray[tune]>=2.50"])
def test_an_unsafe_bound_is_found(text: str) -> None:
    requirement = Requirement(text)
    assert unsafe_reason(requirement.name, lowest_version(requirement)) is not None


def test_no_lower_bound_and_no_lock_admits_a_known_vulnerability() -> None:
    assert {"boto3", "captum", "mlflow", "model-signing", "pytest", "ray", "setuptools", "torch"} <= {
        each.name for each in read_requirements()
    }
    assert {"torch", "mlflow", "protobuf"} <= set(SAFE)
    assert find_vulnerabilities() == []


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_lock_meets_the_bounds(lock: Path) -> None:
    pins = read_pins(lock)
    assert len(pins) > 100
    assert all(pin.hashes for pin in pins)
    specifiers = {canonicalize_name(each.name): each.specifier for each in read_requirements()}
    assert [pin for pin in pins if pin.name in specifiers and pin.version not in specifiers[pin.name]] == []
