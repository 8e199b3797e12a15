"""A small architecture of each family."""

import torch

from leigh_mlops.models import Network, build_model

COMPACT = {
    "resnext": {"layers": (1, 1, 1, 1), "groups": 2, "width_per_group": 4},
    "autoencoder": {"widths": (4, 8), "latent_channels": 2},
    "iresnet": {"blocks": (1, 1), "widths": (6, 8)},
    "backbone": {"backbone": "shufflenet_v2_x0_5"},
    "deepcluster": {"clusters": 4, "widths": (4, 6, 6, 6, 6), "hidden": 12, "stem_stride": 2, "components": 8},
}
LATENTS = {
    "resnext": (2048,),
    "autoencoder": (2, 8, 8),
    "iresnet": (128, 8, 8),
    "backbone": (1024,),
    "deepcluster": (12,),
}
CLASSES = ("DS", "TT", "WT")


def compact(family: str, *, channels: int = 3, seed: int = 0, **architecture) -> Network:
    torch.manual_seed(seed)
    return build_model(family, classes=CLASSES, image_size=32, channels=channels, **COMPACT[family] | architecture)


def images(count: int, *, channels: int = 3, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(count, channels, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def trained(family: str, *, channels: int = 3, steps: int = 3) -> Network:
    """A network whose weights and running statistics are no longer those of the start, in eval mode."""
    model = compact(family, channels=channels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    model.train()
    for step in range(steps):
        loss = model(images(4, channels=channels, seed=step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()
