from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import SearchObjective, SearchSpace, TrainingSettings, TrialResources, load_space
from tests.settings.conftest import DENSITY, GOOD, JOINT, PADDED, TUNING, written


@pytest.mark.parametrize("path", sorted(TUNING.rglob("*.yaml")), ids=lambda path: str(path.relative_to(TUNING)))
def test_the_projects_own_searches_are_valid(path: Path) -> None:
    space = load_space(path)
    assert space.family == path.stem
    for preset in ("quick", "standard", "thorough"):
        assert space.apply_preset(preset).architectures()


def test_a_preset_fixes_what_it_names_and_leaves_the_rest() -> None:
    space = SearchSpace.model_validate(GOOD)
    quick = space.apply_preset("quick")
    assert (quick.trials, quick.published["epochs"], quick.published["architecture.groups"]) == (1, 2, 8)
    assert quick.space.keys() == space.space.keys()
    assert space.apply_preset("thorough") == space
    assert set(space.fix_hyperparameters({"batch_size": 8}).space) == {"learning_rate"}


def test_fixing_one_of_the_parts_that_are_chosen_together_fixes_all() -> None:
    space = SearchSpace.model_validate(JOINT)
    assert space.fix_hyperparameters({"batch_size": 8}).space.keys() == {"architecture"}
    bijective = space.fix_hyperparameters({"architecture.padded_channels": None})
    assert bijective.space == {}
    assert "architecture" not in bijective.published
    architecture = TrainingSettings.from_flat(bijective.published).architecture
    assert architecture == {"padded_channels": None, "head": "published", "log_det": "none"}
    kinds = [TrainingSettings.from_flat(one.published).architecture["head"] for one in space.architectures()]
    assert kinds == ["published", "gaussian"]
    assert len(SearchSpace.model_validate(GOOD).architectures()) == 1
    chosen = space.fix_hyperparameters({"architecture": DENSITY})
    assert TrainingSettings.from_flat(chosen.published).architecture["log_det"] == "roulette"


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"architecture": [PADDED, DENSITY], "precision": ["fp32", "bf16"]}, "precision is bf16 with .*set precision"),
        ({"architecture": [PADDED, "gaussian"]}, "'gaussian' sets nothing; write it as"),
        ({"batch_size": [*range(2000)]}, "at most 1000 items"),
        ({"architecture": [PADDED, "head=[gaussian"]}, "sets nothing"),
        ({"architecture": [PADDED, "head=2026-99-99"]}, "sets nothing"),
        ({"architecture": [PADDED, "head=" + "[" * 3000]}, "sets nothing"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, space: dict[str, object], said: str
) -> None:
    load_space(written(tmp_path, JOINT))
    with pytest.raises(LeighError, match=said):
        load_space(written(tmp_path, JOINT | {"space": space}))


def test_choices_that_cannot_be_combined_are_refused(tmp_path: Path) -> None:
    values = GOOD | {"published": GOOD["published"] | {"architecture.log_det": "none", "precision": "fp32"}}
    apart = {"architecture.log_det": ["none", "roulette"], "precision": ["fp32", "bf16"]}
    for key, domain in apart.items():
        load_space(written(tmp_path, values | {"space": {key: domain}}))
    with pytest.raises(
        LeighError, match=r"precision is bf16 with architecture\.log_det roulette.*set precision to fp32"
    ):
        load_space(written(tmp_path, values | {"space": apart}))


def test_an_unknown_hyperparameter_of_the_command_line_gets_a_near_name() -> None:
    space = SearchSpace.model_validate(GOOD)
    for wrong, near in {"architecure": "architecture", "architecure.groups": "architecture.groups"}.items():
        with pytest.raises(LeighError, match=f"resnext: '{wrong}' is not a hyperparameter; did you mean '{near}'"):
            space.fix_hyperparameters({wrong: 8})


def test_the_first_objective_is_the_metric() -> None:
    space = SearchSpace.model_validate(GOOD)
    assert space.all_objectives == (SearchObjective(metric="val/log_loss", mode="min"),)
    more = space.replace_fields(objectives=[{"metric": "train/seconds"}, {"metric": "val/auc", "mode": "max"}])
    assert [objective.metric for objective in more.all_objectives] == ["val/log_loss", "train/seconds", "val/auc"]
    for wrong in ({"metric": "val/log_loss"}, {"metric": "seconds"}):
        with pytest.raises(LeighError, match="resnext: objectives"):
            space.replace_fields(objectives=[wrong])


POPULATION = {"algorithm": "pbt", "early_stopping": "none", "trials": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"early_stopping": "asha"}, "early_stopping is asha with algorithm pbt"),
        ({"trials": 1}, "trials is 1 with algorithm pbt, whose population has at least 2"),
        ({"space": {}}, "space varies nothing, none of which may change while a trial runs; vary one of batch_size,"),
    ],
)
def test_a_population_needs_what_it_needs(change: dict[str, Any], said: str) -> None:
    assert SearchSpace.model_validate(GOOD | POPULATION).algorithm == "pbt"
    with pytest.raises(LeighError, match=said):
        SearchSpace.model_validate(GOOD).replace_fields(**POPULATION | change)


def test_every_part_of_the_architecture_is_tried() -> None:
    published = GOOD["published"] | {"architecture.groups": 8, "architecture.dropout": 0.4}
    parts = {"architecture.groups": [8, 16], "architecture.dropout": {"low": 0.2, "high": 0.6}}
    space = SearchSpace.model_validate(GOOD | {"published": published, "space": parts})
    kinds = [
        (one.published["architecture.groups"], one.published["architecture.dropout"]) for one in space.architectures()
    ]
    assert kinds == [(8, 0.4), (16, 0.4), (8, 0.2), (8, 0.6)]


@pytest.mark.parametrize("gpus", [0, 0.25, 1, 2])
def test_a_trial_shares_a_gpu_or_has_a_whole_number_of_them(gpus: float) -> None:
    assert TrialResources(gpus=gpus).gpus == gpus
    with pytest.raises(ValueError, match=r"a trial can't use 1.5 GPUs: .*; give at most 1, or 2\."):
        TrialResources(gpus=1.5)


def test_batches_are_divided_among_the_gpus_of_a_trial() -> None:
    published = {"published": GOOD["published"] | {"batch_size": 8}, "resources": {"gpus": 4}}
    assert SearchSpace.model_validate(GOOD | published | {"space": {}}).resources.gpus == 4
    for change in ({"space": {"batch_size": [2, 8]}}, {"space": {}, "resources": {"gpus": 16}}):
        with pytest.raises(ValueError, match=r"resources.gpus is \d+, and batch_size may be [28], too small"):
            SearchSpace.model_validate(GOOD | published | change)
