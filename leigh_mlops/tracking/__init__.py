"""Runs, artifacts and the model registry: the only package that imports MLflow, called by the driver alone."""

from leigh_mlops.tracking.pyfunc import PackagedNetwork, ServedPackage
from leigh_mlops.tracking.registry import BEST_MODEL, CHALLENGER, CHAMPION, LAST_MODEL, NO_WHEEL, Checkpoint, Version
from leigh_mlops.tracking.runs import NOTE, GridImage, Measurement, Run
from leigh_mlops.tracking.secrets import first_line
from leigh_mlops.tracking.source_revision import revision
from leigh_mlops.tracking.store import Store
from leigh_mlops.tracking.store_errors import NoVersionError, StoreUnavailableError
from leigh_mlops.tracking.ui_server import serve_ui

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
