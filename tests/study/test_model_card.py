"""What a registered version says of itself, as Markdown."""

from dataclasses import replace
from pathlib import Path

import pytest

from leigh_mlops.study.model_card import ModelCard, count_parts, read_card
from leigh_mlops.study.model_selection import evaluate_and_register, log_package
from leigh_mlops.tracking import Store
from leigh_mlops.training import PreparedData
from tests.api.conftest import make_tiny
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("card")
    return prepared(write_class_folders(folder / "plate"), cache=folder / "cache")


@pytest.fixture(scope="module")
def card(data: PreparedData) -> ModelCard:
    package = make_tiny(data, "resnext")
    package.about |= {"data": "plate", "val": {"val/wells/accuracy": 0.75}}
    return read_card(package, "models:/leigh-resnext/3")


def test_it_says_what_the_model_is_how_it_is_used_and_how_to_cite_it(card: ModelCard) -> None:
    text = card.to_markdown()
    for line in (
        "| family | resnext |",
        "| classes | DS, TT |",
        "| channels | DAPI, TMRM, DAPI+TMRM |",
        "| data | plate |",
        "| this model | 0.750 |",
        "mlflow models serve --model-uri models:/leigh-resnext/3",
    ):
        assert line in text.splitlines()
    assert "title={Aggregated Residual Transformations" in text
    assert f"data {card.package.about['data_fingerprint']}" in text
    assert "adjustment" not in text
    assert "Warning" not in text


def test_it_counts_the_wells_of_each_part(card: ModelCard, data: PreparedData) -> None:
    counts = count_parts(data)
    assert sum(sum(part["wells"].values()) for part in counts.values()) == 12
    assert sum(part["fields"] for part in counts.values()) == 24
    wells = counts["train"]["wells"]
    assert f"{sum(wells.values())} wells (DS {wells['DS']}, TT {wells['TT']}) of 1 plate" in card.facts()["trained on"]
    foreign = {"train": {"wells": {"DS": "many"}}, "val": 3, "test": {"wells": {"A": 1}, "fields": None}}
    package = replace(card.package, about=card.package.about | {"parts": foreign, "data": ["plate"]})
    facts = replace(card, package=package).facts()
    assert "data" not in facts
    assert facts["tested on"] == "1 well (A 1) of 0 plates, 0 fields"


def test_names_become_text(card: ModelCard) -> None:
    evil = "[x](javascript:1)|<b>\n\n# big `code`"
    assert "javascript" not in card.to_markdown()
    package = replace(card.package, channels=(evil, "b", "c"), about=card.package.about | {"data_fingerprint": evil})
    text = replace(card, package=package, warnings=[evil]).to_markdown()
    assert r"\[x\](javascript:1)\|&lt;b&gt; \# big \`code\`" in text
    assert evil not in text
    assert "<b>" not in text
    assert not [line for line in text.splitlines() if line.startswith("# big")]


def test_a_model_scaled_by_controls_says_how_the_level_comes_with_a_request(card: ModelCard) -> None:
    package = replace(card.package, scale=card.package.scale | {"controls": {"mean": [1], "std": [1]}})
    assert '"params": {"controls": [0, 1, …]}' in replace(card, package=package).to_markdown()


def test_a_registered_version_has_its_card_with_scores_beside_the_references(
    card: ModelCard, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leigh_mlops.study.model_selection.score_figures", lambda *_: {})
    package, store = card.package, Store.open(str(tmp_path / "store"))
    with store.run("search") as search, store.run("trial", parent=search) as run:
        search.log_metrics({"data/position_auc": 0.97})
        uri = log_package(store, run, package, data)
        version = evaluate_and_register(store, run, package, uri, "line", data, lambda _: data, at=5.0).version
    text = store.client.get_model_version("line", str(version.version)).description
    first, *lines = text.splitlines()
    assert first.startswith("**Warning:** The position on the plate")
    assert "### Scores on test wells, scored once" in lines
    accuracy = run.metrics()["test/wells/accuracy"], run.metrics()["test/baseline/wells/accuracy"]
    for name, value in zip(("this model", "a threshold on intensity"), accuracy, strict=True):
        assert [line for line in lines if line.startswith(f"| {name} | {value:.3f} ")]
    assert [line for line in lines if line.startswith("| the position on the plate | ")]
    assert len(text) < 5000
    store.describe(version, "é" * 6000)
    assert len(store.client.get_model_version("line", str(version.version)).description) == 5000
