"""Small networks that change fields, or that tell changed fields from real ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two convolutions and what they are added to, with an offset of each channel by condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.offset = nn.Linear(condition, width)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """Images after the block."""
        inner = F.relu(self.first(images) + self.offset(condition)[:, :, None, None])
        return images + 0.3 * self.second(inner)


class Network(nn.Module):
    """Small U-Net on blocks of 2 x 2 pixels, whose output is 0 at first."""

    def __init__(self, channels: int, condition: int, narrow: int = 28, wide: int = 48) -> None:
        super().__init__()
        self.enter, self.leave = (
            nn.Conv2d(*each, 3, padding=1) for each in ((4 * channels, narrow), (narrow, 4 * channels))
        )
        self.down, self.up = nn.Conv2d(narrow, wide, 2, 2), nn.ConvTranspose2d(wide, narrow, 2, 2)
        self.outer = nn.ModuleList(Residual(narrow, condition) for _ in range(2))
        self.inner = nn.ModuleList(Residual(wide, condition) for _ in range(2))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """Change of images (N, C, H, W) by condition (N, K)."""
        near = self.outer[0](self.enter(F.pixel_unshuffle(images, 2)), condition)
        far = self.down(near)
        for block in self.inner:
            far = block(far, condition)
        return F.pixel_shuffle(self.leave(self.outer[1](near + self.up(far), condition)), 2)


class Discriminator(nn.Module):
    """Score of fields: that of patches, and that of mean and spread of the patches' features over the field."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths, norm = (4 * channels, 24, 40, 48), nn.utils.parametrizations.spectral_norm
        kinds = ((3, 1, 1), (4, 2, 1), (3, 1, 1))
        layers = [
            layer
            for enter, leave, (size, stride, padding) in zip(widths, widths[1:], kinds, strict=False)
            for layer in (norm(nn.Conv2d(enter, leave, size, stride, padding)), nn.LeakyReLU(0.2))
        ]
        self.features, self.patch = nn.Sequential(*layers), nn.Conv2d(48, 1, 1)
        self.field = nn.Sequential(nn.Linear(96, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N,), higher for real fields."""
        found = self.features(F.pixel_unshuffle(images, 2))
        moments = torch.cat([found.mean((2, 3)), found.std((2, 3))], dim=1)
        return self.patch(found).mean((1, 2, 3)) + self.field(moments)[:, 0]
