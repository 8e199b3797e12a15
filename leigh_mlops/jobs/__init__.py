"""Batch jobs over a registry version; nothing is imported here, since only `explain_job` needs Ray."""
