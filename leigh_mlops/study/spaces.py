"""Checks and starting points of searches that need to know the models."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import check_image_size
from leigh_mlops.models import MODELS, build_model
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.tracking import Store

__all__ = ["check_spaces", "local_init"]


def check_spaces(spaces: Sequence[SearchSpace]) -> None:
    """Refuse what would only fail in a trial: unknown families and architectures, impossible image sizes.

    Raises:
        LeighError: The first such thing.
    """
    for space in spaces:
        if space.family not in MODELS:
            raise LeighError(f"The family {space.family!r} is unknown; choose one of {', '.join(MODELS)}.")
        check_image_size(space.image_size)
        settings = TrainingSettings.from_flat(space.published)
        with torch.device("meta"):
            build_model(space.family, classes=["A", "B"], image_size=space.image_size, **settings.architecture)


@contextmanager
def local_init(store: str | None, init: str | None) -> Iterator[str | None]:
    """A starting point that every worker of this machine can read: a registry version becomes a folder."""
    if init is None or not init.startswith("models:/"):
        yield init
        return
    with tempfile.TemporaryDirectory() as temporary:
        opened = Store.open(store)
        yield str(opened.download(opened.version(init), Path(temporary)))
