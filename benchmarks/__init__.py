"""Measurements: ``python -m benchmarks.NAME`` measures one thing against a stated reference in one run."""
