"""Runs, artifacts and the model registry: the only package that imports MLflow, called by the driver alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leigh_mlops.tracking.registry import BEST_MODEL, CHALLENGER, CHAMPION, LAST_MODEL, NO_WHEEL, Checkpoint, Version
from leigh_mlops.tracking.runs import NOTE, GridImage, Measurement, Run
from leigh_mlops.tracking.secrets import first_line
from leigh_mlops.tracking.source_revision import revision
from leigh_mlops.tracking.store import Store
from leigh_mlops.tracking.store_errors import NoVersionError, StoreUnavailableError
from leigh_mlops.tracking.ui_server import serve_ui

if TYPE_CHECKING:
    from leigh_mlops.tracking.pyfunc import PackagedNetwork, ServedPackage

__all__ = [
    "BEST_MODEL",
    "CHALLENGER",
    "CHAMPION",
    "LAST_MODEL",
    "NOTE",
    "Checkpoint",
    "GridImage",
    "Measurement",
    "NO_WHEEL",
    "NoVersionError",
    "PackagedNetwork",
    "Run",
    "ServedPackage",
    "Store",
    "StoreUnavailableError",
    "Version",
    "first_line",
    "revision",
    "serve_ui",
]

# Imported at first use: they need PyTorch, which a look into a store does not.
_NETWORKS = ("PackagedNetwork", "ServedPackage")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _NETWORKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("leigh_mlops.tracking.pyfunc"), name)
