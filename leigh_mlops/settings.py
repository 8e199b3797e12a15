"""Frozen settings of data, training and search; unknown keys and values out of bounds are refused."""

import difflib
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from leigh_mlops.errors import LeighError

__all__ = ["Preset", "Range", "Resources", "SearchSpace", "TrainingSettings", "load_space", "parse_settings"]

ARCHITECTURE = "architecture."
JOINT = "architecture"
"""Key of parts of the architecture that are chosen together, as ``padded_channels=null, head=gaussian``."""
_DEPENDENT = ["precision", JOINT, *(f"{ARCHITECTURE}{name}" for name in ("padded_channels", "head", "log_det"))]
Model = TypeVar("Model", bound=BaseModel)


class Settings(BaseModel):
    """Base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingSettings(Settings):
    """How one network is trained: what a trial varies, besides the architecture."""

    optimizer: Literal["adam", "adamax", "sgd"] = "adam"
    learning_rate: float = Field(0.001, gt=0, le=10)
    weight_decay: float = Field(0.0, ge=0, le=1)
    batch_size: int = Field(15, ge=2, le=4096, description="images")
    epochs: int = Field(10, ge=1)
    lr_step_epochs: int | None = Field(None, ge=1, description="epochs between two steps of the learning rate")
    lr_step_factor: float = Field(0.1, gt=0, le=1)
    intensity: Literal["linear", "log"] = "linear"
    flip: float = Field(0.5, ge=0, le=1, description="probability of each of the two flips")
    rotation_degrees: float = Field(10.0, ge=0, le=180, description="largest rotation either way")
    quarter_turns: bool = False
    shift: float = Field(0.0, ge=0, le=0.5, description="largest shift, share of the side")
    jitter: float = Field(0.0, ge=0, lt=1, description="largest relative change of the intensity")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of forward pass and loss in training")
    beta: float = Field(1.0, gt=0, le=1e6, description="weight of the cross-entropy against nats per dimension")
    init: str = Field(
        "random", description="random, imagenet, a .safetensors file, a model's folder or models:/NAME@ALIAS"
    )
    architecture: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _density_possible(self) -> Self:
        log_det = self.architecture.get("log_det", "none")
        if log_det == "none":
            return self
        if self.precision != "fp32":
            raise ValueError(
                f"precision is {self.precision} with architecture.log_det {log_det}, whose terms half precision would"
                " drown in rounding; set precision to fp32."
            )
        if self.architecture.get("padded_channels", 0) is not None:
            raise ValueError(
                f"architecture.log_det is {log_det}, and images that are padded with zero channels have no density; "
                "set architecture.padded_channels to null, or log_det to none."
            )
        if self.architecture.get("head") != "gaussian":
            raise ValueError(
                f"architecture.log_det is {log_det}, which only a class-conditional prior makes a density; set "
                "architecture.head to gaussian, or log_det to none."
            )
        return self

    @classmethod
    def from_flat(cls, flat: dict[str, Any]) -> Self:
        """Build from a flat mapping in which ``architecture.dropout`` names a part of the architecture.

        ``architecture`` alone names several, as ``padded_channels=null, head=gaussian``.
        """
        together = joint_parts(flat[JOINT]) if JOINT in flat else {}
        inner = {k.removeprefix(ARCHITECTURE): v for k, v in flat.items() if k.startswith(ARCHITECTURE)}
        for name in together.keys() & inner.keys():
            raise LeighError(
                f"architecture.{name} is {inner[name]}, and architecture says {name}={together[name]}; set it once."
            )
        outer = {k: v for k, v in flat.items() if not k.startswith(ARCHITECTURE) and k != JOINT}
        return parse_settings(cls, {**outer, JOINT: together | inner}, "hyperparameters")

    def to_flat(self) -> dict[str, Any]:
        """The inverse of :meth:`from_flat`."""
        flat = self.model_dump(exclude={"architecture"})
        return flat | {f"{ARCHITECTURE}{name}": value for name, value in self.architecture.items()}


def _known_keys(values: object) -> object:
    if isinstance(values, dict):
        known = [name for name in TrainingSettings.model_fields if name != JOINT]
        for key in values:
            if key not in (*known, JOINT) and not str(key).startswith(ARCHITECTURE):
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}, {ARCHITECTURE}…"
                raise ValueError(f"{key!r} is no hyperparameter; {hint}")
    return values


def joint_parts(text: object) -> dict[str, Any]:
    """Parts of the architecture that one text sets together, values as in YAML.

    It is a text because search algorithms and run records take texts, and no mappings, for choices.

    Raises:
        LeighError: It is no list of assignments.

    Example:
        >>> joint_parts("padded_channels=null, widths=[8, 8], head=gaussian")
        {'padded_channels': None, 'widths': [8, 8], 'head': 'gaussian'}
    """
    try:
        if isinstance(text, str) and "=" in text:
            return dict(yaml.safe_load("{" + text.replace("=", ": ") + "}"))
    except yaml.YAMLError:
        pass  # said below
    raise LeighError(f"architecture: {text!r} sets nothing; write it as padded_channels=null, head=gaussian.")


class Range(Settings):
    """An interval to sample from, uniformly in the value or in its logarithm."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"range from {self.low} to {self.high}: low must be below high, above 0 where log")
        return self

    def holds(self, value: Any) -> bool:  # noqa: ANN401
        """Whether a value lies inside, ends included."""
        return isinstance(value, int | float) and self.low <= value <= self.high


