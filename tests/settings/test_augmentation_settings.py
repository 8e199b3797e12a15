import json
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import AUGMENTATIONS, TrainingSettings, augmentation_text, load_space, read_augmentation
from leigh_mlops.settings.augmentation_settings import parse_augmentation
from tests.settings.conftest import GOOD, written

FLIP = {"__class_fullname__": "HorizontalFlip", "p": 1.0}


def test_transforms_become_a_text_and_come_back() -> None:
    assert augmentation_text(None) is None
    for value in (FLIP, [FLIP], json.dumps([FLIP])):
        text = augmentation_text(value)
        assert isinstance(text, str)
        assert parse_augmentation(text) == [FLIP]
    assert parse_augmentation(augmentation_text("microscope")) == AUGMENTATIONS["microscope"]
    assert parse_augmentation(None) == parse_augmentation("published") == []


@pytest.mark.parametrize("value", ["microscop", "[", 3, True])
def test_what_is_no_augmentation_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="published, morphology, microscope"):
        augmentation_text(value)
    with pytest.raises(LeighError, match="augment"):
        TrainingSettings.from_flat({"augment": value})


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", json.dumps([FLIP])), ("a.yaml", "- __class_fullname__: NoOp\n  p: 1e-1")]
)
def test_a_file_stands_for_its_transforms(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    (first,) = parse_augmentation(read_augmentation(name, tmp_path))
    assert first["p"] in (0.1, 1.0)


def test_files_that_hold_no_transforms_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[")
    with pytest.raises(LeighError, match=r"a\.yaml: this is neither valid JSON nor YAML"):
        read_augmentation("a.yaml", tmp_path)
    (tmp_path / "b.yaml").write_text("words")
    with pytest.raises(LeighError, match=r"b\.yaml holds no transforms"):
        read_augmentation("b.yaml", tmp_path)
    (tmp_path / "c.yaml").write_text("!!python/object/apply:os.system [ls]")
    with pytest.raises(LeighError, match=r"c\.yaml"):
        read_augmentation("c.yaml", tmp_path)
    with pytest.raises(LeighError, match=r"'d\.yaml' is neither a file nor one of published"):
        read_augmentation("d.yaml", tmp_path)


def test_a_search_file_names_presets_files_and_transforms(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps([FLIP]))
    published = GOOD["published"] | {"augment": "mine.json"}
    space = GOOD["space"] | {"augment": ["mine.json", "microscope", [FLIP, FLIP], None]}
    presets = {"quick": {"fix": {"augment": "mine.json"}}}
    read = load_space(written(tmp_path, GOOD | {"published": published, "space": space, "presets": presets}))
    text = augmentation_text([FLIP])
    assert read.published["augment"] == text
    assert read.space["augment"].values == [text, "microscope", augmentation_text([FLIP, FLIP]), None]
    assert read.apply_preset("quick").published["augment"] == text
    assert TrainingSettings.from_flat(read.published).augment == text


def test_the_line_of_a_missing_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD | {"published": GOOD["published"] | {"augment": "none.json"}})
    line = path.read_text().splitlines().index("  augment: none.json") + 1
    with pytest.raises(LeighError, match=rf"line {line}: the augmentation 'none.json' is neither"):
        load_space(path)


def test_transforms_that_no_run_record_takes_are_refused() -> None:
    assert augmentation_text([FLIP] * 100)
    with pytest.raises(ValueError, match="leave out arguments"):
        augmentation_text([FLIP] * 200)
