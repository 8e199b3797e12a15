"""Validation of a job's options against the model, before any field is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import check_confidence, check_kinds, check_metrics, require_means
from leigh_mlops.explanations.occlusion.adaptive import MIN_BUDGET
from leigh_mlops.jobs.options import SCREEN_OPTIONS, ExplainOptions
from leigh_mlops.models import ModelPackage

__all__ = ["check_channels", "check_options", "check_oracle", "check_same_job", "check_targets"]


def check_options(options: ExplainOptions, package: ModelPackage, methods: Sequence[str]) -> None:
    """Refuse options that the model cannot serve.

    Args:
        options: Options of the job.
        package: The model.
        methods: Names of the explanations to compute.

    Raises:
        LeighError: An option is unknown, out of its range, or does not fit the model or another option.
    """
    classes, size = package.model.spec.classes, package.model.spec.image_size
    if options.target is not None and options.target not in classes:
        remedy = f"choose one of {', '.join(classes)}" if classes else "it knows none, so leave out --target"
        raise LeighError(f"The class {options.target!r} is unknown to the model; {remedy}.")
    if options.window > size or options.stride > options.window:
        raise LeighError(
            f"A window of {options.window} and a stride of {options.stride} pixels do not cover images of {size}; "
            "give a window no larger than the image and a stride no larger than the window."
        )
    if options.towards_field is not None and "interpolation" not in methods:
        raise LeighError(
            f"--towards-field applies to interpolation only, but the methods are {', '.join(methods)}; "
            "add interpolation to --methods, or leave it out."
        )
    check_metrics(options.metrics)
    if 0 < options.occlusion_budget < MIN_BUDGET:
        raise LeighError(
            f"--occlusion-budget {options.occlusion_budget} is too small; give at least {MIN_BUDGET}, "
            "or 0 for all windows."
        )
    if options.occlusion_budget and "occlusion" not in methods:
        raise LeighError(
            f"--occlusion-budget applies to occlusion only, but the methods are {', '.join(methods)}; "
            "add occlusion to --methods, or leave it out."
        )
    check_kinds(options.counterfactual)
    if options.confidence is not None:
        check_confidence(options.confidence)
    if package.model.task != "classify" and (options.rescue_from or options.rescue_to):
        raise LeighError(
            f"--rescue-from and --rescue-to name classes, but {package.model.spec.family} has none; leave them out."
        )
    _check_means(options, package, methods)
    if "counterfactual" in methods:
        _check_transport(options, package)
        _check_sweep(options)
    else:
        _refuse_counterfactual_options(options, package, methods)


def check_targets(
    targets: Mapping[str, str], options: ExplainOptions, package: ModelPackage, methods: Sequence[str]
) -> None:
    """Refuse targets of single fields that the model cannot serve.

    Args:
        targets: Class by field, see `read_field_targets`.
        options: Options of the job.
        package: The model.
        methods: Names of the explanations to compute.

    Raises:
        LeighError: A method needs the mean of a class that has none.
    """
    for name in sorted(set(targets.values())):
        _check_means(replace(options, target=name), package, methods)


_FORMER_ENGINE: Mapping[str, Any] = {"engine": "torch", "precision": "fp32"}
"""Options of jobs of versions that had no choice of the engine."""


def check_same_job(out: Path, before: Mapping[str, Any], job: Mapping[str, Any], targets: Mapping[str, str]) -> None:
    """Refuse to resume a job with other options; those of the screen may differ, since they change tables, not fields.

    Args:
        out: The job's folder.
        before: The job as it was begun; one of an earlier version lacks later options.
        job: The job as it is asked for.
        targets: Class by field, as it is asked for.

    Raises:
        LeighError: The folder holds another job.
    """
    known = {**_FORMER_ENGINE, **before}
    other = [key for key in job if key in known and key not in SCREEN_OPTIONS and known[key] != job[key]]
    if other:
        raise LeighError(
            f"{out} holds another job ({other[0]} is {known[other[0]]!r}, not {job[other[0]]!r}); give another --out, "
            "or remove the folder."
        )
    if before.get("targets", {}) != targets:
        raise LeighError(f"{out} holds a job with other targets of fields; give the same --targets, or another --out.")


def _check_means(options: ExplainOptions, package: ModelPackage, methods: Sequence[str]) -> None:
    """Require class means, with that of the target if given; without a target, fields use the available ones."""
    classes = package.model.spec.classes
    targets = () if options.target is None else (classes.index(options.target),)
    if "counterfactual" in methods:
        require_means(package.class_means, ("true", "predicted"), targets, classes)
    if "interpolation" in methods and options.towards_field is None:
        if len(classes) < 2 and options.target is None:
            raise LeighError(
                "The model knows no two classes between which an interpolation could lead; give its end as "
                "--towards-field PLATE/WELL/FIELD, or leave interpolation out of --methods."
            )
        require_means(package.class_means, ("true",), targets, classes)


def _check_transport(options: ExplainOptions, package: ModelPackage) -> None:
    if "typical" in options.counterfactual and not package.class_maps.pairs():
        raise LeighError(
            "--counterfactual typical needs a model with transport between its classes, and this one has none; train "
            "it again, or choose other kinds, such as boundary,confident."
        )


def _check_sweep(options: ExplainOptions) -> None:
    if options.sweep == 1 or options.sweep < 0:
        raise LeighError(f"--sweep {options.sweep} is too small; give at least 2 images, or 0 for none.")
    if options.sweep and not {"typical", "confident"} & set(options.counterfactual):
        raise LeighError(
            "--sweep needs a typical or confident counterfactual, but the kinds are "
            f"{', '.join(options.counterfactual)}; add one to --counterfactual, or leave --sweep out."
        )


def _refuse_counterfactual_options(options: ExplainOptions, package: ModelPackage, methods: Sequence[str]) -> None:
    for option, given in {"counts": options.counts, "oracle": options.oracle, "sweep": options.sweep}.items():
        if given:
            raise LeighError(
                f"--{option} applies to counterfactuals only, but {package.model.spec.family} is explained by "
                f"{', '.join(methods)}; leave it out, or use an invertible model."
            )


def check_channels(source: Path | str | None, package: ModelPackage, channels: Sequence[str]) -> None:
    """Refuse images that lack a channel of the model; their order does not matter, as channels go by name.

    Raises:
        LeighError: One is missing.
    """
    missing = [name for name in package.channels if name not in channels]
    if missing:
        raise LeighError(
            f"{source} has the channels {', '.join(channels)}, but the model needs "
            f"{', '.join(package.channels)}; give images with these channels."
        )


def check_oracle(package: ModelPackage, oracle: ModelPackage, uri: str) -> None:
    """Refuse an oracle that does not see the same images or does not know the same classes.

    Args:
        package: The model that makes counterfactuals.
        oracle: The classifier that evaluates them.
        uri: URI of the oracle, for the message.

    Raises:
        LeighError: It does not classify, or classes, channels, full scale, image size or field width differ.
    """
    if oracle.model.task != "classify":
        raise LeighError(
            f"The oracle {uri} is of the family {oracle.model.spec.family} and does not classify; "
            "give a classifier, or none."
        )
    for what, (own, other) in {
        "classes": (sorted(package.model.spec.classes), sorted(oracle.model.spec.classes)),
        "channels": (list(package.channels), list(oracle.channels)),
        "full scale": (package.scale["full_scale"], oracle.scale["full_scale"]),
        "image size": (package.model.spec.image_size, oracle.model.spec.image_size),
        "field width": (_format_width(package), _format_width(oracle)),
    }.items():
        if own != other:
            raise LeighError(
                f"The oracle {uri} has the {what} {_format_value(other)} where the model has {_format_value(own)}; "
                "give one that was trained on the same kind of images, or none."
            )


def _format_width(package: ModelPackage) -> str:
    width = package.field_width_um
    return "of whole fields" if width is None else f"{width:g} µm"


def _format_value(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
