import os
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import load_space, read_augmentation
from leigh_mlops.settings.text_file import read_text_file

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""References that stand for a billion values."""


def test_a_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("größe: 3", encoding="utf-8")
    assert read_text_file(tmp_path / "a.yaml") == "größe: 3"


def test_what_would_never_end_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe.yaml", "zero.yaml", "folder.yaml"):
        with pytest.raises(LeighError, match=rf"{name} is a folder, pipe or device; give a text file"):
            load_space(tmp_path / name)
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(2**30)
    for read in (load_space, lambda path: read_augmentation(str(path), tmp_path)):
        with pytest.raises(LeighError, match=r"large\.yaml has 1024 MiB, more than the 16 MiB of a text file"):
            read(tmp_path / "large.yaml")


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]\n"])
def test_references_that_would_fill_the_memory_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("family: &name resnext\ntrials: *name\n")
    with pytest.raises(LeighError, match=r"a\.yaml, line 1: metric is missing"):
        load_space(file)
    file.write_text(text)
    with pytest.raises(LeighError, match="it has more than 100000 values"):
        load_space(file)
    with pytest.raises(LeighError, match="it has more than 100000 values"):
        read_augmentation(str(file), tmp_path)
