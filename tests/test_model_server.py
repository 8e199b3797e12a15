"""MLflow's own server answers with the numbers of the batch job, from the model alone."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.api.model import load
from leigh_mlops.models import save_package
from leigh_mlops.study.model_selection import log_package
from leigh_mlops.tracking import Store
from leigh_mlops.training import PreparedData
from tests.api.conftest import make_tiny, read_arrays
from tests.conftest import write_class_folders
from tests.deploy import services
from tests.training.conftest import prepared

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("served")
    return prepared(write_class_folders(folder / "plate", size=48), cache=folder / "cache")


@pytest.fixture(scope="module")
def server(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of the server of a registered version, and the folder of its package."""
    folder = tmp_path_factory.mktemp("server")
    package, store = make_tiny(data, "resnext"), Store.open(str(folder / "store"))
    save_package(package, folder / "package")
    with store.run("trial") as run:
        version = store.register("tiny", log_package(store, run, package, data), run, {})
    port = services.free_port()
    command = [str(services.BIN / "mlflow"), "models", "serve", "--model-uri", version.uri, "--env-manager", "local"]
    # The server finds its programs beside its own.
    path = os.pathsep.join([str(services.BIN), os.environ["PATH"]])
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri, "PATH": path}
    address = f"http://127.0.0.1:{port}"
    ready = lambda: services.answers(f"{address}/ping")  # noqa: E731
    with services.process([*command, "--port", str(port)], folder / "log", ready, env=environment, cwd=folder):
        yield address, folder / "package"


def ask(address: str, images: np.ndarray) -> pd.DataFrame:
    body = json.dumps({"inputs": images.tolist()}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return pd.DataFrame(json.load(reply)["predictions"])


def test_a_request_with_raw_fields_gets_classes_by_name(server: tuple[str, Path], data: PreparedData) -> None:
    address, folder = server
    images = read_arrays(data.table.head(3), data.channels)
    assert images.shape == (3, 3, 48, 48)
    pd.testing.assert_frame_equal(ask(address, images), load(folder).predict(images))


def test_a_request_that_does_not_fit_says_why(server: tuple[str, Path], data: PreparedData) -> None:
    images = read_arrays(data.table.head(1), data.channels)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(server[0], images / 255)
    assert refused.value.code == 400
    assert "whole numbers from 0 to 255" in refused.value.read().decode()
