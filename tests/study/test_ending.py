"""A search that is interrupted at its end writes nothing twice when it goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, initialise
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import checkpoint_package, evaluate_and_register, log_package, make_package
from leigh_mlops.study.spaces import fetch_starting_weights
from leigh_mlops.tracking import CHALLENGER, LAST_MODEL, Store
from leigh_mlops.training import initial_weight_digests
from tests.training.conftest import prepared


def test_scores_package_and_version_stand_once(class_folders: Path, tmp_path: Path) -> None:
    data = prepared(class_folders)
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=data.classes, image_size=data.image_size, channels=3)
    package = make_package(model, data.scale("linear"), data, fit_baselines(data), {}, references={})
    store = Store.open(str(tmp_path / "store"))
    run, other = store.start("trial"), store.start("other")
    uris = [log_package(store, each, package, data) for each in (run, run, other)]
    assert uris[0] == uris[1] != uris[2]
    for moment in (5.0, 5.0, 6.0, 6.0):
        winner = evaluate_and_register(store, run, package, uris[0], "line", data, lambda _: data, at=moment)
        assert winner.version.version == 1
        # The first version is champion at once, and no challenger of itself.
        assert store.client.get_registered_model("line").aliases == {"champion": 1}
        # The search is interrupted between its two aliases.
        store.set_alias(winner.version, CHALLENGER)
    # The network of the last epoch stands beside that of the best one, each with the metrics of its epoch.
    run.log_metrics({"epoch/val/mse": 0.7}, 3)
    with pytest.raises(LeighError, match=f"has no 'last', since its last epoch is its best; use runs:/{run.id}"):
        store.find_model(f"runs:/{run.id}/last")
    light = checkpoint_package(package, model)
    last = [log_package(store, run, light, data, LAST_MODEL, step=3) for _ in range(2)]
    assert last[0] == last[1] != uris[0]
    logged = store.client.get_logged_model(last[0].removeprefix("models:/"))
    assert {metric.key: (metric.value, metric.step) for metric in logged.metrics} == {"epoch/val/mse": (0.7, 3)}
    assert {each.step for each in store.client.get_run(run.id).outputs.model_outputs} == {0, 3}
    assert store.find_model(f"runs:/{run.id}").uri == store.find_model(uris[0]).uri == uris[0]
    assert store.find_model("models:/line/1").uri == "models:/line/1"
    for unknown in ("runs:/no_such_run", f"runs:/{run.id}/first"):
        with pytest.raises(LeighError, match=f"The store has no network {unknown}"):
            store.find_model(unknown)
    # Whoever goes on from it tests and validates on no field that it has seen.
    published = {"init": f"runs:/{run.id}/last", "learning_rate": 0.1}
    space = SearchSpace.model_validate({"family": "autoencoder", "metric": "val/mse", "published": published})
    starts = fetch_starting_weights(store, [space], tmp_path / "search")
    trained, chosen = initial_weight_digests(starts.values())
    np.testing.assert_array_equal(trained, np.unique(data.cache.digests[data.rows("train")]))
    np.testing.assert_array_equal(chosen, np.unique(data.cache.digests[data.rows("val")]))
    assert not initialise(model, Path(starts[published["init"]])).left
    history = store.client.get_metric_history(run.id, "test/mse")
    # Another moment would be another measurement: what makes one of two is the moment.
    assert sorted(metric.timestamp for metric in history) == [5000, 6000]


def test_a_search_that_goes_on_begins_with_the_weights_of_its_beginning(tmp_path: Path) -> None:
    class Moving:
        """A registry whose champion is another one each time."""

        def __init__(self) -> None:
            self.asked: list[str] = []

        def find_model(self, uri: str) -> object:
            self.asked.append(uri)
            return type("Version", (), {"uri": f"models:/a/{len(self.asked)}" if "@" in uri else uri})

        def download(self, version: object, folder: Path) -> Path:
            folder.mkdir(exist_ok=True)
            return folder

    published = {"learning_rate": 0.1, "init": "models:/a@champion"}
    space = SearchSpace.model_validate({"family": "resnext", "metric": "val/log_loss", "published": published})
    registry = Moving()
    for _ in range(2):
        assert list(fetch_starting_weights(registry, [space], tmp_path)) == ["models:/a@champion"]  # type: ignore[arg-type]
    assert registry.asked == ["models:/a@champion", "models:/a/1"]
