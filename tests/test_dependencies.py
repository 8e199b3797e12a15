"""What is imported is declared, and what is used by its private parts has an upper bound."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Distributions that are not called as they are imported.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
}
# Private attributes, which no import shows: rungs and quantiles of schedulers, and a monitor's end.
PRIVATE_ATTRIBUTES = {"ray", "mlflow"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> dict[str, Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = [Requirement(text) for text in texts]
    return {normalised(each.name): each for each in found if each.name != "leigh_mlops"}


def imports_of(source: str) -> Iterator[str]:
    """Modules by their full names, and what is taken from them where it is private."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name.startswith("_"))


def imported(folder: str, own: tuple[str, ...]) -> set[str]:
    names = {name for path in (ROOT / folder).rglob("*.py") for name in imports_of(path.read_text(encoding="utf-8"))}
    return {name for name in names if name.split(".")[0] not in {*own, *sys.stdlib_module_names}}


def distribution(module: str) -> str:
    top = module.split(".", maxsplit=1)[0]
    return normalised(DISTRIBUTIONS.get(top, top))


def undeclared(modules: set[str], requirements: dict[str, Requirement]) -> set[str]:
    return {name for name in modules if distribution(name) not in requirements}


def test_an_undeclared_import_is_found() -> None:
    modules = set(imports_of("import requests\ndef f():\n    from PIL import Image\n    import sqlalchemy.orm"))
    assert undeclared(modules, declared()) == {"requests"}


def test_what_the_package_imports_is_declared() -> None:
    modules = imported("leigh_mlops", ("leigh_mlops",))
    assert undeclared(modules, declared("signing", "anndata", "timm", "umap", "openvino")) == set()
    assert set(declared()) <= {distribution(name) for name in modules}


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "release"])
def test_what_tests_and_scripts_import_is_declared(folder: str) -> None:
    modules = imported(folder, ("leigh_mlops", "tests", "benchmarks", "release"))
    assert undeclared(modules, declared("dev", "servers", "signing", "anndata", "timm", "umap", "openvino")) == set()


def test_libraries_used_by_their_private_parts_have_an_upper_bound() -> None:
    modules = imported("leigh_mlops", ("leigh_mlops",))
    private = {distribution(name) for name in modules if any(part.startswith("_") for part in name.split("."))}
    assert {"captum", "torch"} <= private
    requirements = declared("servers", "cluster").values()
    private |= PRIVATE_ATTRIBUTES
    open_ended = [str(each) for each in requirements if each.name in private and "<" not in str(each.specifier)]
    assert open_ended == []
