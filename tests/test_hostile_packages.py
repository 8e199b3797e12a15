"""Model packages that someone made to do harm: each is refused in one sentence, and nothing of it is run."""

import errno
import json
import os
import pickle
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import (
    Baseline,
    ModelPackage,
    PCABaseline,
    build_model,
    initialise,
    load_package,
    save_package,
)
from leigh_mlops.models.tensor_files import read_tensors, write_arrays, write_tensors
from leigh_mlops.tracking import Store, Version

CLASSES = ["DS", "TT"]
# What unpickling, running a program and opening a connection say to those who listen.
EXECUTIONS = ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "socket.connect", "exec", "compile")
_listeners: list[Callable[[str, tuple[object, ...]], None]] = []
_hooked: list[bool] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    for listener in _listeners:
        listener(event, arguments)


@contextmanager
def watched() -> Iterator[list[tuple[str, object]]]:
    """Everything that is run, and every file that is opened for writing, while the body runs."""
    if not _hooked:  # an audit hook stays for ever
        sys.addaudithook(_hear)
        _hooked.append(True)
    seen: list[tuple[str, object]] = []
    here = threading.get_ident()

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if threading.get_ident() != here:
            return
        if event in EXECUTIONS or (event == "open" and set(str(arguments[1])) & set("wax+")):
            seen.append((event, arguments[0]))

    _listeners.append(listen)
    try:
        yield seen
    finally:
        _listeners.remove(listen)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    model = build_model("resnext", classes=CLASSES, image_size=32, layers=(1, 1, 1, 1), groups=1, width_per_group=4)
    scale = IntensityScale("linear", 255, (0.1,) * 3, (1.0,) * 3).to_json()
    arrays = {"training_digests": np.arange(3, dtype=np.uint64)}
    folder = tmp_path / "package"
    save_package(ModelPackage(model, ("a", "b", "c"), scale, None, arrays, {}), folder)
    with watched() as seen:
        load_package(folder)
    assert seen == []
    return folder


def refused(folder: Path, match: str) -> None:
    with watched() as seen, pytest.raises(LeighError, match=match) as caught:
        load_package(folder)
    assert seen == []
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 1000


def change(folder: Path, edit: Callable[[dict], object]) -> None:
    path = folder / "model.json"
    stored = json.loads(path.read_text())
    edit(stored)
    path.write_text(json.dumps(stored))


