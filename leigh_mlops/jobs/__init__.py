"""Batch jobs over a registry version."""

from leigh_mlops.jobs.explain_job import ExplainJob
from leigh_mlops.jobs.options import ExplainOptions

__all__ = ["ExplainJob", "ExplainOptions"]
