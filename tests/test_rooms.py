"""The way of the data is one way: a room imports rooms to its left."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import leigh_mlops

PACKAGE = Path(leigh_mlops.__file__).parent
ROOMS = [
    "errors", "command_line", "user_folders", "settings", "events", "trials", "sampling", "plates", "job_columns",
    "scores", "images", "models", "training", "explanations", "progress", "report", "screening", "tracking", "search",
    "study", "jobs", "api",
]  # fmt: skip
CORE = ["plates", "scores", "images", "models", "training", "explanations"]
COMMANDS = [
    "tune", "train", "evaluate", "explain", "blind", "leaderboard", "promote", "ui", "ingest", "platemap", "augment",
    "synthesize", "trends", "crossvalidate", "profile", "clusters",
]  # fmt: skip


def sources(name: str) -> list[Path]:
    return sorted((PACKAGE / name).rglob("*.py")) or [PACKAGE / f"{name}.py"]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def rooms_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("leigh_mlops.")}


def test_rooms_of_finds_an_import_to_the_right() -> None:
    assert rooms_of({"leigh_mlops.jobs.worker", "numpy"}) == {"jobs"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_rooms_to_its_left(room: str) -> None:
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for path in sources(room):
        assert rooms_of(imported(path)) <= allowed, path


@pytest.mark.parametrize(("library", "owner"), [("mlflow", "tracking"), ("ray.tune", "search")])
def test_one_room_imports_a_library(library: str, owner: str) -> None:
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name == library or name.startswith(f"{library}.") for name in imported(path))
    }
    assert users == {owner}


def test_every_module_has_its_room() -> None:
    top = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert top == {*ROOMS, *COMMANDS, "__init__", "__main__", "commands"}


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "mlflow"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
"""


def test_the_block_blocks() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED + "import ray"], capture_output=True, text=True, check=False)
    assert "ray is blocked" in done.stderr


def test_the_core_needs_neither_ray_nor_mlflow() -> None:
    code = BLOCKED + "\n".join(f"import leigh_mlops.{room}" for room in CORE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
