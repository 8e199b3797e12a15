import json
import os
import pickle
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, initialise, load_model, save_model
from leigh_mlops.models.published_weights import adapt_stem
from leigh_mlops.models.tensor_files import write_tensors
from tests.models.compact import CLASSES, COMPACT, compact, images, trained


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "model"
    save_model(trained("autoencoder"), folder)
    return folder


def describe(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_holds_two_files_and_nothing_temporary(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "weights.safetensors"]


def test_the_trap_goes_off_when_unpickled(tmp_path):
    sprung = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(str(sprung))))
    assert sprung.exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.pkl", "model.pkl"])
def test_a_pickle_beside_the_weights_is_ignored(saved, tmp_path, name):
    sprung = tmp_path / "sprung"
    (saved / name).write_bytes(pickle.dumps(Trap(str(sprung))))
    load_model(saved)
    assert not sprung.exists()


def test_a_pickle_in_place_of_the_weights_is_not_run(saved, tmp_path):
    sprung = tmp_path / "sprung"
    (saved / "weights.safetensors").write_bytes(pickle.dumps(Trap(str(sprung))))
    with pytest.raises(LeighError, match="can't be read"):
        load_model(saved)
    assert not sprung.exists()


def test_a_file_name_in_the_description_is_not_followed(saved, tmp_path):
    sprung = tmp_path / "sprung"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Trap(str(sprung))))
    describe(saved, weights=str(tmp_path / "evil.pkl"))
    load_model(saved)
    assert not sprung.exists()


def test_truncated_weights_are_refused(saved):
    path = saved / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LeighError, match="can't be read"):
        load_model(saved)


def test_a_missing_file_is_named(saved):
    (saved / "weights.safetensors").unlink()
    with pytest.raises(LeighError, match=r"weights\.safetensors can't be read \(there is no such file\)"):
        load_model(saved)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\xff"])
def test_a_damaged_description_is_refused(saved, text):
    (saved / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(LeighError, match="save the model again"):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"architecture": {"widths": [4, 9]}}, "does not belong to its model.json"),
        ({"family": "iresnet", "architecture": {}}, "does not belong"),
        ({"family": "os.system"}, "not a family"),
        ({"architecture": {"evil": 1}}, "'evil' is not an architecture parameter"),
        ({"architecture": {"widths": 4}}, "widths is 4"),
        ({"classes": [1]}, "but class names are strings"),
        ({"classes": "WT"}, "no valid classes"),
        ({"channels": 1.5}, "no valid channels"),
        ({"channels": 10**9}, "channels is 1000000000"),
        ({"image_size": 32 * 10**9}, "image_size is"),
    ],
)
def test_a_description_that_lies_is_refused(saved, changes, text):
    load_model(saved)
    describe(saved, **changes)
    with pytest.raises(LeighError, match=text):
        load_model(saved)


def test_a_description_of_a_giant_takes_no_memory(saved):
    describe(saved, family="iresnet", channels=1024, image_size=16384, architecture={"padded_channels": 1024})
    with pytest.raises(LeighError, match="does not belong"):
        load_model(saved)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(saved):
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    (saved / "weights.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(LeighError, match="can't be read"):
        load_model(saved)


def test_a_missing_and_a_foreign_tensor_are_named(saved):
    path = saved / "weights.safetensors"
    tensors = load_file(path)
    name, tensor = tensors.popitem()
    save_file(tensors, path)
    with pytest.raises(LeighError, match=f"{name} is missing"):
        load_model(saved)
    save_file(tensors | {name: tensor, "zz": tensor.clone()}, path)
    with pytest.raises(LeighError, match=r"zz is a tensor of shape .* requires no such tensor"):
        load_model(saved)


def test_tensors_that_share_memory_are_written(tmp_path):
    whole = torch.arange(6.0).view(2, 3)
    write_tensors(tmp_path / "a", {"whole": whole, "turned": whole.T})
    assert torch.equal(load_file(tmp_path / "a")["turned"], whole.T)


def test_initialise_copies_all_but_the_head_for_other_classes(tmp_path):
    source, x = trained("iresnet"), images(2)
    save_model(source, tmp_path)
    other = build_model("iresnet", classes=("A", "B", "C"), image_size=32, **COMPACT["iresnet"]).eval()
    head = other.head[-1].weight.clone()
    assert not torch.equal(other.encode(x), source.encode(x))
    done = initialise(other, tmp_path)
    assert torch.allclose(other.encode(x), source.encode(x), rtol=1e-3, atol=1e-3)
    assert torch.equal(other.head[-1].weight, head)
    assert done.left
    assert all(name.startswith("head.") for name in done.left)
    assert set(done.copied) | set(done.left) == set(other.state_dict())


def test_initialise_copies_the_head_for_the_same_classes(tmp_path):
    source = trained("resnext")
    save_model(source, tmp_path)
    other = compact("resnext", seed=3).eval()
    assert initialise(other, tmp_path).left == ()
    assert torch.equal(other(images(2)), source(images(2)))


def test_initialise_knows_torchvision_names(tmp_path):
    source = trained("resnext")
    save_file(source.features.state_dict(), tmp_path / "torchvision.safetensors")
    other = compact("resnext", seed=3, channels=2).eval()
    done = initialise(other, tmp_path / "torchvision.safetensors")
    assert [name for name in done.left if not name.startswith("head.")] == []
    assert torch.equal(other.features.conv1.weight, adapt_stem(source.features.conv1.weight, 2))


def test_initialise_from_another_image_size_takes_norms_anew(tmp_path):
    save_model(trained("iresnet"), tmp_path)
    larger = build_model("iresnet", classes=CLASSES, image_size=64, **COMPACT["iresnet"]).eval()
    initialise(larger, tmp_path)
    kept = [part.branch[0].sigma.item() for part in larger.trunk if hasattr(part, "branch")]
    larger.eval()
    taken = [part.branch[0].sigma.item() for part in larger.trunk if hasattr(part, "branch")]
    assert all(new != old for new, old in zip(taken, kept, strict=True))


def test_initialise_refuses_what_does_not_fit(saved, tmp_path):
    with pytest.raises(LeighError, match="no weights that fit a resnext of 32 pixels and 3 channels"):
        initialise(compact("resnext"), saved)
    with pytest.raises(LeighError, match="there is no such file"):
        initialise(compact("resnext"), tmp_path / "nowhere.safetensors")
