"""Starts of Ray's node that fail, as they do on a busy machine."""

__all__ = ["ClusterStartError"]


class ClusterStartError(RuntimeError):
    """Ray's processes did not start in time; another attempt may succeed."""