def raw_tensors(path: Path, header: dict, size: int = 0) -> None:
    """A safetensors file with any header, and as many bytes behind it, of which none is written."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + size)


def test_the_watch_sees_a_trap_go_off(tmp_path: Path) -> None:
    with watched() as seen:
        pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()
    assert seen[0][0] == "pickle.find_class"


@pytest.mark.parametrize("name", ["weights.safetensors", "arrays.safetensors", "model.json"])
def test_a_pickle_in_place_of_a_file_is_not_run(package: Path, tmp_path: Path, name: str) -> None:
    (package / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(package, rf"{name} can't be read")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["weights.pt", "python_model.pkl", "MLmodel", "loader.py", "conftest.py", "torch.py"])
def test_what_lies_beside_the_weights_is_not_touched(package: Path, tmp_path: Path, name: str) -> None:
    (package / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with watched() as seen:
        load_package(package)
    assert seen == []
    assert not (tmp_path / "sprung").exists()


def test_another_file_that_the_description_names_is_not_opened(package: Path, tmp_path: Path) -> None:
    trap = tmp_path / "evil.pkl"
    trap.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    names = dict.fromkeys(("weights", "arrays", "path", "file", "module", "loader_module", "data"), str(trap))
    opened: list[object] = []
    load_package(package)
    change(package, lambda stored: (stored.update(names), stored["package"].update(names)))

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(tmp_path) in str(arguments[0]):
            opened.append(Path(str(arguments[0])).name)

    _listeners.append(listen)
    try:
        load_package(package)
    finally:
        _listeners.remove(listen)
    assert "model.json" in opened
    assert "evil.pkl" not in opened
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "architecture",
    [
        {"layers": [10**6, 1, 1, 1]},
        {"width_per_group": 10**9},
        {"__class__": "os.system"},
        {"layers": {"__reduce__": "os.system"}},
        {"groups": "__import__('os').system('true')"},
    ],
)
def test_an_architecture_that_is_none_is_refused(package: Path, architecture: dict) -> None:
    change(package, lambda stored: stored["architecture"].update(architecture))
    refused(package, "give|choose")


@pytest.mark.parametrize("name", ["weights.safetensors", "arrays.safetensors"])
def test_a_file_larger_than_any_model_is_not_read(package: Path, name: str) -> None:
    tensor = {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}
    raw_tensors(package / name, {"array/training_digests": tensor}, 2**40)
    refused(package, rf"{name} .*1048576 MiB")


def test_a_description_larger_than_any_is_not_read(package: Path) -> None:
    os.truncate(package / "model.json", 2**34)
    refused(package, r"model\.json .*16384 MiB")


@pytest.mark.parametrize("name", ["weights.safetensors", "arrays.safetensors"])
@pytest.mark.parametrize("claimed", [2**27, 2**40, 2**63, 2**64 - 1])
def test_a_header_longer_than_its_file_is_refused(package: Path, name: str, claimed: int) -> None:
    (package / name).write_bytes(struct.pack("<Q", claimed) + b"{}")
    refused(package, rf"{name} can't be read")


LIES = {
    "more than there is": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]},
    "overflow": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 4]},
    "negative": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    "backwards": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
    "a hole": {"dtype": "U8", "shape": [1], "data_offsets": [3, 4]},
    "unknown type": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 4]},
}


@pytest.mark.parametrize("name", ["weights.safetensors", "arrays.safetensors"])
@pytest.mark.parametrize("lie", LIES)
def test_shapes_that_lie_are_refused(package: Path, name: str, lie: str) -> None:
    raw_tensors(package / name, {"array/training_digests": LIES[lie]}, 4)
    refused(package, rf"{name} can't be read")


def test_arrays_of_a_type_that_numpy_does_not_have_are_refused(package: Path) -> None:
    raw_tensors(package / "arrays.safetensors", {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, 4)
    refused(package, r"arrays\.safetensors can't be read")


def forest() -> dict[str, np.ndarray]:
    tree = {"left": [[1, -1, -1]], "right": [[2, -1, -1]], "feature": [[0, 0, 0]]}
    arrays: dict[str, np.ndarray] = {name: np.array(values, np.int32) for name, values in tree.items()}
    arrays |= {"threshold": np.zeros((1, 3)), "leaf": np.full((1, 3, 2), 0.5)}
    return arrays | {"seen": np.array([0, 1]), "classes_count": np.array([2])}


@pytest.mark.parametrize(
    "lies",
    [
        {"classes_count": np.array([10**12])},
        {"classes_count": np.array([-1])},
        {"classes_count": np.array([1.5])},
        {"seen": np.array([0, 7])},
        {"seen": np.array([0, -1])},
        {"seen": np.array([0])},
        {"seen": np.array([[0, 1]])},
        {"seen": np.array([0.0, 1.0])},
        {"feature": np.array([[10**6, 0, 0]], np.int32)},
        {"left": np.array([[0, -1, -1]], np.int32)},
        {"left": np.array([[1.0, -1, -1]])},
        {"right": np.array([[-1, -1, -1]], np.int32)},
    ],
    ids=str,
)
def test_a_baseline_that_lies_is_refused(lies: dict[str, np.ndarray]) -> None:
    features = np.zeros((2, 3))
    assert Baseline.from_arrays(forest()).probabilities(features).shape == (2, 2)
    with pytest.raises(LeighError, match="train the model again"):
        Baseline.from_arrays(forest() | lies).probabilities(features)


def test_a_linear_baseline_of_other_features_is_refused() -> None:
    arrays = {"mean": np.zeros(3), "std": np.ones(3), "weight": np.zeros((2, 3)), "bias": np.zeros(2)}
    arrays |= {"seen": np.array([0, 1]), "classes_count": np.array([2])}
    assert Baseline.from_arrays(arrays).probabilities(np.zeros((1, 3))).shape == (1, 2)
    with pytest.raises(LeighError, match="train the model again"):
        Baseline.from_arrays(arrays).probabilities(np.zeros((1, 27)))


def test_principal_components_of_other_images_are_refused() -> None:
    images = np.zeros((1, 1, 2, 2), np.float32)
    stored = {"mean": np.zeros(4, np.float32), "components": np.eye(4, dtype=np.float32)[:2]}
    assert PCABaseline.from_arrays(stored).mse(images).shape == (1,)
    with pytest.raises(LeighError, match="train the model again"):
        PCABaseline.from_arrays(stored).mse(np.zeros((1, 1, 3, 3), np.float32))


@pytest.mark.parametrize("scale", [{}, {"transform": "exec"}, {"mean": "x"}, {"std": [0.0]}, {"full_scale": "x"}])
def test_a_scale_that_is_none_is_refused(scale: dict) -> None:
    good = IntensityScale("linear", 255, (0.1,), (1.0,)).to_json()
    IntensityScale.from_json(good)
    with pytest.raises(LeighError, match="model package"):
        IntensityScale.from_json(good | scale if scale else {})


SCALE = IntensityScale("linear", 255, (0.1,) * 3, (1.0,) * 3).to_json()


@pytest.mark.parametrize(
    "lie",
    [
        {"mean": [float("nan")] * 3},
        {"mean": [1e39] * 3},
        {"std": [float("inf")] * 3},
        {"std": [1e-60] * 3},
        {"full_scale": float("inf")},
        {"full_scale": 0},
        {"full_scale": 10**400},
        {"mean": [], "std": []},
        {"mean": [0.1], "std": [1.0]},
        {"controls": {"mean": [float("nan")] * 3, "std": [1.0] * 3}},
    ],
    ids=str,
)
def test_a_scale_that_is_not_finite_or_of_other_channels_is_refused(package: Path, lie: dict) -> None:
    change(package, lambda stored: stored["package"].update(scale=SCALE))
    load_package(package)
    change(package, lambda stored: stored["package"].update(scale=SCALE | lie))
    refused(package, "intensity scale|control reference")


FACTS = {
    "display_limits": [[0.0, 1.0]] * 3,
    "region_thresholds": [1.0] * 3,
    "energy_limit": {"limit": -2.5, "fields": 3},
    "error_limit": {"limit": 0.5, "fields": 3, "full_colour": 2.0},
}


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("display_limits", [[0.0, float("nan")]] * 3),
        ("display_limits", [[0.0, 1.0]]),
        ("display_limits", [[1.0, 0.0]] * 3),
        ("display_limits", "abc"),
        ("display_limits", [[0, 10**400]] * 3),
        ("region_thresholds", [float("-inf")] * 3),
        ("region_thresholds", [1.0]),
        ("region_thresholds", None),
        ("energy_limit", {"limit": float("nan")}),
        ("energy_limit", {}),
        ("energy_limit", 1.0),
        ("error_limit", {"limit": 0.5, "full_colour": 0.0}),
        ("error_limit", {"limit": float("inf"), "full_colour": 2.0}),
        ("error_limit", {"limit": 0.5}),
    ],
)
def test_limits_that_are_none_are_refused(package: Path, name: str, lie: object) -> None:
    change(package, lambda stored: stored["package"].update(about=dict(FACTS)))
    load_package(package)
    change(package, lambda stored: stored["package"]["about"].update({name: lie}))
    refused(package, f"no valid {name}")


MEANS = {"true": np.zeros((2, 2048), np.float32), "true_counts": np.ones(2, np.int64), "true_spread": np.ones(2)}


@pytest.mark.parametrize(
    ("lies", "match"),
    [
        ({"mean/true": np.full((2, 2048), np.nan, np.float32)}, "true that are not finite"),
        ({"mean/true": np.zeros((3, 2048), np.float32)}, "mean true of shape"),
        ({"mean/true": np.zeros((2, 7), np.float32)}, "mean true of shape"),
        ({"mean/true_counts": np.ones(3, np.int64)}, "mean true_counts of shape"),
        ({"mean/true_spread": np.array([1.0, np.inf])}, "true_spread that are not finite"),
        ({"array/intensity/weight": np.full((2, 3), np.inf)}, "intensity/weight that are not finite"),
        ({"array/training_digests": np.zeros(3)}, "training_digests that are no digests"),
        ({"array/training_digests": np.zeros((3, 1), np.uint64)}, "training_digests that are no digests"),
    ],
)
def test_arrays_that_lie_are_refused(package: Path, lies: dict[str, np.ndarray], match: str) -> None:
    good = {f"mean/{name}": mean for name, mean in MEANS.items()}
    write_arrays(package / "arrays.safetensors", good)
    assert set(load_package(package).class_means or {}) == set(MEANS)
    write_arrays(package / "arrays.safetensors", good | lies)
    refused(package, match)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(package: Path, value: float) -> None:
    tensors = read_tensors(package / "weights.safetensors")
    write_tensors(package / "weights.safetensors", tensors)
    load_package(package)
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[-1] = value
    write_tensors(package / "weights.safetensors", tensors)
    refused(package, r"weights\.safetensors has values in .* that are not finite")
    model = build_model("resnext", classes=CLASSES, image_size=32, layers=(1, 1, 1, 1), groups=1, width_per_group=4)
    with pytest.raises(LeighError, match="that are not finite"):
        initialise(model, package)


@pytest.mark.parametrize(("name", "mib"), [("weights.safetensors", 64), ("arrays.safetensors", 1024)])
def test_a_file_larger_than_its_own_model_needs_is_not_read(package: Path, name: str, mib: int) -> None:
    load_package(package)
    os.truncate(package / name, mib * 2**20)
    refused(package, rf"{name} has {mib} MiB, more than its model requires")


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "arrays.safetensors"])
def test_a_pipe_or_device_in_place_of_a_file_is_not_waited_for(package: Path, name: str) -> None:
    (package / name).unlink()
    os.mkfifo(package / name)
    refused(package, f"{name} can't be read .it is no regular file")
    (package / name).unlink()
    (package / name).symlink_to("/dev/zero")
    refused(package, f"{name} can't be read .it is no regular file")


class HostileServer(BaseHTTPRequestHandler):
    """An MLflow server that has one version, whose artifacts lie where ``listing`` says."""

    listing: tuple[dict, ...] = ()
    source = "mlflow-artifacts:/1/models/m-1/artifacts"

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path.endswith(("/experiments/get-by-name", "/experiments/get")):
            answer = {"experiment": {"experiment_id": "1", "name": "leigh", "artifact_location": "s3://bucket/1"}}
        elif place.path.endswith("/model-versions/get-download-uri"):
            answer = {"artifact_uri": self.source}
        elif place.path.endswith("/mlflow-artifacts/artifacts"):
            inside = parse_qs(place.query).get("path", [""])[0].count("/") > 3
            answer = {"files": [] if inside else list(self.listing)}
        else:
            answer = {"model_version": {"name": "evil", "version": "1", "source": "mlflow-artifacts:/1/x"}}
        self._say(json.dumps(answer).encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def hostile() -> Iterator[Callable[..., str]]:
    servers = []

    def start(*listing: dict, source: str = HostileServer.source) -> str:
        handler = type("Handler", (HostileServer,), {"listing": listing, "source": source})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "path", ["../../escaped", "/escaped", "a/../../../escaped", "..%2f..%2fescaped", "%2e%2e/escaped"]
)
def test_an_artifact_that_leads_out_of_its_folder_is_refused(
    hostile: Callable[..., str], tmp_path: Path, path: str
) -> None:
    place = tmp_path / "deep" / "inside"
    place.mkdir(parents=True)
    good = {"path": "model.json", "is_dir": False, "file_size": 2}
    store = Store.open(hostile(good))
    store.download(Version("evil", 1, "", {}), place / "good")
    assert (place / "good" / "model.json").exists()
    store = Store.open(hostile(good, {"path": path, "is_dir": False, "file_size": 2}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LeighError, match="evil"):
        store.download(Version("evil", 1, "", {}), place / "package")
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/escaped").exists()


def test_a_version_without_a_package_or_with_two_is_refused(tmp_path: Path, package: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store/mlflow.db")
    with store.run("a") as run:
        run.log_file(package, "model/one")
        one = store.register("one", f"runs:/{run.id}/model", run, {})
        assert load_package(store.download(one, tmp_path / "fetched")).channels == ("a", "b", "c")
        run.log_file(package, "model/two")
        with pytest.raises(LeighError, match="holds no model package"):
            store.download(one, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A socket that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


# MLflow opens the first kinds with what the user's machine knows: keys, configuration, files.
SOURCES = [
    "ftp://{}/models", "s3://bucket/1/models", "s3://other/1", "sftp://{}/models", "http://{}/models", "gs://b/models",
    "mlflow-artifacts://{}/1/models", "mlflow-artifacts:/1/../../etc", "mlflow-artifacts:/1/%2e%2e/%2e%2e/etc",
    "hdfs://{}/models", "dbfs:/models", "/etc", "file:///etc", "runs:/1/model", "models:/m-evil", "wasbs://a@{}/b", "",
    "mlflow-artifacts:/1/models?x=1", "file://{}/etc", "uc:/a", "http://[",
]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_a_server_cannot_send_elsewhere_for_the_files(
    hostile: Callable[..., str], port: socket.socket, tmp_path: Path, source: str
) -> None:
    address = f"127.0.0.1:{port.getsockname()[1]}"
    store = Store.open(hostile({"path": "model.json", "is_dir": False}, source=source.format(address)))
    with pytest.raises(LeighError, match=r"version again|can't be downloaded") as caught:
        store.download(Version("evil", 1, "", {}), tmp_path / "package")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "package").exists()


@pytest.fixture
def embedded(tmp_path: Path, package: Path) -> tuple[Store, Version, Path]:
    """A store on disk with one version, and the folder of its artifacts."""
    store = Store.open(str(tmp_path / "store"))
    with store.run("a") as run:
        run.log_file(package, "model/one")
        version = store.register("one", f"runs:/{run.id}/model", run, {})
    assert load_package(store.download(version, tmp_path / "fetched")).channels == ("a", "b", "c")
    return store, version, tmp_path / "store" / "artifacts"


def test_a_store_on_disk_cannot_send_elsewhere_for_the_files(
    embedded: tuple[Store, Version, Path], tmp_path: Path
) -> None:
    store, known, artifacts = embedded
    (tmp_path / "link").symlink_to(artifacts.parent)
    for source in ("{}", "{}/store/artifacts/../../package", "{}/link", "file://{}/package"):
        made = store.client.create_model_version("one", source.format(tmp_path), run_id=known.run_id)
        with pytest.raises(LeighError, match="outside the store's own artifacts"):
            store.download(Version("one", int(made.version), "", {}), tmp_path / "again")
        assert not (tmp_path / "again").exists()


def test_a_store_on_disk_gives_regular_files_alone(embedded: tuple[Store, Version, Path], tmp_path: Path) -> None:
    store, version, artifacts = embedded
    trap = next(artifacts.rglob("model.json")).with_name("trap")
    for make in (
        lambda: os.mkfifo(trap),
        lambda: trap.symlink_to("/dev/zero"),
        lambda: trap.symlink_to("/etc"),
        lambda: trap.symlink_to("/etc/passwd"),
    ):
        make()
        with pytest.raises(LeighError, match="trap is no regular file of the store"):
            store.download(version, tmp_path / "again")
        trap.unlink()
    trap.symlink_to(trap.with_name("model.json"))
    store.download(version, tmp_path / "again")


def test_any_error_of_a_download_is_one_sentence(
    embedded: tuple[Store, Version, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, version, _ = embedded

    def fail(*_: object, **__: object) -> None:
        raise KeyError("a\nb\n" * 1000)

    monkeypatch.setattr("shutil.copytree", fail)
    with pytest.raises(LeighError, match="can't be downloaded") as caught:
        store.download(version, tmp_path / "again")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_full_disk_is_not_laid_to_the_store(
    embedded: tuple[Store, Version, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copytree", fail)
    with pytest.raises(LeighError, match=r"can't be copied, as .* is full; free space"):
        embedded[0].download(embedded[1], tmp_path / "again")


@pytest.mark.parametrize("content", ["[]", "5", '"text"', "null"])
def test_a_description_that_is_no_mapping_is_refused(package: Path, content: str) -> None:
    (package / "model.json").write_text(content)
    refused(package, r"model\.json is not a description of a model")
