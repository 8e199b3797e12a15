from pathlib import Path

import pytest
import yaml

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import Choice, find_line, find_search_files, load_space
from tests.settings.conftest import GOOD, TUNING, written


def test_a_good_search_file_is_read(tmp_path: Path) -> None:
    assert load_space(written(tmp_path, GOOD)).space["batch_size"] == Choice(values=[8, 15])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trails": 3}, "'trails' is unknown; did you mean 'trials'"),
        ({"trials": 10**12}, "trials: Input should be less than or equal to 100000"),
        (
            {"published": GOOD["published"] | {"learnig_rate": 1}},
            "'learnig_rate' is not a hyperparameter; did you mean",
        ),
        ({"space": {"batch_sizes": [8]}}, "'batch_sizes' is not a hyperparameter; did you mean 'batch_size'"),
        ({"space": {"batch_size": [8, 16]}}, "published batch_size = 15 lies outside its space"),
        ({"space": {"jitter": [0.0, 0.1]}}, "has no published value"),
        ({"space": {"learning_rate": {"low": 1, "high": 0.1}}}, "low must be below high"),
        ({"metric": "test/accuracy"}, "metric"),
        ({"metric": "val/counterfactual/typical/valid"}, "is measured after the search, on the stored trials"),
        ({"objectives": [{"metric": "val/counterfactual/boundary/alpha"}]}, "can't choose epochs or trials"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"published": GOOD["published"] | {"optimizer": "adm"}}, "optimizer"),
        ({"published": GOOD["published"] | {"learning_rate": -1}}, "learning_rate"),
        ({"presets": {"fast": {}}}, "fast"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(tmp_path: Path, change: dict, said: str) -> None:
    path = written(tmp_path, GOOD | change)
    with pytest.raises(LeighError) as caught:
        load_space(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value) or "hyperparameters" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "family: [", "", "family: 2026-99-99", "family: \0", "a: " + "[" * 5000, "family: 0x" + "f" * 5000],
)
def test_what_is_no_search_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LeighError, match=r"search\.yaml") as caught:
        load_space(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match=r"none\.yaml can't be read"):
        load_space(tmp_path / "none.yaml")


