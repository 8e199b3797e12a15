"""Frozen settings of data, training and search; unknown keys and values out of bounds are refused."""

import difflib
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
    init: str = Field(
        "random", description="random, imagenet, a .safetensors file, a model's folder or models:/NAME@ALIAS"
    )
    architecture: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def from_flat(cls, flat: dict[str, Any]) -> Self:
        """Build from a flat mapping in which ``architecture.dropout`` names a part of the architecture."""
        inner = {k.removeprefix(ARCHITECTURE): v for k, v in flat.items() if k.startswith(ARCHITECTURE)}
        outer = {k: v for k, v in flat.items() if not k.startswith(ARCHITECTURE)}
        return parse_settings(cls, {**outer, "architecture": inner}, "hyperparameters")

    def to_flat(self) -> dict[str, Any]:
        """The inverse of :meth:`from_flat`."""
        flat = self.model_dump(exclude={"architecture"})
        return flat | {f"{ARCHITECTURE}{name}": value for name, value in self.architecture.items()}


def _known_keys(values: object) -> object:
    if isinstance(values, dict):
        known = [name for name in TrainingSettings.model_fields if name != "architecture"]
        for key in values:
            if key not in known and not str(key).startswith(ARCHITECTURE):
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}, {ARCHITECTURE}…"
                raise ValueError(f"{key!r} is no hyperparameter; {hint}")
    return values


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
        TrainingSettings.from_flat(self.published)
        return self

    def with_preset(self, name: str) -> "SearchSpace":
        """This search under a preset; a preset that the file does not have changes nothing."""
        preset = self.presets.get(name)  # type: ignore[call-overload]
        if preset is None:
            return self
        bounds = preset.model_dump(exclude={"fix", "epochs"}, exclude_none=True)
        fixed = preset.fix | ({"epochs": preset.epochs} if preset.epochs else {})
        return self.model_copy(update=bounds).fixed(fixed)

    def fixed(self, values: dict[str, Any]) -> "SearchSpace":
        """This search with hyperparameters set and taken out of the space."""
        space = {key: domain for key, domain in self.space.items() if key not in values}
        return parse_settings(
            SearchSpace, self.model_dump() | {"published": self.published | values, "space": space}, self.family
        )


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
