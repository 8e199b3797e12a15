"""Training settings of one network."""

import difflib
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, model_validator

from leigh_mlops.settings.augmentation_settings import augmentation_text
from leigh_mlops.settings.base import KeyedError, Settings, SettingsError, parse_settings, quote_value, suggest_key

__all__ = ["ARCHITECTURE", "IMAGENET_IF_AVAILABLE", "JOINT", "Flat", "TrainingSettings", "joint_parts", "known_keys"]

ARCHITECTURE = "architecture."
JOINT = "architecture"
"""Key of parts of the architecture that are chosen together, as ``padded_channels=null, head=gaussian``."""

IMAGENET_IF_AVAILABLE = "imagenet-if-available"
"""Value of ``init`` that becomes ``imagenet`` or ``random`` before a search begins."""


class TrainingSettings(Settings):
    """Training settings of one network: what a trial varies, besides the architecture.

    ``MUTABLE`` names the settings that Population Based Training may change while a trial runs.
    """

    MUTABLE: ClassVar[frozenset[str]] = frozenset(
        {
            "learning_rate",
            "weight_decay",
            "batch_size",
            "flip",
            "rotation_degrees",
            "quarter_turns",
            "shift",
            "jitter",
            "beta",
            "kl_weight",
            "layer_decay",
        }
    )

    optimizer: Literal["adam", "adamax", "sgd"] = "adam"
    learning_rate: float = Field(0.001, gt=0, le=10)
    weight_decay: float = Field(0.0, ge=0, le=1)
    momentum: float = Field(0.0, ge=0, lt=1, description="of sgd; other optimizers have their own")
    batch_size: int = Field(15, ge=2, le=4096, description="images")
    epochs: int = Field(10, ge=1)
    patience: int | None = Field(
        None, ge=1, description="epochs without a better best after which a trial ends; null for never"
    )
    lr_schedule: Literal["step", "cosine", "constant"] = Field(
        "step", description="of the learning rate over the epochs: by lr_step_epochs, down to 0, or none"
    )
    lr_step_epochs: int | None = Field(
        None, ge=1, description="epochs between two steps of lr_schedule step; null for no steps"
    )
    lr_step_factor: float = Field(0.1, gt=0, le=1, description="of the learning rate at each step")
    warmup_epochs: int = Field(0, ge=0, description="first epochs, over which the learning rate rises linearly")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="of the training loss: equal, or inverse to the training part's classes, of mean 1"
    )
    init: str = Field(
        "random",
        description="random, imagenet, imagenet-if-available (else random, which is said), a .safetensors file, a "
        "model's folder, models:/NAME@ALIAS or another model of the store, or runs:/RUN of a trial",
    )
    freeze_epochs: int = Field(0, ge=-1, description="first epochs, in which only the head learns; -1 for all")
    frozen_stages: int = Field(
        0, ge=0, le=100, description="first stages of the network that never learn, less than all; 1 is the stem"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor on the learning rate for each stage of the network away from the head"
    )
    intensity: Literal["linear", "log"] = "linear"
    flip: float = Field(0.5, ge=0, le=1, description="probability of each of the two flips")
    rotation_degrees: float = Field(10.0, ge=0, le=180, description="largest rotation either way")
    quarter_turns: bool = Field(False, description="whether images are also turned by 90, 180 and 270 degrees")
    shift: float = Field(0.0, ge=0, le=0.5, description="largest shift, share of the side")
    jitter: float = Field(0.0, ge=0, lt=1, description="largest relative change of the intensity")
    augment: Annotated[str | None, BeforeValidator(augmentation_text)] = Field(
        None,
        description="further transforms: a preset, or serialised transforms of Albumentations",
    )
    adaptation: Literal["none", "controls", "auto"] = Field(
        "none",
        description="of BatchNorm to each plate by its negative controls: none, controls, or auto (controls where the "
        "training has several plates and each plate has controls)",
    )
    precision: Literal["fp32", "tf32", "bf16", "bf16-on-gpu", "auto"] = Field(
        "fp32",
        description="of training: fp32; tf32, products that a GPU rounds; bf16, forward pass and loss; bf16-on-gpu, "
        "else fp32; auto, bf16 where family and machine are made for it, else fp32",
    )
    beta: float = Field(1.0, gt=0, le=1e6, description="weight of the cross-entropy against nats per dimension")
    kl_weight: float = Field(
        1.0, ge=0, le=1e6, description="of the KL divergence in the loss of a variational autoencoder; 1 for the ELBO"
    )
    architecture: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        log_det = self.architecture.get("log_det", "none")
        if log_det != "none" and self.precision != "fp32":
            raise KeyedError(
                f"precision is {self.precision} with architecture.log_det {log_det}, whose terms are lost in less"
                " than float32; set precision to fp32.",
                "precision",
            )
        return self

    @property
    def loss_weight(self) -> float:
        """Weight of the term that the loss of the network has beside its first: ``kl_weight`` or ``beta``."""
        return self.kl_weight if self.architecture.get("variational") else self.beta

    @classmethod
    def from_flat(cls, flat: dict[str, Any]) -> Self:
        """Build from a flat mapping in which ``architecture.dropout`` names a part of the architecture.

        ``architecture`` alone names several, as ``padded_channels=null, head=gaussian``.

        Raises:
            SettingsError: A key is unknown, a value out of bounds, or a part is set twice.
        """
        together = joint_parts(flat[JOINT]) if JOINT in flat else {}
        inner = {k.removeprefix(ARCHITECTURE): v for k, v in flat.items() if k.startswith(ARCHITECTURE)}
        for name in together.keys() & inner.keys():
            key = f"{ARCHITECTURE}{name}"
            reason = f"{key} is {inner[name]}, and architecture sets {name}={together[name]}; set it once."
            raise SettingsError("hyperparameters", reason, (key,))
        outer = {k: v for k, v in flat.items() if not k.startswith(ARCHITECTURE) and k != JOINT}
        return parse_settings(cls, {**outer, JOINT: together | inner}, "hyperparameters")


