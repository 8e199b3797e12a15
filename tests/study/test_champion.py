from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leigh_mlops.images import open_cache
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.plates import assign_split, find_images
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.champion import comparison_key, decide_promotion, predict_unseen_plates
from leigh_mlops.study.evaluation import predict_rows
from leigh_mlops.study.left_out_plates import LeftOut
from leigh_mlops.study.model_selection import log_package, make_package
from leigh_mlops.tracking import Store, Version
from leigh_mlops.training import PreparedData
from tests.conftest import write_class_folders

SMALL = {"blocks": (1, 1), "widths": (8, 8)}
NAME = "leigh-iresnet"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = write_class_folders(tmp_path_factory.mktemp("data") / "plate", wells=12, size=32)
    found = find_images(folder)
    table = found.table.assign(Metadata_Split=assign_split(found.table, fractions=(0.4, 0.4, 0.2)))
    return PreparedData(table, found.channels, ("DS", "TT"), open_cache(table, found.channels, 32, folder.parent))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path}/mlflow.db")


def package(data: PreparedData, bias: float = 0.0, **about: object) -> ModelPackage:
    """A network that says ``bias`` times whether the second channel is dark."""
    torch.manual_seed(0)
    model = build_model("iresnet", classes=data.classes, image_size=32, channels=3, **SMALL).eval()
    made = make_package(model, data.scale("linear"), data, fit_baselines(data), dict(about), references={})

    def judge(images: torch.Tensor) -> torch.Tensor:
        dark = -images[:, 1].mean(dim=(1, 2))
        return torch.stack([-bias * dark, bias * dark], dim=1)

    model.forward = judge
    return made


