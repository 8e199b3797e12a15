"""Search, train, track, register and explain networks on plates of stem-cell neurons."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leigh_mlops.api.model import load
    from leigh_mlops.api.montage import show
    from leigh_mlops.api.plate_table import read_plate

__all__ = ["__version__", "load", "read_plate", "show"]

__version__ = "0.1.0"

# Imported at first use: together they need PyTorch, pandas and matplotlib, and commands need none of them to begin.
_API = {"load": "leigh_mlops.api.model", "read_plate": "leigh_mlops.api.plate_table", "show": "leigh_mlops.api.montage"}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_API[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
