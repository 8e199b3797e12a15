"""Checks of whether a map shows what its network uses."""
