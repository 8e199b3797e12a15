"""Runs, artifacts and the model registry: the only room that imports MLflow, called by the driver alone."""

from leigh_mlops.tracking.asking import NoVersionError, StoreAwayError
from leigh_mlops.tracking.packaged import PackagedNetwork
from leigh_mlops.tracking.registry import CHALLENGER, CHAMPION, Version
from leigh_mlops.tracking.runs import Measured, Run
from leigh_mlops.tracking.secrets import first_line
from leigh_mlops.tracking.store import Store, serve_ui

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Measured",
    "NoVersionError",
    "PackagedNetwork",
    "Run",
    "Store",
    "StoreAwayError",
    "Version",
    "first_line",
    "serve_ui",
]
