"""The wheel that travels with a model is that of the code which runs, and no index can stand in for it."""

import importlib.metadata
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import leigh_mlops
from leigh_mlops.errors import LeighError
from leigh_mlops.tracking.package_wheel import build_wheel

PACKAGE = Path(leigh_mlops.__file__).parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]


def test_it_holds_the_files_that_are_imported() -> None:
    with zipfile.ZipFile(io.BytesIO(build_wheel().content)) as archive:
        assert archive.testzip() is None
        contents = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert contents == {path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes() for path in files}


def test_its_version_is_that_of_its_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = build_wheel()
    assert wheel.version.startswith(f"{leigh_mlops.__version__}+sha")
    assert build_wheel() is wheel
    monkeypatch.setattr(leigh_mlops, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "__init__.py").write_text("changed = True\n")
    (tmp_path / ".env").write_text("PASSWORD=secret\n")
    other = build_wheel.__wrapped__()
    assert other.version != wheel.version
    assert other.content == build_wheel.__wrapped__().content
    assert not [name for name in zipfile.ZipFile(io.BytesIO(other.content)).namelist() if name.endswith(".env")]


def test_a_checkout_with_the_metadata_of_setuptools_has_one_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    about = tmp_path / "leigh_mlops.egg-info"
    about.mkdir()
    (about / "PKG-INFO").write_text(
        "Metadata-Version: 2.1\nName: leigh_mlops\nVersion: 0.0.1\nRequires-Dist: torch[a]>=2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    wheel = build_wheel.__wrapped__()
    assert wheel.dependencies == ("torch",)
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
    assert f"\nVersion: {wheel.version}\n" in metadata


def test_pip_takes_it_from_beside_the_requirements_and_from_nowhere_else(tmp_path: Path) -> None:
    wheel, model = build_wheel(), tmp_path / "model"
    (model / "artifacts").mkdir(parents=True)
    file = model / "artifacts" / wheel.file_name
    file.write_bytes(wheel.content)
    link, own, *pinned = wheel.requirements("artifacts")
    assert f"torch=={importlib.metadata.version('torch').partition('+')[0]}" in pinned
    further = wheel.requirements("artifacts", ["safetensors", "of-nobody"])
    assert further == [link, own, *pinned, f"safetensors=={importlib.metadata.version('safetensors')}", "of-nobody"]
    (model / "requirements.txt").write_text(f"{link}\n{own}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [
        *PIP,
        "install",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        "lib",
        "-r",
        str(model / "requirements.txt"),
    ]
    assert subprocess.run(install, cwd=elsewhere, check=False).returncode == 0
    installed = elsewhere / "lib"
    assert (installed / "leigh_mlops" / "__init__.py").read_bytes() == (PACKAGE / "__init__.py").read_bytes()
    assert (installed / "bin" / "leigh").exists()
    # A package of the same name and the public version, as an index would have it.
    file.rename(file.with_name(f"leigh_mlops-{leigh_mlops.__version__}-py3-none-any.whl"))
    done = subprocess.run(install, cwd=elsewhere, check=False, capture_output=True, text=True)
    assert "No matching distribution" in done.stderr


def test_code_that_is_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(LeighError, match="is not installed, so no wheel of it travels with the model"):
        build_wheel.__wrapped__()
