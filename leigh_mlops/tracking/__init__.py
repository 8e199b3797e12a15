"""Runs, artifacts and the model registry: the only package that imports MLflow, called by the driver alone."""

from leigh_mlops.tracking.pyfunc import PackagedNetwork, ServedPackage
from leigh_mlops.tracking.registry import CHALLENGER, CHAMPION, NO_WHEEL, Version
from leigh_mlops.tracking.runs import Measurement, Run
from leigh_mlops.tracking.secrets import first_line
from leigh_mlops.tracking.store import Store
from leigh_mlops.tracking.store_errors import NoVersionError, StoreUnavailableError
from leigh_mlops.tracking.ui_server import serve_ui

__all__ = [
    "CHALLENGER",
    "CHAMPION",
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
    "serve_ui",
]
