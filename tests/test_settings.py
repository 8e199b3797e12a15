from pathlib import Path

import pytest
import yaml

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import SearchSpace, TrainingSettings, load_space

TUNING = Path(__file__).parent.parent / "tuning"
GOOD = {
    "family": "resnext",
    "metric": "val/log_loss",
    "published": {"learning_rate": 0.001, "batch_size": 15},
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": [8, 15]},
    "presets": {"quick": {"trials": 1, "epochs": 2, "fix": {"architecture.groups": 8}}},
}


def written(tmp_path: Path, values: object) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("path", sorted(TUNING.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_own_searches_are_valid(path: Path) -> None:
    assert load_space(path).family == path.stem


def test_the_published_configurations() -> None:
    spaces = {path.stem: load_space(path) for path in TUNING.glob("*.yaml")}
    published = {name: TrainingSettings.from_flat(space.published) for name, space in spaces.items()}
    resnext, autoencoder, iresnet = (published[name] for name in ("resnext", "autoencoder", "iresnet"))
    assert (resnext.optimizer, resnext.learning_rate, resnext.batch_size, resnext.epochs) == ("adam", 0.001, 15, 10)
    assert (resnext.lr_step_epochs, resnext.lr_step_factor) == (5, 0.1)
    assert (autoencoder.weight_decay, autoencoder.batch_size, autoencoder.epochs) == (1e-5, 20, 1000)
    assert (iresnet.optimizer, iresnet.learning_rate, iresnet.batch_size, iresnet.epochs) == ("adamax", 0.005, 20, 40)
    assert iresnet.architecture == {
        "padded_channels": 8, "head": "published", "log_det": "none", "lipschitz": 0.8, "power_iterations": 1,
    }  # fmt: skip
    assert all((s.flip, s.rotation_degrees, s.intensity) == (0.5, 10, "linear") for s in published.values())
    assert {name: space.metric for name, space in spaces.items()} == {
        "resnext": "val/log_loss", "iresnet": "val/log_loss", "autoencoder": "val/mse",
    }  # fmt: skip


def test_a_good_search_file_is_read(tmp_path: Path) -> None:
    assert load_space(written(tmp_path, GOOD)).space["batch_size"] == [8, 15]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trails": 3}, "'trails' is unknown; did you mean 'trials'"),
        ({"published": GOOD["published"] | {"learnig_rate": 1}}, "'learnig_rate' is no hyperparameter; did you mean"),
        ({"space": {"batch_sizes": [8]}}, "'batch_sizes' is no hyperparameter; did you mean 'batch_size'"),
        ({"space": {"batch_size": [8, 16]}}, "published batch_size = 15 lies outside its space"),
        ({"space": {"jitter": [0.0, 0.1]}}, "has no published value"),
        ({"space": {"learning_rate": {"low": 1, "high": 0.1}}}, "low must be below high"),
        ({"metric": "test/accuracy"}, "metric"),
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


@pytest.mark.parametrize("text", ["- a\n- b\n", "family: [", ""])
def test_what_is_no_search_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LeighError, match=r"search\.yaml"):
        load_space(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match=r"none\.yaml: the search file can't be read"):
        load_space(tmp_path / "none.yaml")


def test_a_preset_fixes_what_it_names_and_leaves_the_rest() -> None:
    space = SearchSpace.model_validate(GOOD)
    quick = space.with_preset("quick")
    assert (quick.trials, quick.published["epochs"], quick.published["architecture.groups"]) == (1, 2, 8)
    assert quick.space.keys() == space.space.keys()
    assert space.with_preset("thorough") == space
    assert set(space.fixed({"batch_size": 8}).space) == {"learning_rate"}


def test_flat_hyperparameters_come_back() -> None:
    flat = {"learning_rate": 0.01, "architecture.groups": 8}
    settings = TrainingSettings.from_flat(flat)
    assert settings.architecture == {"groups": 8}
    assert settings.to_flat() | flat == settings.to_flat()


DENSITY = "padded_channels=null, head=gaussian, log_det=roulette"
PADDED = "padded_channels=8, head=published, log_det=none"
JOINT = GOOD | {
    "published": GOOD["published"] | {"architecture": PADDED, "precision": "fp32"},
    "space": {"architecture": [PADDED, DENSITY]},
}


def test_a_part_is_set_once() -> None:
    flat = {"architecture": f"{DENSITY}, lipschitz=0.5"}
    assert TrainingSettings.from_flat(flat).architecture["lipschitz"] == 0.5
    with pytest.raises(LeighError, match=r"architecture\.lipschitz is 0\.8, and architecture says lipschitz=0\.5"):
        TrainingSettings.from_flat(flat | {"architecture.lipschitz": 0.8})


def test_parts_that_are_chosen_together_come_apart() -> None:
    settings = TrainingSettings.from_flat({"architecture": DENSITY, "architecture.lipschitz": 0.9})
    assert settings.architecture == {
        "padded_channels": None, "head": "gaussian", "log_det": "roulette", "lipschitz": 0.9,
    }  # fmt: skip


def test_fixing_one_of_the_parts_that_are_chosen_together_fixes_all() -> None:
    space = SearchSpace.model_validate(JOINT)
    assert space.fixed({"batch_size": 8}).space.keys() == {"architecture"}
    bijective = space.fixed({"architecture.padded_channels": None})
    assert bijective.space == {}
    assert "architecture" not in bijective.published
    architecture = TrainingSettings.from_flat(bijective.published).architecture
    assert architecture == {"padded_channels": None, "head": "published", "log_det": "none"}
    kinds = [TrainingSettings.from_flat(one.published).architecture["head"] for one in space.architectures()]
    assert kinds == ["published", "gaussian"]
    assert len(SearchSpace.model_validate(GOOD).architectures()) == 1
    chosen = space.fixed({"architecture": DENSITY})
    assert TrainingSettings.from_flat(chosen.published).architecture["log_det"] == "roulette"


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"architecture": [PADDED, "padded_channels=8, head=gaussian, log_det=series"]}, "have no density; set arch"),
        ({"architecture": [PADDED, "padded_channels=null, log_det=series"]}, "only a class-conditional prior"),
        ({"architecture": [PADDED, DENSITY], "precision": ["fp32", "bf16"]}, "precision is bf16 with .*set precision"),
        ({"architecture": [PADDED, "gaussian"]}, "'gaussian' sets nothing; write it as"),
        ({"architecture": [PADDED, "head=[gaussian"]}, "sets nothing"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, space: dict[str, object], said: str
) -> None:
    load_space(written(tmp_path, JOINT))
    with pytest.raises(LeighError, match=said):
        load_space(written(tmp_path, JOINT | {"space": space}))


def test_choices_that_cannot_be_combined_are_refused(tmp_path: Path) -> None:
    published = GOOD["published"] | {"architecture.padded_channels": None, "architecture.head": "gaussian"}
    apart = {"architecture.log_det": ["none", "roulette"], "architecture.padded_channels": [None, 8]}
    values = GOOD | {"published": published | {"architecture.log_det": "none"}}
    for key, domain in apart.items():
        load_space(written(tmp_path, values | {"space": {key: domain}}))
    with pytest.raises(LeighError, match=r"set architecture\.padded_channels to null, or log_det to none"):
        load_space(written(tmp_path, values | {"space": apart}))
