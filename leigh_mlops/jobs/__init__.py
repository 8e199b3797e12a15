"""Batch jobs over a registry version."""

from leigh_mlops.jobs.explain import ExplainJob
from leigh_mlops.jobs.options import ExplainOptions

__all__ = ["ExplainJob", "ExplainOptions"]
