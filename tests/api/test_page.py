"""The examples of docs/api.md."""

import re
import shutil
from pathlib import Path

import pytest

from leigh_mlops.api import registered
from leigh_mlops.api.model import load

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_work_in_their_order(
    packages: dict[str, Path], plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) > 5
    shutil.copytree(plate, tmp_path / "plate")
    monkeypatch.chdir(tmp_path)
    card = load(packages["iresnet"]).card
    registry = {"models:/leigh-iresnet@champion": card}
    monkeypatch.setattr(registered, "load_registered", lambda address, *_: registry[address])
    names: dict[str, object] = {}
    for example in examples:
        exec(example, names)
    assert {"table", "model", "found", "maps", "changed"} <= set(names)
