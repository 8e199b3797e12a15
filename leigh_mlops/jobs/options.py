"""Options of a job, beside the model and the images, and the context of explanations that follows from them."""

from dataclasses import dataclass, replace

import torch

from leigh_mlops.explanations import ExplanationContext, default_counterfactual_kinds
from leigh_mlops.explanations.counterfactuals.generation import DEFAULT_CONFIDENCE
from leigh_mlops.explanations.targets import Target
from leigh_mlops.models import ModelPackage
from leigh_mlops.scores.conformal import DEFAULT_COVERAGE

__all__ = ["SCREEN_OPTIONS", "ExplainOptions", "build_context", "resolve_options"]

SCREEN_OPTIONS = {
    "rescue_from": "source",
    "rescue_to": "target",
    "doses": "doses",
    "coverage": "coverage",
    "correct_position": "correct_position",
}
"""Options on which the tables depend, not the explanations, with the arguments of `screen` that they are."""


@dataclass(frozen=True)
class ExplainOptions:
    """Options of explanations; names are those of the command line and of ``job.json``.

    Attributes:
        target: Class that counterfactuals and interpolations lead to and whose logit maps
            explain; ``None`` for the second most probable, and for the predicted one of maps.
        window: Side of the window of occlusion and prediction difference in pixels.
        stride: Stride of that window in pixels.
        occlusion_budget: Evaluations of each field that occlusion may take; 0 for the exact map.
        metrics: Metrics of maps to compute beside the checks, some of `explanations.FAITHFULNESS_METRICS`.
        counts: Whether counterfactuals are written as whole counts of the camera, too.
        counterfactual: Kinds of counterfactuals, some of `explanations.COUNTERFACTUAL_KINDS`; none for those of the
            model.
        confidence: Target probability of the confident ones, above 0.5 and below 1; ``None`` for the median
            probability of the class's real training fields.
        oracle: ``models:/…`` of each further independent classifier that evaluates counterfactuals.
        sweep: Images from the original to the typical or confident counterfactual and past it; 0 for none.
        rescue_from: Class that is 0 % rescue; ``None`` for the rule of `jobs.direction`.
        rescue_to: Class that is 100 % rescue.
        doses: Column of doses; ``None`` for the rule of `jobs.doses`.
        coverage: Probability that the prediction set of a well contains its class, above 0 and below 1.
        correct_position: Whether the effect of a well's position, fitted on controls, is taken from its score.
        engine: Engine of predictions, see `models.engines`; ``None`` for the fastest that is right.
        precision: Its precision; ``None`` as for ``engine``.
        towards_field: ``PLATE/WELL/SITE`` of the field that interpolations lead to; ``None`` for a class's mean.
    """

    target: str | None = None
    window: int = 15
    stride: int = 6
    occlusion_budget: int = 0
    metrics: tuple[str, ...] = ()
    counts: bool = False
    counterfactual: tuple[str, ...] = ()
    confidence: float | None = None
    oracle: tuple[str, ...] = ()
    sweep: int = 0
    towards_field: str | None = None
    engine: str | None = None
    precision: str | None = None
    rescue_from: str | None = None
    rescue_to: str | None = None
    doses: str | None = None
    coverage: float = DEFAULT_COVERAGE
    correct_position: bool = False


def resolve_options(options: ExplainOptions, package: ModelPackage) -> ExplainOptions:
    """Resolve defaults that depend on the model; a package without typical probabilities takes 0.95."""
    known = "true_probability" in (package.class_means or {})
    return replace(
        options,
        counterfactual=options.counterfactual or default_counterfactual_kinds(bool(package.class_maps.pairs())),
        confidence=options.confidence if known or options.confidence is not None else DEFAULT_CONFIDENCE,
    )


def build_context(
    options: ExplainOptions,
    *,
    target: Target = None,
    labels: torch.Tensor | None = None,
    towards: torch.Tensor | None = None,
    references: torch.Tensor | None = None,
) -> ExplanationContext:
    """Build the context in which some fields are explained.

    Args:
        options: Options of the job.
        target: See `ExplanationContext`; ``None`` for that of the options.
        labels: See `ExplanationContext`.
        towards: See `ExplanationContext`.
        references: See `ExplanationContext`.
    """
    return ExplanationContext(
        target=options.target if target is None else target,
        labels=labels,
        kinds=options.counterfactual,
        confidence=options.confidence,
        window=options.window,
        stride=options.stride,
        occlusion_budget=options.occlusion_budget,
        towards=towards,
        references=references,
        error_maps=True,
    )
