"""Checks of search spaces against the models, and the starting weights of trials."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import check_augmentation, check_image_size
from leigh_mlops.models import MODELS, build_model, fetch_imagenet_weights
from leigh_mlops.models.precision import resolve_precision
from leigh_mlops.settings import IMAGENET_IF_AVAILABLE, Choice, SearchSpace, TrainingSettings
from leigh_mlops.tracking import Store
from leigh_mlops.training.transfer import first_stages

__all__ = [
    "check_spaces",
    "choose_precisions",
    "latent_size",
    "fetch_starting_weights",
    "resolve_start",
    "weight_bytes",
]


def check_spaces(spaces: Sequence[SearchSpace], channels: int = 3) -> None:
    """Refuse search spaces that would fail in a trial.

    Raises:
        LeighError: A family is unknown or named twice, an architecture or image size is impossible, all stages of a
            network are frozen, or an augmentation would break intensities.
    """
    for space in spaces:
        if space.family not in MODELS:
            raise LeighError(f"The family {space.family!r} is unknown; choose one of {', '.join(MODELS)}.")
        if sum(other.family == space.family for other in spaces) > 1:
            raise LeighError(f"Two search files name the family {space.family}; give one of them.")
        check_image_size(space.image_size)
        for choice in space.architectures():
            model = _build_on_meta_device(choice, channels)
            for count in _choices(space, "frozen_stages", 0):
                first_stages(model, count)
        for text in _choices(space, "augment"):
            check_augmentation(text, channels)


def _choices(space: SearchSpace, key: str, default: Any = None) -> set[Any]:  # noqa: ANN401
    """Values of a hyperparameter that the trials of a search may have, the published one and those of a list."""
    domain = space.space.get(key)
    return {space.published.get(key, default), *(domain.values if isinstance(domain, Choice) else [])}


def resolve_start(space: SearchSpace, console: Console) -> SearchSpace:
    """Return a search that starts from ImageNet weights, or at random if these can't be had, which is printed.

    A search with any other ``init`` stays as it is.
    """
    if space.published.get("init") != IMAGENET_IF_AVAILABLE:
        return space
    try:
        for model in {id(model): model for model in _networks(space)}.values():
            fetch_imagenet_weights(model)
    except LeighError as error:
        console.print(f"{space.family} starts at random, not from ImageNet as published. {error}", markup=False)
        return space.fix_hyperparameters({"init": "random"})
    return space.fix_hyperparameters({"init": "imagenet"})


def choose_precisions(
    spaces: Sequence[SearchSpace], console: Console, *, on_cluster: bool = False
) -> list[SearchSpace]:
    """Return searches in which precision ``auto`` is decided once for all trials, which is printed.

    Args:
        spaces: Searches; those without ``auto`` stay as they are.
        console: Console to print to.
        on_cluster: Whether trials run on other machines, whose processors are unknown. GPUs there train in bf16.
    """
    chosen = {space.family: _choose_precision(space, on_cluster) for space in spaces if "auto" in _precisions(space)}
    named = {kind: [family for family, own in chosen.items() if own == kind] for kind in dict.fromkeys(chosen.values())}
    if named:
        parts = ", ".join(f"{kind} for {' and '.join(families)}" for kind, families in named.items())
        first = (
            "; trials with published settings keep theirs"
            if any(space.published.get("precision") != "auto" for space in spaces if space.family in chosen)
            else ""
        )
        console.print(f"Precision of training: {parts}{first}.", markup=False)
    return [_set_precision(space, chosen[space.family]) if space.family in chosen else space for space in spaces]


def _precisions(space: SearchSpace) -> set[Any]:
    return _choices(space, "precision", "fp32")


def _choose_precision(space: SearchSpace, on_cluster: bool) -> str:
    suited = MODELS[space.family].trains_in_bf16
    if on_cluster:
        return "bf16-on-gpu" if suited else "fp32"
    device = "cuda" if space.resources.gpus and torch.cuda.is_available() else "cpu"
    return resolve_precision("auto", device, suited)


def _set_precision(space: SearchSpace, chosen: str) -> SearchSpace:
    """Return a search with a precision in place of ``auto``; one that all trials have is varied no more."""
    published, varied = dict(space.published), dict(space.space)
    if published.get("precision") == "auto":
        published["precision"] = chosen
    domain = varied.pop("precision", None)
    if isinstance(domain, Choice):
        values = list(dict.fromkeys(chosen if value == "auto" else value for value in domain.values))
        if values != [published["precision"]]:
            varied["precision"] = domain.model_copy(update={"values": values})
    return space.replace_fields(published=published, space=varied)


def latent_size(space: SearchSpace, channels: int) -> int:
    """Number of elements of the latent of a family's published architecture."""
    model = _build_on_meta_device(space, channels).eval()
    latent = model.encode(torch.zeros(1, channels, space.image_size, space.image_size, device="meta"))
    return int(latent.numel())


def weight_bytes(space: SearchSpace, channels: int) -> int:
    """Size of the weights of a family's published architecture."""
    tensors = _build_on_meta_device(space, channels).state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _networks(space: SearchSpace) -> list[Any]:
    """Networks of a search that may need other weights than each other: each backbone once."""
    key = "architecture.backbone"
    domain = space.space.get(key)
    names = domain.values if isinstance(domain, Choice) else []
    searches = [space, *(space.fix_hyperparameters({key: name}) for name in names)]
    return [_build_on_meta_device(each, channels=3) for each in searches]


def _build_on_meta_device(space: SearchSpace, channels: int) -> Any:  # noqa: ANN401
    architecture = TrainingSettings.from_flat(space.published).architecture
    return _build_once(space.family, space.image_size, channels, json.dumps(architecture, sort_keys=True))


@lru_cache(maxsize=32)
def _build_once(family: str, image_size: int, channels: int, architecture: str) -> Any:  # noqa: ANN401
    """Build a network without memory; a search asks for the same one several times, which takes half a second each."""
    with torch.device("meta"):
        return build_model(
            family, classes=["A", "B"], image_size=image_size, channels=channels, **json.loads(architecture)
        )


def fetch_starting_weights(store: Store, spaces: Iterable[SearchSpace], folder: Path) -> dict[str, str]:
    """Fetch the networks of the store that trials may start from; return their folders by address.

    A resumed search uses the version that an alias referred to when it was opened.

    Raises:
        LeighError: There is no such network.
    """
    addresses = set()
    for space in spaces:
        domain = space.space.get("init")
        addresses |= {space.published.get("init"), *(domain.values if isinstance(domain, Choice) else [])}
    named = sorted(str(address) for address in addresses if str(address).startswith(("models:/", "runs:/")))
    starts = {}
    for number, address in enumerate(named):
        pinned = folder / f"start-{number}.txt"
        found = store.find_model(pinned.read_text() if pinned.exists() else address)
        starts[address] = str(store.download(found, folder / f"start-{number}"))
        pinned.write_text(found.uri)
    return starts
