"""Registered models: the package of a version and its card."""

import tempfile
from pathlib import Path

from leigh_mlops.models import load_to_device
from leigh_mlops.study.model_card import ModelCard
from leigh_mlops.study.version_card import read_version_card
from leigh_mlops.tracking import Store

__all__ = ["load_registered"]


def load_registered(address: str, store: str | None, trusted_key: Path | None = None) -> ModelCard:
    """Load a registered version.

    Args:
        address: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        store: Address or folder of the store; by default ``./mlruns``.
        trusted_key: Public key without whose signature the version is refused.

    Raises:
        LeighError: The store has no such version, or can't be reached.
    """
    opened = Store.open(store, trusted_key=trusted_key)
    version = opened.version(address)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        package = load_to_device(opened.download(version, Path(temporary)))
    name = version.uri if address == version.uri else f"{version.uri} ({address})"
    return read_version_card(opened, version, package, name)
