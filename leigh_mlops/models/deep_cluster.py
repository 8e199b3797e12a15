"""DeepCluster: a network that learns from the clusters of its own features."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.models.alexnet import AlexNetTrunk
from leigh_mlops.models.bounds import check_integer, check_integers, check_number
from leigh_mlops.models.clustering import FeatureReduction, KMeans
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.trunk import TIMM, build_trunk, find_stem
from leigh_mlops.models.trunk_layout import TrunkLayout, trunk_layout

__all__ = ["DeepCluster", "cluster_names", "find_cluster"]

ALEXNET = "alexnet"
_MOST_CLUSTERS = 10_000
_HEAD_STD = 0.01


class DeepCluster(Network):
    """Trunk with a head for the clusters of its own features (Caron et al. 2018): images to logits (N, k).

    The head belongs to the clustering by which it was trained; reduction and centroids of that clustering are buffers,
    so that all are stored together. The class names of its spec are those of the clusters.

    Args:
        spec: Specification of the network; its classes are ignored.
        clusters: Number k of clusters.
        backbone: ``alexnet``, the published one, whose size the next four determine; or the name of a classifier in
            torchvision's registry, or ``timm:NAME``, whose features are the means over its last map.
        widths: Channels of the five convolutions.
        hidden: Features.
        stem_stride: Stride of the first convolution; smaller than the published 4 for small images.
        dropout: Probability before the linear layers.
        components: Principal components of the features that are clustered, at most.
        sobel: Whether the input are gradients along x and y of each channel; the published one is grey, ours has
            twice the channels.
    """

    task = "cluster"
    trains_in_bf16 = True
    needs_labels = False
    reduction_mean: Tensor
    reduction_components: Tensor
    centroids: Tensor

    def __init__(
        self,
        spec: ModelSpec,
        *,
        clusters: int = 100,
        backbone: str = ALEXNET,
        widths: Sequence[int] = (96, 256, 384, 384, 256),
        hidden: int = 4096,
        stem_stride: int = 4,
        dropout: float = 0.5,
        components: int = 256,
        sobel: bool = False,
    ) -> None:
        super().__init__(spec)
        self.sobel = bool(sobel)
        channels = spec.channels * (2 if self.sobel else 1)
        self.features: nn.Module
        self._layout: TrunkLayout | None = None
        if backbone == ALEXNET:
            width = check_integer("hidden", hidden, 2, 65536)
            self.features = AlexNetTrunk(
                channels,
                spec.image_size,
                widths=check_integers("widths", widths, 1, 8192, count=(5, 5)),
                hidden=width,
                stem_stride=check_integer("stem_stride", stem_stride, 1, 8),
                dropout=check_number("dropout", dropout, 0, 1),
            )
        else:
            self._layout = trunk_layout(str(backbone), channels, spec.image_size, hidden=False)
            self.features = build_trunk(str(backbone), channels=channels, image_size=spec.image_size, hidden=False)
            width = self._layout.width
        most = min(width, check_integer("components", components, 1, 65536))
        self.head = nn.Linear(width, len(spec.classes))
        self.register_buffer("reduction_mean", torch.zeros(width))
        self.register_buffer("reduction_components", torch.zeros(most, width))
        self.register_buffer("centroids", torch.zeros(len(spec.classes), most))

    @classmethod
    def class_names(cls, classes: Sequence[str], architecture: dict[str, Any]) -> tuple[str, ...]:
        """Names of the clusters, whatever the classes of the images."""
        return cluster_names(check_integer("clusters", architecture["clusters"], 2, _MOST_CLUSTERS))

    @classmethod
    def obstacle_to_division(cls, architecture: dict[str, Any]) -> str:
        """Name the clustering, which needs the features of all fields."""
        return "deepcluster finds the clusters of an epoch in one process"

    @property
    def published_trunk(self) -> str | None:
        """Name of the backbone; None for AlexNet, which is this package's own."""
        return None if self._layout is None else str(self.spec.architecture["backbone"])

    @property
    def stem(self) -> str | None:
        """Name of the kernels of the first convolution of a published trunk."""
        return None if self._layout is None else f"features.{find_stem(self.features)}.weight"

    @property
    def distributions(self) -> tuple[str, ...]:
        """Return timm for its networks."""
        return ("timm",) if str(self.published_trunk).startswith(TIMM) else ()

    def stages(self) -> list[list[nn.Module]]:
        """Each of the convolutions and the linear layers of AlexNet, or parts by resolution; and the head."""
        if self._layout is not None:
            return [*self._layout.stage_modules(self.features), [self.head]]
        trunk = cast(AlexNetTrunk, self.features)
        return [*([layer] for layer in trunk.convolutions()), trunk.linear_layers(), [self.head]]

    def last_map(self) -> nn.Module | None:
        """Module whose output is the last feature map (N, F, h, w); None where the trunk has none."""
        if self._layout is not None:
            return self._layout.last_map_module(self.features)
        return cast(AlexNetTrunk, self.features).fifth

    def encode(self, images: Tensor) -> Tensor:
        """Features (N, F), which are clustered; those of AlexNet are before the ReLU."""
        features: Tensor = self.features(sobel_gradients(images) if self.sobel else images)
        return features.flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """Logits (N, k) of features (N, F)."""
        logits: Tensor = self.head(F.relu(features) if self._layout is None else features)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, k)."""
        return self.classify(self.encode(images))

    @torch.no_grad()
    def start_head(self, reduction: FeatureReduction, centres: KMeans, seed: int) -> None:
        """Keep a clustering, and begin a fresh head for it: weights N(0, 0.01), biases 0."""
        generator = torch.Generator().manual_seed(seed)
        self.head.weight.copy_(_HEAD_STD * torch.randn(self.head.weight.shape, generator=generator))
        self.head.bias.zero_()
        kept = len(reduction.components)
        self.reduction_mean.copy_(torch.from_numpy(reduction.mean))
        self.reduction_components.zero_()[:kept].copy_(torch.from_numpy(reduction.components))
        self.centroids.zero_()[:, :kept].copy_(torch.from_numpy(centres.centroids))

    def clustering(self) -> tuple[FeatureReduction, KMeans]:
        """Reduction and centroids of the clustering that the head was trained on; all 0 before the first epoch."""
        tensors = self.reduction_mean, self.reduction_components, self.centroids
        mean, components, centroids = (tensor.detach().cpu().float().numpy().copy() for tensor in tensors)
        return FeatureReduction(mean, components), KMeans(centroids)


def cluster_names(count: int) -> tuple[str, ...]:
    """Names of clusters, numbered from 1.

    Example:
        >>> cluster_names(10)[:2]
        ('cluster 01', 'cluster 02')
    """
    digits = len(str(count))
    return tuple(f"cluster {number:0{digits}d}" for number in range(1, count + 1))


def find_cluster(text: str, clusters: Sequence[str]) -> str | None:
    """Find the cluster that a user names, by its name or its number; None if there is none.

    Example:
        >>> find_cluster("7", cluster_names(10)), find_cluster("11", cluster_names(10))
        ('cluster 07', None)
    """
    named = {str(number): name for number, name in enumerate(clusters, start=1)} | {name: name for name in clusters}
    return named.get(text.strip()) or named.get(text.strip().lstrip("0"))


def sobel_gradients(images: Tensor) -> Tensor:
    """Gradients of images (N, C, H, W) along x, then those along y, by Sobel's kernels; (N, 2 C, H, W)."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    right = padded[..., 2:] - padded[..., :-2]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    along_x = right[..., :-2, :] + 2 * right[..., 1:-1, :] + right[..., 2:, :]
    along_y = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return torch.cat([along_x, along_y], 1)