FILE = """\
family: resnext
metric: val/log_loss
trials: 4
published:
  learning_rate: 0.001
  optimizer: adam
  precision: fp32
  warmup_epochs: 0
  shift: 0.0
space:
  learning_rate: {low: 1e-4, high: 1e-2, log: true}
  warmup_epochs: {values: [0, 1], when: {optimizer: sgd}}
  optimizer:
    - adam
    - sgd
  shift:
    low: 0
    high: 0.1
presets:
  quick:
    trials: 2
    fix:
      shift: 0.0
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("trials: 4", "trails: 4", 3, "'trails' is unknown; did you mean 'trials'?"),
        ("trials: 4", "trials: 0", 3, "trials: Input should be greater than or equal to 1; it is 0."),
        ("trials: 4", "trials: 4\nmetric: val/mse", 4, "'metric' is already in line 2; delete one of them."),
        ("    - sgd", "    - sgd\n    - sgd", 13, "space.optimizer: 'sgd' is listed twice; list it once."),
        ("trials: 4", "folds: 21", 3, "folds: Input should be less than or equal to 20; it is 21."),
        (
            "trials: 4",
            "resources:\n  memory_gib: 0",
            4,
            "resources.memory_gib: Input should be greater than 0; it is 0.",
        ),
        ("metric: val/", "metric: test/", 2, "'test/log_loss' is not a validation score; choose one such as"),
        ("  learning_rate: 0.001", "  learning_rate: 20", 5, "learning_rate: Input should be less than .*; it is 20."),
        ("  shift: 0.0\nspace", "  schift: 0.0\nspace", 9, "'schift' is not a hyperparameter; did you mean 'shift'?"),
        ("  shift:\n", "  scale:\n", 16, "'scale' is not a hyperparameter; known are"),
        ("    low: 0\n", "    low: nan\n", 17, "space.shift.low: Input should be a finite number; it is 'nan'"),
        ("    high: 0.1", "    high: 2", 16, "shift: Input should be less than or equal to 0.5; it is 2.0."),
        ("    high: 0.1", "    heigh: 2", 18, "'heigh' is unknown; did you mean 'high'?"),
        ("    high: 0.1", "    log: false", 16, "space.shift.high is missing; give it."),
        ("    - sgd", "    - sdg", 13, "optimizer: Input should be 'adam', 'adamax' or 'sgd'; it is 'sdg'."),
        ("{low: 1e-4, high: 1e-2, log: true}", "0.1", 11, "space.learning_rate: 0.1 is neither a list of choices nor"),
        ("{values: [0, 1],", "{low: 0, high: 1,", 12, "space.warmup_epochs: a range also draws values such as 0.318"),
        (
            "optimizer: sgd",
            "optimizer: adamax",
            12,
            "the condition on optimizer requires 'adamax', not one of its values",
        ),
        ("optimizer: sgd", "optimiser: sgd", 12, "the condition on optimiser names neither .* mean 'optimizer'?"),
        ("optimizer: sgd", "learning_rate: 0.001", 12, "can't be met: it is drawn from a range without steps;"),
        ("optimizer: sgd", "warmup_epochs: 0", 12, "conditions of warmup_epochs depend on each other; remove one."),
        ("optimizer: sgd", "architecture: sgd", 12, "refers to all parts at once; name one of them, such as"),
        ("precision: fp32", "precision: bf16\n  architecture.log_det: series", 7, "set precision to fp32."),
        ("  quick:", "  fast:", 20, "presets.fast: Input should be 'quick', 'standard' or 'thorough'; it is 'fast'."),
        ("      shift: 0.0", "      shift: 3", 23, "preset quick: shift: Input should be less than .*; it is 3."),
        ("    trials: 2", "    trials: two", 21, "presets.quick.trials: .* it is 'two'."),
        ("trials: 4", "algorithm: pbt", 3, "early_stopping is asha with algorithm pbt, .* set early_stopping to none."),
        ("    - sgd", "    - [sgd", 16, "this is not valid YAML"),
    ],
)
def test_a_mistake_is_found_in_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    path = written(tmp_path, FILE)
    load_space(path)
    assert FILE.count(old) == 1
    with pytest.raises(LeighError, match=said) as caught:
        load_space(written(tmp_path, FILE.replace(old, new)))
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert "\n" not in str(caught.value)


def test_the_line_of_a_key(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    assert [find_line(path, *keys) for keys in ((), ("space", "shift", "high"), ("space", "flip"))] == [1, 18, 10]


def test_numbers_without_a_point_are_numbers(tmp_path: Path) -> None:
    assert yaml.safe_load("1e-4") == "1e-4"
    choices = "space:\n  weight_decay: [0, 1e-4, 2.5E+0]\n"
    values = f"family: resnext\nmetric: val/mse\npublished: {{weight_decay: 1e-4}}\n{choices}".replace("2.5E+0", "2e-1")
    assert load_space(written(tmp_path, values)).space["weight_decay"] == Choice(values=[0, 0.0001, 0.2])


def test_a_folder_in_the_working_directory_comes_before_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = find_search_files()
    assert [path.name for path in packaged] == ["resnext.yaml", "iresnet.yaml", "autoencoder.yaml"]
    assert {path.parent for path in packaged} == {TUNING}
    requested = {path.name for path in find_search_files(requested=True)} - {path.name for path in packaged}
    assert requested == {"backbone.yaml", "deepcluster.yaml"}
    Path("tuning").mkdir()
    assert find_search_files() == packaged
    written(Path("tuning"), GOOD)
    assert find_search_files() == [Path("tuning/search.yaml")]


def test_a_named_file_is_taken_from_the_package_where_the_folder_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [Path("tuning/resnext.yaml"), Path("tuning/transfer/resnext.yaml")]
    assert find_search_files(named) == [TUNING / "resnext.yaml", TUNING / "transfer" / "resnext.yaml"]
    Path("tuning").mkdir()
    named[0].touch()
    assert find_search_files(named) == [named[0], TUNING / "transfer" / "resnext.yaml"]
    unknown = [Path("tuning/resnxt.yaml"), Path("resnext.yaml"), Path("tuning")]
    assert find_search_files(unknown) == unknown
