"""Batch jobs over a registry version."""

from leigh_mlops.jobs.explain import ExplainJob

__all__ = ["ExplainJob"]
