"""Any published classifier as a backbone: its trunk, and a head for the classes of the plate."""

from typing import Any, cast

from torch import Tensor, nn

from leigh_mlops.models.bounds import check_choice
from leigh_mlops.models.contract import Learner, ModelSpec, Network
from leigh_mlops.models.learner_head import LEARNERS, ForestHead, LinearHead, build_learner
from leigh_mlops.models.trunk import TIMM, build_trunk, find_stem
from leigh_mlops.models.trunk_layout import trunk_layout

__all__ = ["Backbone"]

HEADS = ("linear", "published", *LEARNERS)


class Backbone(Network):
    """Trunk of a published classifier with a linear layer, images (N, C, H, W) to logits (N, K).

    Auxiliary heads are off. Weights have torchvision's (or timm's) names behind ``features.``.

    Args:
        spec: Specification of the network.
        backbone: Name in torchvision's registry of classifiers, or ``timm:NAME``.
        head: ``linear``: features are the means over the last map; ``published``: the hidden layers and the dropout
            of the published head come between the two; ``logistic``, ``svm`` or ``forest``: a learner of
            scikit-learn on these means, the trunk stays as it is.
    """

    task = "classify"
    trains_in_bf16 = True

    def __init__(self, spec: ModelSpec, *, backbone: str = "resnet18", head: str = "linear") -> None:
        super().__init__(spec)
        hidden = check_choice("head", head, HEADS) == "published"
        self._layout = trunk_layout(str(backbone), spec.channels, spec.image_size, hidden)
        self.features = build_trunk(str(backbone), channels=spec.channels, image_size=spec.image_size, hidden=hidden)
        width, classes = self._layout.width, len(spec.classes)
        self.head: LinearHead | ForestHead | nn.Linear
        self.head = build_learner(head, width, classes) if head in LEARNERS else nn.Linear(width, classes)

    @classmethod
    def obstacle_to_division(cls, architecture: dict[str, Any]) -> str:
        """Name a head that is a learner, or a network of timm, whose layers are not known."""
        if (head := architecture.get("head")) in LEARNERS:
            return f"the head {head} is fitted in one process"
        if (name := str(architecture.get("backbone", ""))).startswith(TIMM):
            return f"{name} may have layers of its own that can't see a batch of several processes"
        return ""

    @property
    def stem(self) -> str:
        """Name of the kernels of the first convolution."""
        return f"features.{find_stem(self.features)}.weight"

    @property
    def published_trunk(self) -> str:
        """Name of the backbone."""
        return str(self.spec.architecture["backbone"])

    @property
    def distributions(self) -> tuple[str, ...]:
        """Return timm for its networks."""
        return ("timm",) if self.published_trunk.startswith(TIMM) else ()

    def stages(self) -> list[list[nn.Module]]:
        """Parts of the trunk by resolution, hidden layers of the head if there are any, and the linear layer."""
        return [*self._layout.stage_modules(self.features), [self.head]]

    def last_map(self) -> nn.Module | None:
        """Module whose output is the last feature map (N, F, h, w); ``None`` where the trunk has none."""
        return self._layout.last_map_module(self.features)

    def learner(self) -> Learner | None:
        """Head where it is one of scikit-learn's."""
        return None if isinstance(self.head, nn.Linear) else self.head

    def encode(self, images: Tensor) -> Tensor:
        """Features (N, D) before the linear layer, pooled over the image."""
        return cast(Tensor, self.features(images)).flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, D)."""
        return cast(Tensor, self.head(features))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.classify(self.encode(images))
