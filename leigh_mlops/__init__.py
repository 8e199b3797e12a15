"""Search, train, track, register and explain networks on plates of stem-cell neurons."""

__all__ = ["__version__"]

__version__ = "0.1.0"
