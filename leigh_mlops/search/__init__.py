"""Searches on Ray Tune; no other subpackage imports it.

The imports of a driver are light: only the search process and its workers import Ray and the networks.
"""

from leigh_mlops.search.process import SearchProcess
from leigh_mlops.search.request import SearchPlan, SearchRequest

__all__ = ["SearchPlan", "SearchProcess", "SearchRequest"]
