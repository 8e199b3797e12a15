"""Searches on Ray Tune, the only room that imports it.

What a driver needs is light: Ray and the networks are imported by the process that searches and by its workers.
"""

from leigh_mlops.search.process import SearchProcess
from leigh_mlops.search.request import SearchRequest

__all__ = ["SearchProcess", "SearchRequest"]
