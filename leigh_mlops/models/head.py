"""The classifier head that two families share."""

from torch import nn

__all__ = ["classifier_head"]


def classifier_head(features: int, classes: int, dropout: float) -> nn.Sequential:
    """Features (N, F) to logits (N, K): F - 256 - dropout - 100 - ReLU - K."""
    return nn.Sequential(
        nn.Linear(features, 256),
        nn.Dropout(dropout),
        nn.Linear(256, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )
