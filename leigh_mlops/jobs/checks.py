"""What is asked of a job, held against the model before any field is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import check_confidence, check_kinds
from leigh_mlops.explanations.means import require_means
from leigh_mlops.models import ModelPackage

__all__ = ["Options", "check_channels", "check_options", "check_oracle"]


class Options(Protocol):
    """What `ExplainJob` is asked for; see there."""

    target: str | None
    window: int
    stride: int
    counts: bool
    kinds: Sequence[str]
    confidence: float
    oracle: str | None
    sweep: int
    towards_field: str | None


def check_options(job: Options, package: ModelPackage, methods: Sequence[str]) -> None:
    """Refuse what the model cannot do.

    Args:
        job: What is asked for.
        package: The model.
        methods: Explanations that it will give.

    Raises:
        LeighError: An option is unknown, out of its range, or does not fit the model or another option.
    """
    classes, size = package.model.spec.classes, package.model.spec.image_size
    if job.target is not None and job.target not in classes:
        raise LeighError(f"The class {job.target!r} is unknown to the model; choose one of {', '.join(classes)}.")
    if job.window > size or job.stride > job.window:
        raise LeighError(
            f"A window of {job.window} and a stride of {job.stride} pixels do not cover images of {size}; "
            "give a window no larger than the image and a stride no larger than the window."
        )
    if job.towards_field is not None and "interpolation" not in methods:
        raise LeighError(
            f"--towards-field says where interpolations lead, and {', '.join(methods)} is asked for;"
            " add interpolation to --methods, or leave it out."
        )
    if "counterfactual" in methods:
        _check_counterfactuals(job, package)
        return
    for option, given in {"counts": job.counts, "oracle": job.oracle, "sweep": job.sweep}.items():
        if given:
            raise LeighError(
                f"--{option} is about counterfactuals, and {package.model.spec.family} is explained by "
                f"{', '.join(methods)}; leave it out, or take an invertible model."
            )


def _check_counterfactuals(job: Options, package: ModelPackage) -> None:
    if not check_kinds(job.kinds):
        raise LeighError("No kind of counterfactual is given; give --counterfactual boundary,confident or leave it.")
    check_confidence(job.confidence)
    require_means(package.class_means, ("true", "predicted"), (), package.model.spec.classes)
    if job.sweep == 1 or job.sweep < 0:
        raise LeighError(f"A sweep of {job.sweep} images shows no way; give at least 2, or 0 for none.")
    if job.sweep and "confident" not in job.kinds:
        raise LeighError(
            f"--sweep shows the way to the confident counterfactual, and only {', '.join(job.kinds)} is asked for; "
            "add confident to --counterfactual, or leave --sweep out."
        )


def check_channels(source: Path | None, package: ModelPackage, channels: Sequence[str]) -> None:
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
        oracle: The one that is asked about them.
        uri: Its name, for the message.

    Raises:
        LeighError: It does not classify, or classes, channels, full scale or image size differ.
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
    }.items():
        if own != other:
            raise LeighError(
                f"The oracle {uri} has the {what} {_words(other)} where the model has {_words(own)}; "
                "give one that was trained on the same kind of images, or none."
            )


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
