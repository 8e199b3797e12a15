"""The wheel does what a checkout does: it is built, installed and called where no checkout is."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import leigh_mlops

ROOT = Path(__file__).parent.parent
FOLDERS = ("leigh_mlops", "tests", "benchmarks", "release", "docs", "deploy", ".github")
# What `leigh tune` would search without names.
FOUND = """
from leigh_mlops.settings import find_search_files, load_space
print(*(load_space(path).family for path in find_search_files()), sep="\\n")
"""
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def call(*command: str | Path, cwd: Path) -> str:
    # Other tests of the process leave the address of their store behind.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW_"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    (source / "deploy" / ".env").write_text("POSTGRES_PASSWORD=secret\n")
    call(sys.executable, "-c", "from setuptools import build_meta; build_meta.build_sdist('..')", cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    call(*PIP, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment that has the wheel, and sees what it needs where the tests have it."""
    environment = tmp_path_factory.mktemp("installed") / "environment"
    call(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment.parent)
    python = environment / "bin" / "python"
    call(*PIP, "--python", python, "install", "--no-index", "--no-deps", built.wheel, cwd=environment.parent)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A folder that is named in a .pth file comes last, and no .pth file in it is read: the checkout stays unseen.
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def files_of(folder: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_the_source_distribution_holds_all_that_the_tests_read_and_no_secret(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert (
        files_of("leigh_mlops") | files_of("tests") | files_of("docs") | files_of("benchmarks") | files_of("release")
        <= names
    )
    assert {"LICENSE", "CITATION.cff", "Makefile", "requirements.lock", "deploy/compose.yaml"} <= names
    assert not {name for name in names if name.endswith(".env") or "__pycache__" in name}


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    assert {name for name in names if ".dist-info/" not in name} == files_of("leigh_mlops")
    assert {"leigh_mlops/py.typed", "leigh_mlops/tuning/transfer/resnext.yaml"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert f"\nVersion: {leigh_mlops.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata


@pytest.mark.ray
def test_the_wheel_does_the_main_job_where_no_checkout_is(installed: Path, tmp_path: Path) -> None:
    leigh = installed / "leigh"
    place = call(installed / "python", "-c", "import leigh_mlops; print(leigh_mlops.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parent)
    assert call(leigh, "--version", cwd=tmp_path) == f"leigh_mlops {leigh_mlops.__version__}\n"
    call(leigh, "synthesize", "plate", "--wells-per-class", "6", "--fields", "2", "--size", "64", cwd=tmp_path)
    call(leigh, "ingest", "plate", "--out", "plate.parquet", cwd=tmp_path)
    quick = ("--data", "plate.parquet", "--preset", "quick")
    plan = call(leigh, "tune", "tuning/autoencoder.yaml", "--dry-run", *quick, cwd=tmp_path)
    assert "autoencoder varies" in plan
    found = call(installed / "python", "-c", FOUND, cwd=tmp_path).splitlines()
    assert found == ["resnext", "iresnet", "autoencoder"]
    call(leigh, "train", "resnext", *quick, "--image-size", "32", "--epochs", "1", cwd=tmp_path)
    assert (tmp_path / "mlruns" / "mlflow.db").exists()
