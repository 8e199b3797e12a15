from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import EpochResult, PreparedData, TrainingState, run_trial, save_checkpoint
from leigh_mlops.training.cluster_epoch import cluster_fields
from tests.models.compact import COMPACT, compact

SETTINGS = TrainingSettings(
    optimizer="sgd",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=1e-5,
    batch_size=8,
    epochs=4,
    lr_schedule="constant",
    architecture=dict(COMPACT["deepcluster"]),
)
METRIC = "val/replicates/score"


def trial(data: PreparedData, checkpoint: Path | None = None, **changes: object) -> list[EpochResult]:
    settings = SETTINGS.model_copy(update=changes)
    return list(run_trial("deepcluster", settings, data, metric=METRIC, mode="max", seed=5, checkpoint=checkpoint))


def numbers(epoch: EpochResult) -> dict[str, float]:
    return {name: value for name, value in epoch.metrics.items() if "seconds" not in name}


def test_a_trial_needs_no_label_and_tracks_its_clusters(data: PreparedData) -> None:
    unknown = replace(
        data, table=data.table.assign(Metadata_Condition=data.table["Metadata_Condition"].iloc[::-1].values)
    )
    first, other = trial(data, epochs=2), trial(unknown, epochs=2)
    assert "train/clusters/nmi_before" not in first[0].metrics
    assert 0 <= first[1].metrics["train/clusters/nmi_before"] <= 1
    assert first[0].metrics["train/clusters/smallest"] >= 1
    assert {"val/nmi/class", "val/ari/well", "val/replicates/map", "val/uncertainty"} <= first[0].metrics.keys()
    known = {name for name in first[0].metrics if name.endswith("/class")}
    for one, two in zip(first, other, strict=True):
        assert {k: v for k, v in numbers(one).items() if k not in known} == {
            k: v for k, v in numbers(two).items() if k not in known
        }


def test_a_trial_killed_between_and_within_epochs_has_the_same_clusters(data: PreparedData, tmp_path: Path) -> None:
    whole = trial(data)
    epochs = run_trial("deepcluster", SETTINGS, data, metric=METRIC, mode="max", seed=5)
    for epoch in islice(epochs, 2):
        save_checkpoint(epoch.state, tmp_path / "c")
    clusters = epoch.state.carried["clusters"].clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leigh_mlops.training.epoch.train_batch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            next(epochs)
    assert not torch.equal(epoch.state.carried["clusters"], clusters)
    rest = trial(data, tmp_path / "c")
    assert [each.number for each in rest] == [3, 4]
    for one, two in zip(whole[2:], rest, strict=True):
        assert numbers(one) == pytest.approx(numbers(two), rel=1e-5, abs=1e-6)
    assert torch.equal(whole[-1].state.carried["clusters"], rest[-1].state.carried["clusters"])


def test_an_epoch_begins_with_a_fresh_head_and_shows_clusters_equally_often(data: PreparedData) -> None:
    model = compact("deepcluster")
    state = TrainingState.start(model, optimizer="sgd", learning_rate=0.05, weight_decay=0, seed=1, momentum=0.9)
    train = data.batches("train", data.scale("linear"), 8)
    model.eval()
    trunk = model.encode(next(iter(train)).images).detach()
    head = model.head.weight.clone()
    done = cluster_fields(state, train)
    assert torch.equal(model.encode(next(iter(train)).images).detach(), trunk)
    assert not torch.equal(model.head.weight, head)
    seen = np.concatenate([batch.labels.numpy() for batch in done.batches.epoch(0)])
    assert np.ptp(np.bincount(seen, minlength=4)) <= 1
    reduction, centres = model.clustering()
    features = torch.cat([model.encode(batch.images) for batch in train]).detach().numpy()
    np.testing.assert_array_equal(centres.assign(reduction.apply(features)), done.batches.labels)


def test_more_clusters_than_images_are_refused(data: PreparedData) -> None:
    with pytest.raises(LeighError, match=r"clusters is 1000, and there are \d+ training images; set architecture"):
        trial(data, architecture=COMPACT["deepcluster"] | {"clusters": 1000})


def test_features_that_are_constant_are_refused(data: PreparedData) -> None:
    model = compact("deepcluster")
    torch.nn.init.zeros_(model.features.second_linear[1].weight)
    state = TrainingState.start(model, optimizer="sgd", learning_rate=0.05, weight_decay=0, seed=1)
    with pytest.raises(LeighError, match=r"features of the \d+ images are constant"):
        cluster_fields(state, data.batches("train", data.scale("linear"), 8))


def test_wells_of_one_field_are_refused(data: PreparedData) -> None:
    sites = data.table.groupby(["Metadata_Plate", "Metadata_Well"]).cumcount()
    single = data.table.assign(
        Metadata_Split=data.table["Metadata_Split"].where((sites == 0) | (data.table["Metadata_Split"] != "val"))
    )
    with pytest.raises(LeighError, match=r"None of the \d+ wells has two fields"):
        trial(replace(data, table=single), epochs=1)
