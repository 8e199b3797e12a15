"""ResNeXt: a classifier, by default ResNeXt-50 32x4d."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.bounds import check_integer, check_integers, check_number
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.head import classifier_head
from leigh_mlops.models.published_weights import fetch_torchvision_weights

__all__ = ["ResNeXt", "fetch_resnext_weights"]

_PUBLISHED = {"layers": [3, 4, 6, 3], "groups": 32, "width_per_group": 4}


class ResNeXt(Network):
    """Aggregated residual transformations (Xie et al. 2017) with a head of three layers.

    Images (N, C, H, W) to logits (N, K). Fewer ``layers`` and ``groups`` give a
    compact version; there are 2048 features in any case.

    Args:
        spec: Specification of the network.
        layers: Bottleneck blocks of each of the four stages.
        groups: Groups of each 3x3 convolution.
        width_per_group: Channels of each group in the first stage.
        dropout: Probability in the head.
    """

    task = "classify"
    adapts = True
    trains_in_bf16 = True

    def __init__(
        self,
        spec: ModelSpec,
        *,
        layers: Sequence[int] = (3, 4, 6, 3),
        groups: int = 32,
        width_per_group: int = 4,
        dropout: float = 0.4,
    ) -> None:
        # The import takes seconds, and workers of the other families do not need it.
        from torchvision.models import resnet

        super().__init__(spec)
        self.features = resnet.ResNet(
            resnet.Bottleneck,
            list(check_integers("layers", layers, 1, 64, count=(4, 4))),
            groups=check_integer("groups", groups, 1, 1024),
            width_per_group=check_integer("width_per_group", width_per_group, 1, 1024),
        )
        self.features.conv1 = nn.Conv2d(spec.channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        count = self.features.fc.in_features
        self.features.fc = nn.Identity()
        self.head = classifier_head(count, len(spec.classes), check_number("dropout", dropout, 0, 1))

    @property
    def stem(self) -> str:
        """Name of the kernels of the first convolution."""
        return "features.conv1.weight"

    def stages(self) -> list[list[nn.Module]]:
        """The stem, the four stages of blocks, and the head."""
        trunk = self.features
        blocks = [trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4]
        return [[trunk.conv1, trunk.bn1], *([stage] for stage in blocks), [self.head]]

    def encode(self, images: Tensor) -> Tensor:
        """Pooled features (N, 2048)."""
        return cast(Tensor, self.features(images))

    def classify(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, 2048)."""
        return cast(Tensor, self.head(features))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.classify(self.encode(images))


def fetch_resnext_weights(model: Network) -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights for a ResNeXt, from PyTorch's cache or the internet.

    Raises:
        LeighError: The model is not of the published layers, groups and width, or the weights could not be fetched.
    """
    architecture = model.spec.architecture
    if not isinstance(model, ResNeXt) or any(architecture[key] != value for key, value in _PUBLISHED.items()):
        published = ", ".join(f"{key} {value}" for key, value in _PUBLISHED.items())
        raise LeighError(
            f"ImageNet weights exist for a resnext of {published}, not for {model.spec.family} {architecture};"
            " take that architecture or train with --init random."
        )
    return _fetch()


def _fetch() -> dict[str, Tensor]:
    from torchvision.models import ResNeXt50_32X4D_Weights

    return fetch_torchvision_weights(ResNeXt50_32X4D_Weights.IMAGENET1K_V2)