def registered(store: Store, made: ModelPackage, data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> Version:
    """Register a package, and let the registry give back exactly it."""
    with store.run("a") as run:
        uri = log_package(store, run, made, data)
        version = store.register(NAME, uri, run, {"demo": made.about["demo"]})
    store.promote(NAME, version.version)
    monkeypatch.setattr("leigh_mlops.study.champion.load_to_device", lambda folder: made)
    return version


def test_the_first_version_is_champion(store: Store, data: PreparedData) -> None:
    decision = decide_promotion(store, NAME, package(data), lambda size: data)
    assert decision.promote
    assert "first version" in decision.reason


def test_a_better_model_on_wells_that_neither_saw_takes_the_place(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak, strong = package(data, 0.1), package(data, 3.0)
    registered(store, weak, data, monkeypatch)
    better = decide_promotion(store, NAME, strong, lambda size: data)
    assert better.promote, better.reason
    assert "validation wells that neither was trained on" in better.reason
    equal = decide_promotion(store, NAME, weak, lambda size: data)
    assert not equal.promote


def test_a_worse_model_does_not(store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(store, package(data, 3.0), data, monkeypatch)
    decision = decide_promotion(store, NAME, package(data, 0.1), lambda size: data)
    assert not decision.promote
    assert decision.reason.startswith("not surely better")


def test_wells_that_the_champion_was_trained_on_decide_nothing(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak, strong = package(data, 0.1), package(data, 3.0)
    weak.arrays["training_digests"] = data.cache.digests
    registered(store, weak, data, monkeypatch)
    decision = decide_promotion(store, NAME, strong, lambda size: data)
    assert not decision.promote
    assert "no two validation wells" in decision.reason


def test_a_demo_model_never_takes_a_real_ones_place_but_gives_it_up(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo, real = package(replace(data, demo=True), 3.0), package(data, 0.1)
    registered(store, demo, data, monkeypatch)
    assert decide_promotion(store, NAME, real, lambda size: data).promote
    registered(store, real, data, monkeypatch)
    decision = decide_promotion(store, NAME, demo, lambda size: data)
    assert not decision.promote
    assert "demo" in decision.reason


@pytest.mark.parametrize(
    "change",
    [{"channels": ("A", "B", "C")}, {"scale": {"full_scale": 65535}}],
    ids=["channels", "full scale"],
)
def test_other_lines_do_not_compete(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    weak, strong = package(data, 0.1), package(data, 3.0)
    registered(store, replace(weak, **change), data, monkeypatch)
    decision = decide_promotion(store, NAME, strong, lambda size: data)
    assert not decision.promote
    assert "--name starts a line of its own" in decision.reason
    assert comparison_key(weak) == comparison_key(strong)


def test_the_package_knows_its_training_fields(data: PreparedData) -> None:
    digests = package(data).arrays["training_digests"]
    np.testing.assert_array_equal(np.sort(digests), np.sort(data.cache.digests[data.rows("train")]))


def test_versions_are_compared_on_plates_that_neither_has_seen(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    plates = ["P1" if int(well[-2:]) % 4 < 2 else "P2" for well in data.wells]
    several = replace(data, table=data.table.assign(Metadata_Plate=plates))
    strong, weak = package(several, 0.1), package(several, 3.0)
    registered(store, weak, several, monkeypatch)
    # By their own wells the champion is better, but nothing is known of plates that it has not seen.
    by_well = decide_promotion(store, NAME, strong, lambda size: several)
    assert "validation wells" in by_well.reason
    unknown = decide_promotion(store, NAME, strong, lambda size: several, "plate")
    assert not unknown.promote
    assert "no two plates" in unknown.reason
    learned = np.concatenate([several.rows("train"), several.rows("val")])
    right = np.eye(2)[several.labels[learned]]
    for made, likely in ((strong, 0.9), (weak, 0.6)):
        log_probs = np.log(np.where(right > 0, likely, 1 - likely))
        made.arrays |= LeftOut.of_rows(several, learned, log_probs).to_arrays()
    better = decide_promotion(store, NAME, strong, lambda size: several, "plate")
    assert better.promote, better.reason
    assert "2 of 2 plates" in better.reason
    # Of plates that it has never seen, a version's own predictions count.
    fresh = package(several, 3.0)
    fresh.arrays |= {name: np.zeros(0, np.uint64) for name in ("training_digests", "validation_digests")}
    rows, log_probs = predict_unseen_plates(fresh, several)
    assert set(rows) == set(learned)
    np.testing.assert_allclose(log_probs, predict_rows(fresh, several, rows).values)


def test_plates_are_compared_on_the_wells_that_both_versions_predict(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    plates = ["P1" if int(well[-2:]) % 4 < 2 else "P2" for well in data.wells]
    several = replace(data, table=data.table.assign(Metadata_Plate=plates))
    learned = np.concatenate([several.rows("train"), several.rows("val")])
    right = np.eye(2)[several.labels[learned]]
    # The champion is worse on each well, but has no predictions for those that are hard for both.
    hard = np.isin(several.wells[learned], [np.unique(several.wells[plates_rows(several, learned, plate)])[0]
                                            for plate in ("P1", "P2")])  # fmt: skip
    ours, theirs = package(several, 0.1), package(several, 3.0)
    registered(store, theirs, several, monkeypatch)
    for made, easy, chosen in ((ours, 0.8, np.ones_like(hard)), (theirs, 0.7, ~hard)):
        likely = np.where(hard, 0.01, easy)[:, None]
        log_probs = np.log(np.where(right > 0, likely, 1 - likely))[chosen]
        made.arrays |= LeftOut.of_rows(several, learned[chosen], log_probs).to_arrays()
    decision = decide_promotion(store, NAME, ours, lambda size: several, "plate")
    assert decision.promote, decision.reason
    assert f"log loss {np.log(0.7 / 0.8):+.4g}" in decision.reason


def plates_rows(data: PreparedData, rows: np.ndarray, plate: str) -> np.ndarray:
    """Those of some rows that are on a plate."""
    return rows[(data.table["Metadata_Plate"].iloc[rows] == plate).to_numpy(bool)]


def test_a_champion_that_adapts_to_plates_is_not_compared_without_their_controls(
    store: Store, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted, other = package(data, 0.1), package(data, 3.0)
    registered(store, adapted, data, monkeypatch)
    assert decide_promotion(store, NAME, other, lambda size: data).promote
    adapted.about["adaptation"] = "controls"
    decision = decide_promotion(store, NAME, other, lambda size: data)
    assert not decision.promote
    assert "has 0 fields of negative controls" in decision.reason
