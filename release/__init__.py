"""Checks and files of a release; `make release` runs them."""
