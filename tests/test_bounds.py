"""No version with a known hole may be installed: neither by a lower bound nor by a lock."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
# The oldest version without the hole, and the hole. Transitive libraries are held by the locks alone.
SAFE = {
    "aiohttp": ("3.13.3", "CVE-2025-69223: a compressed request takes all memory"),
    "check-jsonschema": ("0.30.0", "CVE-2024-53848: one remote schema takes another's place in the cache"),
    "cryptography": ("50.0.0", "CVE-2026-69247, and OpenSSL's holes before it"),
    "filelock": ("3.20.3", "CVE-2025-68146, CVE-2026-22701: a lock follows another user's link and empties a file"),
    "flask-cors": ("6.0.0", "CVE-2024-6844, CVE-2024-6866: paths match rules that they should not"),
    "fonttools": ("4.60.2", "CVE-2025-66034: a design space file writes any file"),
    "gitpython": ("3.1.41", "CVE-2024-22190: runs what lies in the working directory"),
    "gunicorn": ("23.0.0", "CVE-2024-6827: request smuggling"),
    "h11": ("0.16.0", "CVE-2025-43859: request smuggling"),
    "imagecodecs": ("2023.9.18", "CVE-2023-4863: a WebP picture runs code"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a template leaves its sandbox"),
    "mlflow": (
        "3.17.2",
        "CVE-2026-0545, -2614, -2652, -33866, -71211: files read, jobs run, authorization passed over",
    ),
    "numpy": ("1.22.2", "CVE-2021-41495, CVE-2021-41496: overflows"),
    "opencv-python-headless": ("4.8.1.78", "CVE-2023-4863: a WebP picture runs code"),
    "pandas": ("1.0.4", "CVE-2020-13091: what its own pickle reader runs"),
    "pillow": ("12.3.0", "CVE-2026-25990, -42309, -59199, -59204, -59205: pictures write out of bounds"),
    "playwright": ("1.56.0", "CVE-2025-59288: browsers are fetched without a look at certificates"),
    "plotly": ("5.16.1", "CVE-2023-46308: plotly.js before 2.25.2 pollutes prototypes"),
    "protobuf": ("6.33.5", "CVE-2025-4565, CVE-2026-0994: endless recursion"),
    "psutil": ("5.6.7", "CVE-2019-18874: memory freed twice"),
    "pyarrow": ("23.0.1", "CVE-2023-47248: a file runs code; CVE-2026-25087: memory used after it is freed"),
    "pyasn1": ("0.6.2", "CVE-2026-23490: memory without end"),
    "pydantic": ("2.4.0", "CVE-2024-3772: a pattern that takes for ever"),
    "pytest": ("9.0.3", "CVE-2025-71176: another user's folder in /tmp is taken for one's own"),
    "pyyaml": ("5.4", "CVE-2020-14343: a YAML file runs code"),
    "ray": ("2.59.0", "CVE-2026-41486: a Parquet file runs code; CVE-2026-27482 and others of its dashboard"),
    "requests": ("2.32.4", "CVE-2024-47081: passwords go to another host"),
    "scikit-learn": ("1.5.0", "CVE-2024-5206: a vectoriser keeps words of its training texts"),
    "scipy": ("1.10.0", "CVE-2023-25399: memory leaks"),
    "setuptools": ("78.1.1", "CVE-2025-47273: a package's address writes any file"),
    "skops": ("0.13.0", "CVE-2025-54412, CVE-2025-54413: a model file runs code"),
    "sqlalchemy": ("1.3.0", "CVE-2019-7164, CVE-2019-7548: SQL injection"),
    "starlette": ("1.3.1", "CVE-2026-48710: a Host header passes over restrictions"),
    "torch": ("2.11.0", "CVE-2025-32434, CVE-2026-24747: weights_only runs code; another hole up to 2.10"),
    "urllib3": ("2.6.3", "CVE-2026-21441: a redirect takes all memory"),
    "uv": ("0.11.6", "archives read as another sees them, and files deleted outside the environment"),
    "werkzeug": ("3.1.5", "CVE-2024-34069: the debugger; CVE-2025-66221, CVE-2026-21860: names of devices"),
}


def requirements() -> list[Requirement]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project, build = (tomllib.loads(text)[name] for name in ("project", "build-system"))
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    found = map(Requirement, [*build["requires"], *project["dependencies"], *extras])
    return [each for each in found if each.name != "leigh_mlops"]


def lowest(requirement: Requirement) -> Version | None:
    """The lower bound; None where there is none."""
    return max((Version(each.version) for each in requirement.specifier if each.operator in (">=", "==")), default=None)


def unsafe(name: str, version: Version | None) -> str | None:
    """What is wrong with a version that may be installed."""
    if version is None:
        return f"{name} has no lower bound"
    safe, reason = SAFE.get(name.lower(), ("0", ""))
    return f"{name} {version} is older than {safe}: {reason}" if version < Version(safe) else None


@pytest.mark.parametrize("text", ["pillow>=10.4", "pillow", "pillow<14", "PyYAML>=5.3,<7", "ray[tune]>=2.50"])
def test_an_unsafe_bound_is_found(text: str) -> None:
    requirement = Requirement(text)
    assert unsafe(requirement.name, lowest(requirement)) is not None


def test_no_lower_bound_admits_a_known_hole() -> None:
    found = [wrong for each in requirements() if (wrong := unsafe(each.name, lowest(each)))]
    assert found == []
    assert {"boto3", "captum", "mlflow", "pytest", "ray", "setuptools", "torch"} <= {
        each.name for each in requirements()
    }


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_no_lock_holds_a_known_hole(lock: str) -> None:
    pins = re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(pins) > 100
    assert [wrong for name, version in pins if (wrong := unsafe(name, Version(version)))] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_every_lock_meets_the_bounds(lock: str) -> None:
    pins = re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    specifiers = {each.name.lower().replace("_", "-"): each.specifier for each in requirements()}
    assert [pin for pin in pins if pin[0] in specifiers and pin[1] not in specifiers[pin[0]]] == []
