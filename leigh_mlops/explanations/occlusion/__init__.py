"""Occlusion maps: exact, on patches, and coarse to fine."""
