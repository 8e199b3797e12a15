"""Wheel of this package that travels with a logged model, so that no index has to have it."""

import base64
import csv
import hashlib
import importlib.metadata
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import leigh_mlops
from leigh_mlops.errors import LeighError

__all__ = ["PackageWheel", "build_wheel"]

_NAME = "leigh_mlops"
_SUFFIXES = {".py", ".typed", ".yaml", ".html"}
"""File types of the package and its data; a checkout may hold other files."""
_WHEEL = "Wheel-Version: 1.0\nGenerator: leigh_mlops\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class PackageWheel:
    """A wheel of the running package.

    Attributes:
        version: Version with a digest of the content as its local part. Package indexes refuse uploads of such
            versions, so a requirement of it cannot be met by a package of the same name.
        content: Bytes of the file.
        dependencies: Names of the distributions that the package needs.
    """

    version: str
    content: bytes
    dependencies: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return f"{_NAME}-{self.version}-py3-none-any.whl"

    def requirements(self, folder: str, further: Sequence[str] = ()) -> list[str]:
        """Lines of a requirements file: this wheel, and the installed versions of its dependencies.

        Args:
            folder: Folder of the wheel, relative to the requirements file. Pip and uv resolve a path of
                ``--find-links`` from there, but that of a wheel from the working directory.
            further: Distributions of extras that a network needs.
        """
        pinned = [_pin(name) for name in (*self.dependencies, *further)]
        return [f"--find-links {folder}", f"{_NAME}=={self.version}", *pinned]


@cache
def build_wheel() -> PackageWheel:
    """Build a wheel of the running package, from a checkout or an installed wheel alike, once per process.

    Its files are those that are imported, so changes in a checkout are part of it.

    Raises:
        LeighError: The package is not installed, or its files are not in a folder.
    """
    folder = Path(leigh_mlops.__file__).parent
    try:
        installed = importlib.metadata.distribution(_NAME)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    # In a checkout, Python may find what setuptools left in its root before what is installed.
    metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO") if installed else None
    if installed is None or metadata is None or not folder.is_dir():
        raise LeighError(
            f"{_NAME} in {folder} is not installed, so no wheel of it travels with the model, and MLflow can't build "
            "an environment that serves it; run pip install -e . in the checkout, then train again."
        )
    files = {f"{_NAME}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in _package_files(folder)}
    licence, commands = installed.read_text("licenses/LICENSE"), installed.read_text("entry_points.txt")
    described = {"METADATA": metadata, "licenses/LICENSE": licence, "entry_points.txt": commands, "WHEEL": _WHEEL}
    about = {name: text.encode() for name, text in described.items() if text is not None}
    version = f"{leigh_mlops.__version__}+sha{_digest(files | about)}"
    about["METADATA"] = re.sub(r"(?m)^Version: .*$", f"Version: {version}", metadata, count=1).encode()
    info = f"{_NAME}-{version}.dist-info"
    members = files | {f"{info}/{name}": content for name, content in about.items()}
    return PackageWheel(version, _pack(members, f"{info}/RECORD"), _dependencies(installed))


def _package_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())


def _digest(members: dict[str, bytes]) -> str:
    hashed = hashlib.sha256()
    for name, content in sorted(members.items()):
        hashed.update(f"{name} {len(content)}\n".encode() + content)
    return hashed.hexdigest()[:12]


def _dependencies(installed: importlib.metadata.Distribution) -> tuple[str, ...]:
    required = [line for line in installed.requires or () if "extra ==" not in line]
    return tuple(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required)


def _pin(name: str) -> str:
    """Requirement of the installed version; of any version where it is a development one, which no index has."""
    try:
        version = importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return name
    return name if ".dev" in version else f"{name}=={version}"


def _pack(members: dict[str, bytes], record: str) -> bytes:
    """Pack a wheel with its record, the same bytes for the same members."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name, content in members.items():
        encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={encoded}", len(content)])
    writer.writerow([record, "", ""])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | {record: rows.getvalue().encode()}).items():
            entry = zipfile.ZipInfo(name, _FIRST_DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
