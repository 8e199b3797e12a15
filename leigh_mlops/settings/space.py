"""Search of one family: space, algorithm, objectives, presets and resources."""

import math
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from leigh_mlops.settings.augmentation_settings import augmentation_text
from leigh_mlops.settings.base import KeyedError, Settings, SettingsError, parse_settings, quote_value
from leigh_mlops.settings.conditions import can_draw_together, check_conditions, drawing_order, resolve_conditions
from leigh_mlops.settings.domains import Choice, Domain, Range, map_choices
from leigh_mlops.settings.training_settings import (
    ARCHITECTURE,
    IMAGENET_IF_AVAILABLE,
    JOINT,
    Flat,
    TrainingSettings,
    joint_parts,
    known_keys,
)

__all__ = ["MAX_TRIALS", "SearchObjective", "SearchPreset", "TrialResources", "SearchSpace"]

MAX_TRIALS = 100_000
"""More than any search finishes; each trial takes memory before the first one starts."""

_DEPENDENT = ["precision", JOINT, *(f"{ARCHITECTURE}{name}" for name in ("padded_channels", "head", "log_det"))]


def _check_validation_metric(metric: str) -> str:
    _refuse_counterfactual_metric(metric)
    if not metric.startswith("val/"):
        raise ValueError(f"{quote_value(metric)} is not a validation score; choose one such as val/log_loss.")
    return metric


def _check_metric(metric: str) -> str:
    _refuse_counterfactual_metric(metric)
    if not metric.startswith(("val/", "train/")):
        raise ValueError(
            f"{quote_value(metric)} must begin with val/ or train/, such as val/inverse_error or train/seconds."
        )
    return metric


