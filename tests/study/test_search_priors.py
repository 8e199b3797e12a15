import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.search_priors import clip_to_space, find_first_configs, rank_earlier_trials
from leigh_mlops.tracking import Store

PLATE = {"classes": ["DS", "WT"], "channels": ["DAPI", "TMRM"]}
DATA = PLATE | {"demo": False, "data_fingerprint": "images", "split_fingerprint": "split"}
PUBLISHED = {"learning_rate": 0.001, "batch_size": 16, "lr_schedule": "step", "warmup_epochs": 0, "precision": "fp32"}


def space(**changes: Any) -> SearchSpace:
    values = {
        "family": "resnext",
        "metric": "val/log_loss",
        "trials": 8,
        "published": PUBLISHED,
        "space": {
            "warmup_epochs": {"values": [0, 1], "when": {"lr_schedule": "cosine"}},
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "batch_size": [8, 16],
            "lr_schedule": ["step", "cosine"],
            "precision": ["bf16"],
        },
    }
    return SearchSpace.model_validate(values | changes)


def test_earlier_settings_are_clipped_to_the_new_space() -> None:
    texts = {"learning_rate": "0.5", "batch_size": "64", "lr_schedule": "cosine", "warmup_epochs": "1"}
    found = clip_to_space(space(), texts | {"precision": "fp32", "weight_decay": "0.1"})
    assert found == {
        "learning_rate": 0.01, "batch_size": 16, "lr_schedule": "cosine", "warmup_epochs": 1, "precision": "bf16",
    }  # fmt: skip
    assert clip_to_space(space(), {}) == PUBLISHED | {"precision": "bf16"}
    strange = {"learning_rate": "NaN", "batch_size": "many", "lr_schedule": "constant", "warmup_epochs": "1"}
    assert clip_to_space(space(), strange) == PUBLISHED | {"precision": "bf16"}
    whole = space(space={"batch_size": {"low": 4, "high": 32, "integer": True}})
    assert clip_to_space(whole, {"batch_size": "7.6"})["batch_size"] == 8


def earlier(search: str, *scores: float, first: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A search whose first trial has published settings, and whose others differ by their learning rates."""
    records = [
        {
            "name": f"resnext-{number}",
            "status": "FINISHED",
            "tags": {"model": "resnext", "data": f"plate-{search}"},
            "params": {"learning_rate": f"{score / 1000}", "batch_size": "8"},
            "metrics": {"epoch/val/log_loss": 9.0, "val/log_loss": score, "test/log_loss": 1 / score},
        }
        | (changes if number > 1 else {"params": {"learning_rate": "0.001", "batch_size": "16"}})
        for number, score in enumerate([first, *scores], start=1)
    ]
    return {"id": search, "tags": {}, "trials": records}


def test_the_best_of_each_search_comes_first_by_validation_alone() -> None:
    searches = [earlier("new", 0.9, 0.5), earlier("old", 0.3, 0.2, 0.4)]
    chosen = rank_earlier_trials(space(), searches)
    assert [(each.search, each.score) for each in chosen] == [("new", 0.5), ("old", 0.2), ("new", 0.9)]
    assert [each.config["learning_rate"] for each in chosen] == [0.0005, 0.0002, 0.0009]
    others = [earlier("new", 0.9, 0.5, first=0.1), earlier("old", 0.3, 0.2, 0.4, first=0.1)]
    assert [each.score for each in rank_earlier_trials(space(mode="max"), others)] == [0.9, 0.4, 0.5]
    assert len(rank_earlier_trials(space(trials=2), searches)) == 1
    assert rank_earlier_trials(space(trials=1), searches) == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": "FAILED"},
        {"tags": {"model": "iresnet"}},
        {"metrics": {"test/log_loss": 0.1}},
        {"metrics": {"epoch/val/log_loss": 0.5, "val/log_loss": 0.5, "population/learning_rate": 0.1}},
        {"params": {"learning_rate": "0.001", "batch_size": "16"}},  # the published ones but for the precision
    ],
)
def test_trials_that_say_nothing_are_left_out(change: dict[str, Any]) -> None:
    assert len(rank_earlier_trials(space(), [earlier("a", 0.5)])) == 1
    assert rank_earlier_trials(space(), [earlier("a", 0.5, **change)]) == []
    assert len(rank_earlier_trials(space(), [earlier("a", 0.5), earlier("b", 0.5)])) == 1


def test_settings_count_that_were_better_than_the_published_ones_of_their_search() -> None:
    assert [each.score for each in rank_earlier_trials(space(), [earlier("a", 0.5, 0.3, 0.4, first=0.4)])] == [0.3]
    failed = earlier("a", 0.5, 0.3, 0.4)
    failed["trials"][0]["status"] = "FAILED"
    assert rank_earlier_trials(space(), [failed]) == []


def store_search(store: Store, images: dict[str, list[str]], score: float, **facts: Any) -> str:
    parent = store.start("search", kind="search", **{"demo": False} | facts)
    parent.log_params(images)
    for name, rate, found in (("resnext-1", 0.001, 2.0), ("resnext-2", 0.002, score)):
        trial = store.start(name, parent=parent, model="resnext", data="plate")
        trial.log_params({"learning_rate": rate, "batch_size": 8, "lr_schedule": "step"})
        trial.log_metrics({"val/log_loss": found, "epoch/val/log_loss": found})
        trial.end()
    return parent.id


def test_searches_on_similar_images_are_found_in_the_store_and_named(tmp_path: Path) -> None:
    store, printed = Store.open(str(tmp_path / "store")), io.StringIO()
    console = Console(file=printed, width=1000)
    others = [store_search(store, PLATE | {"classes": ["DS", "TT"]}, 0.1), store_search(store, {}, 0.1)]
    store_search(store, PLATE, 0.1, demo=True)
    for which in ("all", others[0]):
        with pytest.raises(LeighError, match=rf"--prior {which}: .* holds no .*classes DS, WT and the channels DAPI"):
            find_first_configs(store, which, [space()], DATA, console)
    similar = store_search(store, PLATE, 0.31)
    config = PUBLISHED | {"learning_rate": 0.002, "batch_size": 8, "precision": "bf16"}
    assert find_first_configs(store, "all", [space()], DATA, console) == {"resnext": [config]}
    assert printed.getvalue() == (
        f"resnext begins with the settings of 1 earlier trial: resnext-2 of {similar} on plate (val/log_loss 0.31).\n"
    )
    both = [space(), space(family="iresnet")]
    assert find_first_configs(store, similar, both, DATA, console) == {"resnext": [config]}
    assert "iresnet begins without earlier settings" in printed.getvalue()


def test_settings_that_were_chosen_on_wells_that_are_tested_now_are_left_out(tmp_path: Path) -> None:
    store, printed = Store.open(str(tmp_path / "store")), io.StringIO()
    console = Console(file=printed, width=1000)
    store_search(store, PLATE, 0.3, data_fingerprint="images", split_fingerprint="other split")
    with pytest.raises(LeighError, match="--prior all"):
        find_first_configs(store, "all", [space()], DATA, console)
    assert printed.getvalue().startswith("1 of 1 earlier searches left out: the same images were split otherwise,")
    store_search(store, PLATE, 0.3, data_fingerprint="images", split_fingerprint="split")
    assert len(find_first_configs(store, "all", [space()], DATA, console)["resnext"]) == 1
