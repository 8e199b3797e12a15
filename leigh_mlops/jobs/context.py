"""From a job's options to what explanations are asked for."""

import torch

from leigh_mlops.explanations import Context
from leigh_mlops.jobs.options import ExplainOptions

__all__ = ["context_of"]


def context_of(
    options: ExplainOptions,
    *,
    labels: torch.Tensor | None = None,
    towards: torch.Tensor | None = None,
    references: torch.Tensor | None = None,
) -> Context:
    """The context of some fields.

    Args:
        options: Of the job.
        labels: See `Context`.
        towards: See `Context`.
        references: See `Context`.
    """
    return Context(
        target=options.target,
        labels=labels,
        kinds=options.counterfactual,
        confidence=options.confidence,
        window=options.window,
        stride=options.stride,
        occlusion_budget=options.occlusion_budget,
        towards=towards,
        references=references,
    )