def _check_gpus(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(
            f"a trial can't use {gpus:g} GPUs: it shares one, or has a whole number; give at most 1, or "
            f"{math.ceil(gpus)}."
        )
    return gpus


def _refuse_counterfactual_metric(metric: str) -> None:
    """Refuse scores that need maps between classes and independent classifiers, which trials do not have."""
    if metric.startswith("val/counterfactual/"):
        raise ValueError(
            f"{quote_value(metric)} is measured after the search, on the stored trials, so it can't choose epochs or "
            "trials; choose one such as val/log_loss, set keep higher, and compare the stored trials by it."
        )


def _normalise_domains(space: object) -> object:
    """Reject unknown keys, and write the choices of an augmentation as texts."""
    known_keys(space)
    if not isinstance(space, dict) or "augment" not in space:
        return space
    try:
        return space | {"augment": map_choices(augmentation_text, space["augment"])}
    except ValueError as error:
        raise KeyedError(f"space.augment: {error}", "space", "augment") from None


class SearchObjective(Settings):
    """Score of the epoch that is kept, to be minimized or maximized; ``train/seconds`` is per epoch."""

    metric: Annotated[str, AfterValidator(_check_metric)]
    mode: Literal["min", "max"] = "min"


class TrialResources(Settings):
    """Resources that one trial requests; GPUs, or a fraction of one, only where the cluster has some.

    Above 1, ``gpus`` are all on one machine, and each batch is divided among them.
    """

    cpus: float = Field(1, gt=0)
    gpus: Annotated[float, AfterValidator(_check_gpus)] = Field(1, ge=0)
    memory_gib: float | None = Field(None, gt=0, description="null for an estimate from the configuration")


class SearchPreset(Settings):
    """Smaller or larger version of a search; ``fix`` sets hyperparameters and takes them out of the space."""

    trials: int | None = Field(None, ge=1, le=MAX_TRIALS)
    epochs: int | None = Field(None, ge=1)
    image_size: int | None = Field(None, ge=32)
    folds: int | None = Field(None, ge=1, le=20)
    algorithm: Literal["random", "optuna", "pbt"] | None = None
    early_stopping: Literal["asha", "none"] | None = None
    fix: Flat = Field(default_factory=dict)


class SearchSpace(Settings):
    """Search of one family: what is varied, how, and by what the winner is chosen.

    ``metric`` chooses the epoch that is kept and the winner. Further
    ``objectives`` are searched for as well by ``optuna``; ``random`` and
    ``pbt`` only record them, and under ``asha`` trials end by ``metric``
    alone. ``pbt`` (Population Based Training) trains its trials side by side
    and lets the worse go on from the better ones' weights with hyperparameters
    changed, so it needs one that may change while a trial runs, two trials and
    no early stopping.
    """

    family: str
    metric: Annotated[str, AfterValidator(_check_validation_metric)]
    mode: Literal["min", "max"] = "min"
    objectives: list[SearchObjective] = Field(default_factory=list, description="beside metric, which is the first one")
    algorithm: Literal["random", "optuna", "pbt"] = "random"
    early_stopping: Literal["asha", "none"] = "asha"
    trials: int = Field(8, ge=1, le=MAX_TRIALS)
    folds: int = Field(
        1, ge=1, le=20, description="divisions of the training and validation groups that each trial is trained on"
    )
    time_share: float = Field(1, gt=0, description="weight among the families that share a time budget")
    keep: int = Field(2, ge=1, description="trials whose weights go to the store")
    image_size: int = Field(224, ge=32, description="pixels")
    resources: TrialResources = TrialResources()
    published: Flat
    space: Annotated[dict[str, Domain], BeforeValidator(_normalise_domains)] = Field(default_factory=dict)
    presets: dict[Literal["quick", "standard", "thorough"], SearchPreset] = Field(default_factory=dict)

    @property
    def all_objectives(self) -> tuple[SearchObjective, ...]:
        """All objectives, the first of which is ``metric`` with its ``mode``."""
        return (SearchObjective(metric=self.metric, mode=self.mode), *self.objectives)

    @property
    def ordered_space(self) -> list[tuple[str, Domain]]:
        """The space as in the file, except that what a condition names comes before what it conditions."""
        return [(key, self.space[key]) for key in drawing_order(self.space, self.published)]

    @model_validator(mode="after")
    def _check_objectives(self) -> Self:
        metrics = [objective.metric for objective in self.all_objectives]
        for metric in metrics:
            if metrics.count(metric) > 1:
                raise KeyedError(f"objectives: {metric} is listed twice; list it once.", "objectives")
        return self

    @model_validator(mode="after")
    def _check_population(self) -> Self:
        if self.algorithm != "pbt":
            return self
        if self.early_stopping != "none":
            raise self._pbt_error("early_stopping", "which replaces bad trials itself; set early_stopping to none.")
        if self.trials < 2:
            raise self._pbt_error("trials", "whose population has at least 2; set trials higher.")
        if not self.space.keys() & TrainingSettings.MUTABLE:
            raise KeyedError(
                f"algorithm is pbt, and space varies {', '.join(self.space) or 'nothing'}, none of which may change "
                f"while a trial runs; vary one of {', '.join(sorted(TrainingSettings.MUTABLE))}.",
                "algorithm",
            )
        return self

    def _pbt_error(self, field: str, why: str) -> KeyedError:
        written = field if field in self.model_fields_set else "algorithm"
        return KeyedError(f"{field} is {getattr(self, field)} with algorithm pbt, {why}", written)

    @model_validator(mode="after")
    def _check_space(self) -> Self:
        """Check that all that can be drawn can be trained; freely combinable values only beside the published ones."""
        self._check({}, "published")
        for key, domain in self.space.items():
            if key not in self.published:
                raise KeyedError(f"space varies {key!r}, which has no published value; give one.", "space", key)
            if key not in _DEPENDENT:
                self._check_domain(key, domain)
        for choice in self._dependent_choices():
            self._check(choice, "space")
        for key, domain in self.space.items():
            # The published trial keeps its precision where all others have another one.
            if not domain.contains(self.published[key]) and key != "precision":
                reason = (
                    f"published {key} = {quote_value(self.published[key])} lies outside its space; widen the space."
                )
                raise KeyedError(reason, "space", key)
        check_conditions(self.space, self.published)
        self._check_start()
        return self

    @model_validator(mode="after")
    def _check_division(self) -> Self:
        """Check that every batch can be divided among the GPUs of a trial."""
        gpus, domain = self.resources.gpus, self.space.get("batch_size")
        sizes = [self.published["batch_size"]] if "batch_size" in self.published else []
        smallest = min([*sizes, *(_ends(domain) if domain else [])], default=gpus)
        if gpus > 1 and smallest < gpus:
            raise KeyedError(
                f"resources.gpus is {gpus:g}, and batch_size may be {smallest}, too small to divide among them; raise "
                "batch_size, or lower gpus.",
                "resources",
                "gpus",
            )
        return self

    def _check_start(self) -> None:
        domain = self.space.get("init")
        if isinstance(domain, Choice) and IMAGENET_IF_AVAILABLE in domain.values:
            reason = f"space.init lists {IMAGENET_IF_AVAILABLE}, which only a published value may be; list imagenet."
            raise KeyedError(reason, "space", "init")

    def _check_domain(self, key: str, domain: Domain) -> None:
        for value in _ends(domain):
            self._check({key: value}, "space")
        if isinstance(domain, Range) and not domain.integer:
            between = round(domain.low + (domain.high - domain.low) / math.pi, 3)
            try:
                TrainingSettings.from_flat(self.published | {key: between})
            except SettingsError:
                reason = (
                    f"space.{key}: a range also draws values such as {between}; add integer: true, or list choices."
                )
                raise KeyedError(reason, "space", key) from None

    def _check(self, choice: dict[str, Any], section: str) -> None:
        try:
            TrainingSettings.from_flat(self.published | choice)
        except SettingsError as error:
            at = str(error.keys[0]) if error.keys else ""
            written = [key for key in (at, JOINT, *choice) if key in (choice or self.published)]
            raise KeyedError(error.reason, section, *written[:1]) from None

    def _dependent_choices(self) -> list[dict[str, Any]]:
        """All combinations of values that do not combine freely; a single empty one where none of them is varied."""
        domains = {key: domain for key in _DEPENDENT if isinstance(domain := self.space.get(key), Choice)}
        drawn = product(*(_values_with_published(domain, self.published[key]) for key, domain in domains.items()))
        choices = [dict(zip(domains, values, strict=True)) for values in drawn]
        return [choice for choice in choices if can_draw_together(choice, self.space, self.published)]

    def architectures(self) -> "list[SearchSpace]":
        """Return this search once for each kind of architecture that it may draw, in the order of the choices.

        Parts that combine freely, such as widths, are varied one at a time.
        """
        free = [key for key in self.space if key.startswith(ARCHITECTURE) and key not in _DEPENDENT]
        apart = [{key: value} for key in free for value in _ends(self.space[key]) if value != self.published[key]]
        return [self.fix_hyperparameters(choice) for choice in [*self._dependent_choices(), *apart]]

    def apply_preset(self, name: str) -> "SearchSpace":
        """Return this search under a preset; a preset that the file does not have changes nothing.

        Raises:
            SettingsError: Its values do not go together with the file's.
        """
        preset = self.presets.get(name)  # type: ignore[call-overload]
        if preset is None:
            return self
        bounds = preset.model_dump(exclude={"fix", "epochs"}, exclude_none=True)
        fixed = preset.fix | ({"epochs": preset.epochs} if preset.epochs else {})
        return self._apply(bounds, fixed)

    def only_published(self) -> "SearchSpace":
        """Return a search of one trial, the published configuration."""
        alone: dict[str, Any] = {"space": {}, "trials": 1, "keep": 1, "objectives": []}
        return self.replace_fields(early_stopping="none", algorithm="random", **alone)

    def replace_fields(self, **values: Any) -> "SearchSpace":  # noqa: ANN401
        """Return this search with some fields replaced, such as ``trials``; see :meth:`fix_hyperparameters` for others.

        Raises:
            SettingsError: A value is out of bounds, or does not go together with the others.
        """
        return parse_settings(SearchSpace, self.model_dump() | values, self.family)

    def fix_hyperparameters(self, values: dict[str, Any]) -> "SearchSpace":
        """Return this search with hyperparameters set and taken out of the space.

        Parts of the architecture that are chosen together are fixed all, where one of them is. What a condition
        that no longer holds leaves undrawn keeps its published value and is taken out as well.

        Raises:
            SettingsError: A key is no hyperparameter, or a value out of bounds.
        """
        return self._apply({}, values)

    def _apply(self, bounds: dict[str, Any], values: dict[str, Any]) -> "SearchSpace":
        published, space = self.published | values, dict(self.space)
        together = joint_parts(published[JOINT]) if JOINT in published else {}
        parts = {f"{ARCHITECTURE}{name}": value for name, value in together.items()}
        if JOINT in values or JOINT not in space or parts.keys() & values.keys():
            values = {key: value for key, value in (parts | values).items() if key != JOINT}
            published = {key: value for key, value in (published | values).items() if key != JOINT}
            space.pop(JOINT, None)
        space = resolve_conditions({key: domain for key, domain in space.items() if key not in values}, published)
        return self.replace_fields(**bounds, published=published, space=space)


def _values_with_published(choice: Choice, published: Any) -> list[Any]:  # noqa: ANN401
    """Values of a choice, and the published one of a choice that lacks it."""
    return choice.values if choice.contains(published) else [published, *choice.values]


def _ends(domain: Domain) -> list[Any]:
    """Values that stand for a domain: all of a choice, both ends of a range."""
    if isinstance(domain, Choice):
        return domain.values
    return [int(end) if domain.integer else end for end in (domain.low, domain.high)]
