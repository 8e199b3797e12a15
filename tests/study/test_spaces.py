"""Checks of searches, and their starting weights."""

import io
from typing import Any

import pytest
import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.models import MODELS, precision
from leigh_mlops.settings import SearchSpace, find_search_files, load_space
from leigh_mlops.study import spaces
from leigh_mlops.study.spaces import check_spaces, choose_precisions, resolve_start


def search(init: str, **published: Any) -> SearchSpace:
    values = {"family": "resnext", "metric": "val/log_loss", "published": {"init": init} | published}
    return SearchSpace.model_validate(values)


def resolved(space: SearchSpace) -> tuple[str, str]:
    printed = io.StringIO()
    found = resolve_start(space, Console(file=printed, width=1000))
    return found.published["init"], printed.getvalue()


def test_the_published_start_is_imagenet_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "fetch_imagenet_weights", lambda model: {})
    assert resolved(search("imagenet-if-available")) == ("imagenet", "")
    assert resolved(search("random")) == ("random", "")


def test_a_start_at_random_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: object) -> None:
        raise LeighError("The ImageNet weights could not be fetched; connect to the internet once.")

    monkeypatch.setattr(spaces, "fetch_imagenet_weights", refuse)
    init, said = resolved(search("imagenet-if-available"))
    assert init == "random"
    assert said.count("\n") == 1
    assert "resnext starts at random" in said
    assert "connect to the internet once" in said
    # Who asks for ImageNet itself gets an error, not another start.
    assert resolved(search("imagenet")) == ("imagenet", "")


def test_a_compact_network_starts_at_random() -> None:
    init, said = resolved(search("imagenet-if-available", **{"architecture.groups": 8}))
    assert init == "random"
    assert "ImageNet weights exist for a resnext of layers" in said


def test_a_search_cannot_vary_what_is_decided_before_it() -> None:
    with pytest.raises(LeighError, match=r"space.init lists imagenet-if-available.*list imagenet"):
        search("imagenet-if-available").replace_fields(space={"init": ["random", "imagenet-if-available"]})


def space(published: object, *choices: object) -> SearchSpace:
    domain = {"augment": [published, *choices]} if choices else {}
    values = {"learning_rate": 0.001, "augment": published}
    return SearchSpace.model_validate(
        {"family": "autoencoder", "metric": "val/mse", "image_size": 32, "published": values, "space": domain}
    )


def test_every_augmentation_of_a_search_is_tried_before_it_begins() -> None:
    check_spaces([space(None)])
    check_spaces([space("published", "morphology", "microscope")])
    bad = [{"__class_fullname__": "Posterize"}]
    for refused in (space(bad), space("published", bad)):
        with pytest.raises(LeighError, match="Posterize can't be used on fields"):
            check_spaces([refused])


def test_an_augmentation_is_tried_on_the_channels_of_the_plate() -> None:
    grey = space([{"__class_fullname__": "ToGray", "p": 1.0}])
    with pytest.raises(LeighError, match="mixes or exchanges the stains"):
        check_spaces([grey], channels=3)
    with pytest.raises(LeighError, match="fails on 2 channels"):
        check_spaces([grey], channels=2)


def precisions(family: str, *, on_cluster: bool = False) -> tuple[object, object, str]:
    """Published and varied precision of the package's search of a family, and what is printed."""
    printed = io.StringIO()
    [given] = [one for one in map(load_space, find_search_files(requested=True)) if one.family == family]
    [found] = choose_precisions([given], Console(file=printed, width=1000), on_cluster=on_cluster)
    varied = found.space.get("precision")
    return found.published["precision"], varied and varied.model_dump(), printed.getvalue()


def test_a_search_of_this_machine_has_one_precision_beside_the_published_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS["resnext"], "trains_in_bf16", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "has_bf16_units", lambda device_type: False)
    assert precisions("resnext") == (
        "fp32",
        None,
        "Precision of training: fp32 for resnext; trials with published settings keep theirs.\n",
    )
    monkeypatch.setattr(precision, "has_bf16_units", lambda device_type: True)
    assert precisions("resnext")[:2] == ("fp32", {"when": {}, "values": ["bf16"]})
    monkeypatch.setattr(MODELS["resnext"], "trains_in_bf16", False)
    assert precisions("resnext")[:2] == ("fp32", None)


def test_a_density_keeps_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS["iresnet"], "trains_in_bf16", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "has_bf16_units", lambda device_type: True)
    published, varied, _ = precisions("iresnet")
    assert (published, varied) == ("fp32", {"when": {"architecture.log_det": ["none"]}, "values": ["bf16"]})


def test_the_processors_of_a_cluster_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16_units", lambda device_type: True)
    monkeypatch.setattr(MODELS["resnext"], "trains_in_bf16", False)
    assert precisions("resnext", on_cluster=True)[:2] == ("fp32", None)
    monkeypatch.setattr(MODELS["resnext"], "trains_in_bf16", True)
    assert precisions("resnext", on_cluster=True)[1] == {"when": {}, "values": ["bf16-on-gpu"]}


def test_a_search_that_names_its_precision_keeps_it() -> None:
    printed = io.StringIO()
    given = search("random", precision="bf16").replace_fields(space={"precision": ["bf16", "tf32"]})
    assert choose_precisions([given], Console(file=printed)) == [given]
    assert printed.getvalue() == ""
    [asked] = choose_precisions([search("random", precision="auto")], Console(file=printed))
    assert asked.published["precision"] in ("fp32", "bf16")
