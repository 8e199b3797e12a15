"""The commands and examples of the page on profiles work, on a drawn plate with an untrained network."""

import re
import shlex
import warnings
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from leigh_mlops.commands import EXIT_MOST_FAILED
from leigh_mlops.models import save_package
from leigh_mlops.plates import write_demo_plate
from leigh_mlops.profile import profile
from leigh_mlops.study import profile_plates
from tests.study.test_profile_plates import package

PAGE = (Path(__file__).parent.parent / "docs" / "profiles.md").read_text(encoding="utf-8")
ADDRESS = "models:/leigh-resnext@champion"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (6, 0), (7, EXIT_MOST_FAILED)])
def test_the_exit_code_tells_whether_most_fields_failed(
    failed: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_package(package(), tmp_path / "model")
    monkeypatch.setattr(profile_plates, "profile_plates", lambda *_: profile_plates.ProfileRun([], 12, failed))
    app = typer.Typer()
    app.command()(profile)
    words = [str(tmp_path / "model"), "--data", str(tmp_path), "--out", str(tmp_path / "p.parquet")]
    assert CliRunner().invoke(app, words).exit_code == code


@pytest.mark.filterwarnings("ignore")
def test_the_commands_and_examples_of_the_page_on_profiles_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_demo_plate("plate", wells_per_class=6, fields_per_well=2, image_size_px=32, seed=1)
    save_package(package(), Path("model"))
    app = typer.Typer()
    app.command()(profile)
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "leigh_mlops.profile"]
        done = CliRunner().invoke(app, [word.replace(ADDRESS, "model") for word in words[3:]], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks("python"):
            exec(block, names)
    assert len(names["normalised"]) == len(names["precision"]) == 12