Flat = Annotated[dict[str, Any], BeforeValidator(_known_keys)]
Domain = Annotated[
    Annotated[list[Any], Field(min_length=1), Tag("list")] | Annotated[Range, Tag("range")],
    Discriminator(lambda value: "list" if isinstance(value, list) else "range"),
]


class Resources(Settings):
    """What one trial asks for; GPUs, also fractions of one, only where the cluster has some."""

    cpus: float = Field(1, gt=0)
    gpus: float = Field(1, ge=0)


class Preset(Settings):
    """A smaller or larger version of a search; ``fix`` sets hyperparameters and takes them out of the space."""

    trials: int | None = Field(None, ge=1)
    epochs: int | None = Field(None, ge=1)
    image_size: int | None = Field(None, ge=32)
    early_stopping: Literal["asha", "none"] | None = None
    fix: Flat = Field(default_factory=dict)


class SearchSpace(Settings):
    """One family's search: what is varied, how, and by what the winner is chosen."""

    family: str
    metric: str = Field(pattern=r"^val/")
    mode: Literal["min", "max"] = "min"
    algorithm: Literal["random", "optuna"] = "random"
    early_stopping: Literal["asha", "none"] = "asha"
    trials: int = Field(8, ge=1)
    time_share: float = Field(1, gt=0, description="weight among the families that share a time budget")
    keep: int = Field(2, ge=1, description="trials whose weights go to the store")
    image_size: int = Field(224, ge=32, description="pixels")
    resources: Resources = Resources()
    published: Flat
    space: Annotated[dict[str, Domain], BeforeValidator(_known_keys)] = Field(default_factory=dict)
    presets: dict[Literal["quick", "standard", "thorough"], Preset] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _published_inside(self) -> Self:
        for key, domain in self.space.items():
            value = self.published.get(key)
            if key not in self.published:
                raise ValueError(f"space varies {key!r}, which has no published value; give one")
            if not (domain.holds(value) if isinstance(domain, Range) else value in domain):
                raise ValueError(f"published {key} = {value!r} lies outside its space; widen the space")
        for choice in self._dependent():
            TrainingSettings.from_flat(self.published | choice)
        return self

    def _dependent(self) -> list[dict[str, Any]]:
        """All combinations of what cannot be combined at will; a single empty one where nothing of it is varied."""
        domains = [(key, self.space[key]) for key in _DEPENDENT if isinstance(self.space.get(key), list)]
        keys, choices = [key for key, _ in domains], [domain for _, domain in domains]
        return [dict(zip(keys, values, strict=True)) for values in product(*choices)]

    def architectures(self) -> "list[SearchSpace]":
        """This search once for each kind of architecture that it may draw, in the order of the choices."""
        return [self.fixed(choice) for choice in self._dependent()]

    def with_preset(self, name: str) -> "SearchSpace":
        """This search under a preset; a preset that the file does not have changes nothing."""
        preset = self.presets.get(name)  # type: ignore[call-overload]
        if preset is None:
            return self
        bounds = preset.model_dump(exclude={"fix", "epochs"}, exclude_none=True)
        fixed = preset.fix | ({"epochs": preset.epochs} if preset.epochs else {})
        return self.model_copy(update=bounds).fixed(fixed)

    def fixed(self, values: dict[str, Any]) -> "SearchSpace":
        """This search with hyperparameters set and taken out of the space.

        Parts of the architecture that are chosen together are fixed all, where one of them is.
        """
        published, space = self.published | values, self.model_dump()["space"]
        together = joint_parts(published[JOINT]) if JOINT in published else {}
        parts = {f"{ARCHITECTURE}{name}": value for name, value in together.items()}
        if JOINT in values or JOINT not in space or parts.keys() & values.keys():
            values = {key: value for key, value in (parts | values).items() if key != JOINT}
            published = {key: value for key, value in (published | values).items() if key != JOINT}
            space.pop(JOINT, None)
        space = {key: domain for key, domain in space.items() if key not in values}
        return parse_settings(SearchSpace, self.model_dump() | {"published": published, "space": space}, self.family)


def parse_settings(kind: type[Model], values: dict[str, Any], source: str) -> Model:
    """Validate, and turn the first complaint into one sentence that begins with its source.

    Raises:
        LeighError: A key is unknown or a value out of bounds.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in {"range", "list"})
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where, kind.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(kind.model_fields)}."
            raise LeighError(f"{source}: {where!r} is unknown; {hint}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise LeighError(f"{source}: {where + ': ' if where else ''}{message}") from None


def load_space(path: Path) -> SearchSpace:
    """Read a search file.

    Raises:
        LeighError: The file is missing, is no YAML, or holds an unknown key or a value out of bounds.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LeighError(f"{path}: the search file can't be read ({error.strerror}); check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LeighError(f"{path}: this is no YAML ({error}); mend the file.") from None
    if not isinstance(values, dict):
        raise LeighError(f"{path}: a search file is a mapping that begins with 'family:'; this one is not.")
    return parse_settings(SearchSpace, values, str(path))
