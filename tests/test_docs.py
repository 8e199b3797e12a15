"""The commands that the documents name exist, with the options that they name."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = sorted(
    {
        (name, tuple(re.findall(r"--[a-z][a-z-]*", line)))
        for document in DOCUMENTS
        for name, line in re.findall(r"python -m leigh_mlops\.(\w+)([^\n`#|]*)", document.read_text())
    }
)


@pytest.mark.parametrize(("name", "options"), COMMANDS, ids=str)
def test_a_documented_command_exists(name: str, options: tuple[str, ...]) -> None:
    function = getattr(importlib.import_module(f"leigh_mlops.{name}"), name)
    app = typer.Typer()
    app.command()(function)
    known = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert set(options) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_points_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.ray
def test_the_commands_of_the_page_on_plates_work(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "plates.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 5
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(paths), "LEIGH_CACHE": str(tmp_path / "cache")}
    said = []
    for command in commands:
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
    assert "The position on the plate alone predicts the class" in said[-1]
    assert not any("The position on the plate alone" in each for each in said[:-1])
