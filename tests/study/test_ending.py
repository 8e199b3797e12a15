"""A search that is interrupted at its end writes nothing twice when it goes on."""

from pathlib import Path

import torch

from leigh_mlops.models import build_model
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import evaluate_and_register, log_package, make_package
from leigh_mlops.study.spaces import fetch_starting_weights
from leigh_mlops.tracking import Store
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
    for moment in (5.0, 5.0, 6.0):
        winner = evaluate_and_register(store, run, package, uris[0], "line", data, lambda _: data, at=moment)
        assert winner.version.version == 1
        # The first version is champion at once, and no challenger of itself.
        assert store.client.get_registered_model("line").aliases == {"champion": 1}
    history = store.client.get_metric_history(run.id, "test/mse")
    # Another moment would be another measurement: what makes one of two is the moment.
    assert sorted(metric.timestamp for metric in history) == [5000, 6000]


def test_a_search_that_goes_on_begins_with_the_weights_of_its_beginning(tmp_path: Path) -> None:
    class Moving:
        """A registry whose champion is another one each time."""

        def __init__(self) -> None:
            self.asked: list[str] = []

        def version(self, uri: str) -> object:
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
