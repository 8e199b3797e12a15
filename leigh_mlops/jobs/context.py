"""Context of explanations, from a job's options."""

import torch

from leigh_mlops.explanations import ExplanationContext
from leigh_mlops.jobs.options import ExplainOptions

__all__ = ["build_context"]


def build_context(
    options: ExplainOptions,
    *,
    labels: torch.Tensor | None = None,
    towards: torch.Tensor | None = None,
    references: torch.Tensor | None = None,
) -> ExplanationContext:
    """Build the context in which some fields are explained.

    Args:
        options: Options of the job.
        labels: See `Context`.
        towards: See `Context`.
        references: See `Context`.
    """
    return ExplanationContext(
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