def joint_parts(text: object) -> dict[str, Any]:
    """Parts of the architecture that one text sets together, values as in YAML.

    It is a text because search algorithms and run records take texts, and no mappings, for choices.

    Raises:
        SettingsError: It is no list of assignments.

    Example:
        >>> joint_parts("padded_channels=null, widths=[8, 8], head=gaussian")
        {'padded_channels': None, 'widths': [8, 8], 'head': 'gaussian'}
    """
    try:
        if isinstance(text, str) and "=" in text:
            return dict(yaml.safe_load("{" + text.replace("=", ": ") + "}"))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        pass  # reported below
    reason = f"{quote_value(text)} sets nothing; write it as padded_channels=null, head=gaussian."
    raise SettingsError("hyperparameters", f"architecture: {reason}", (JOINT,))


def known_keys(values: object) -> object:
    """Reject keys of a flat mapping that are no hyperparameters."""
    for key in values if isinstance(values, dict) else ():
        if key not in TrainingSettings.model_fields and not str(key).startswith(ARCHITECTURE):
            raise KeyedError(
                f"{quote_value(key)} is not a hyperparameter; {_suggest_hyperparameter(str(key))}", str(key)
            )
    return values


def _normalise_flat(values: object) -> object:
    """Reject unknown keys, and write an augmentation as text."""
    known_keys(values)
    if not isinstance(values, dict) or "augment" not in values:
        return values
    try:
        return values | {"augment": augmentation_text(values["augment"])}
    except ValueError as error:
        raise KeyedError(f"augment: {error}", "augment") from None


def _suggest_hyperparameter(key: str) -> str:
    first, dot, part = key.partition(".")
    if dot and difflib.get_close_matches(first, [JOINT]):
        return f"did you mean '{ARCHITECTURE}{part}'?"
    return suggest_key(key, TrainingSettings.model_fields)


Flat = Annotated[dict[str, Any], BeforeValidator(_normalise_flat)]
"""Hyperparameters by name, parts of the architecture as ``architecture.dropout``."""
