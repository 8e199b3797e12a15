"""Lower bounds and lock files admit no version with a known vulnerability."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
# The oldest version without the vulnerabilities, and the vulnerabilities. Only the locks pin transitive dependencies.
SAFE = {
    "aiohttp": ("3.13.3", "CVE-2025-69223: denial of service by a decompression bomb"),
    "check-jsonschema": ("0.30.0", "CVE-2024-53848: cache confusion between remote schemas of the same name"),
    "cryptography": ("50.0.0", "CVE-2026-69247: padding oracle in PKCS#7 decryption"),
    "filelock": ("3.20.3", "CVE-2025-68146, CVE-2026-22701: file truncation through a symbolic link (race condition)"),
    "flask-cors": ("6.0.0", "CVE-2024-6844, CVE-2024-6866: wrong CORS policy through inconsistent path matching"),
    "fonttools": ("4.60.2", "CVE-2025-66034: arbitrary file write by a designspace file"),
    "gitpython": ("3.1.41", "CVE-2024-22190: code execution through an untrusted search path"),
    "gunicorn": ("23.0.0", "CVE-2024-6827: HTTP request smuggling"),
    "h11": ("0.16.0", "CVE-2025-43859: HTTP request smuggling"),
    "imagecodecs": ("2023.9.18", "CVE-2023-4863: heap buffer overflow in libwebp"),
    "jinja2": ("3.1.6", "CVE-2025-27516: sandbox escape of a template"),
    "mlflow": (
        "3.17.2",
        "CVE-2026-0545, CVE-2026-2614, CVE-2026-2652, CVE-2026-33866, CVE-2026-71211, CVE-2026-116690: arbitrary file "
        "read, job execution without authentication, authorization bypass",
    ),
    "numpy": ("1.22.2", "CVE-2021-41495, CVE-2021-41496: null pointer dereference, buffer overflow"),
    "opencv-python-headless": ("4.8.1.78", "CVE-2023-4863: heap buffer overflow in libwebp"),
    "pandas": ("1.0.4", "CVE-2020-13091: code execution by an untrusted pickle"),
    "pillow": (
        "13.0.0",
        "CVE-2026-96639: out-of-bounds write; CVE-2026-112393, CVE-2026-112403: heap buffer overflow in TIFF and JPEG",
    ),
    "playwright": ("1.56.0", "CVE-2025-59288: browsers are downloaded without certificate validation"),
    "plotly": ("5.16.1", "CVE-2023-46308: prototype pollution in plotly.js before 2.25.2"),
    "protobuf": ("6.33.5", "CVE-2025-4565, CVE-2026-0994: denial of service by unbounded recursion"),
    "psutil": ("5.6.7", "CVE-2019-18874: double free"),
    "pyarrow": ("23.0.1", "CVE-2023-47248: code execution by an untrusted file; CVE-2026-25087: use after free"),
    "pyasn1": ("0.6.2", "CVE-2026-23490: denial of service by memory exhaustion"),
    "pydantic": ("2.4.0", "CVE-2024-3772: denial of service by a regular expression"),
    "pytest": ("9.0.3", "CVE-2025-71176: insecure temporary folder with a predictable name"),
    "pyyaml": ("5.4", "CVE-2020-14343: code execution by an untrusted YAML file"),
    "ray": (
        "2.59.0",
        "CVE-2026-41486: code execution by an untrusted Parquet file; CVE-2025-62593, CVE-2026-27482: cross-site "
        "requests to the dashboard",
    ),
    "requests": ("2.32.4", "CVE-2024-47081: leak of .netrc credentials to another host"),
    "scikit-learn": ("1.5.0", "CVE-2024-5206: leak of training data in TfidfVectorizer"),
    "scipy": ("1.10.0", "CVE-2023-25399: memory leak"),
    "setuptools": ("78.1.1", "CVE-2025-47273: arbitrary file write by path traversal"),
    "skops": ("0.13.0", "CVE-2025-54412, CVE-2025-54413: code execution by an untrusted model file"),
    "sqlalchemy": ("1.3.0", "CVE-2019-7164, CVE-2019-7548: SQL injection"),
    "starlette": ("1.3.1", "CVE-2026-48710: bypass of path restrictions through the Host header"),
    "torch": (
        "2.11.0",
        "CVE-2025-32434, CVE-2026-24747: code execution in spite of weights_only; CVE-2026-4538: deserialization of an "
        "untrusted PT2 file",
    ),
    "urllib3": ("2.6.3", "CVE-2026-21441: denial of service by a decompression bomb in a redirect"),
    "uv": (
        "0.11.15",
        "GHSA-pjjw-68hj-v9mw: arbitrary file deletion by the RECORD of a wheel; GHSA-4gg8-gxpx-9rph: arbitrary file "
        "write by an entry point",
    ),
    "werkzeug": (
        "3.1.5",
        "CVE-2024-34069: code execution through the debugger; CVE-2025-66221, CVE-2026-21860: denial of service by "
        "Windows device names",
    ),
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
    """The reason why a version must not be installed; None if it may be."""
    if version is None:
        return f"{name} has no lower bound"
    safe, reason = SAFE.get(name.lower(), ("0", ""))
    return f"{name} {version} is older than {safe}: {reason}" if version < Version(safe) else None


@pytest.mark.parametrize("text", ["pillow>=10.4", "pillow", "pillow<14", "PyYAML>=5.3,<7", "ray[tune]>=2.50"])
def test_an_unsafe_bound_is_found(text: str) -> None:
    requirement = Requirement(text)
    assert unsafe(requirement.name, lowest(requirement)) is not None


def test_no_lower_bound_admits_a_known_vulnerability() -> None:
    found = [wrong for each in requirements() if (wrong := unsafe(each.name, lowest(each)))]
    assert found == []
    assert {"boto3", "captum", "mlflow", "pytest", "ray", "setuptools", "torch"} <= {
        each.name for each in requirements()
    }


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_no_lock_pins_a_known_vulnerability(lock: str) -> None:
    pins = re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(pins) > 100
    assert [wrong for name, version in pins if (wrong := unsafe(name, Version(version)))] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements.lock"])
def test_every_lock_meets_the_bounds(lock: str) -> None:
    pins = re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    specifiers = {each.name.lower().replace("_", "-"): each.specifier for each in requirements()}
    assert [pin for pin in pins if pin[0] in specifiers and pin[1] not in specifiers[pin[0]]] == []
