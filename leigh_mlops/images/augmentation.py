"""Random augmentation of images by one affine map and one intensity factor each."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from leigh_mlops.images.pixel_transforms import PixelTransforms

__all__ = ["Augmentation", "Variation", "affine_maps", "warp"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Variation:
    """Drawn augmentation of a batch of images.

    Attributes:
        placements: Shape (n, 2, 3), see :func:`affine_maps`.
        factors: Common factor of all channels' intensity, shape (n,).
    """

    placements: Floats
    factors: Floats


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random augmentation; the published work used flips and 10 degrees.

    Attributes:
        flip: Probability of each of the two flips.
        rotation_degrees: Largest rotation either way.
        quarter_turns: Rotate by a random multiple of 90 degrees.
        shift: Largest shift, as a share of the side.
        jitter: Largest relative change of all channels' intensity together; on plates that are
            adjusted to their controls, of the adjusted intensity.
        transforms: Further transforms of the raw intensities, between the shift and the jitter.
    """

    flip: float = 0.5
    rotation_degrees: float = 10.0
    quarter_turns: bool = False
    shift: float = 0.0
    jitter: float = 0.0
    transforms: PixelTransforms | None = None

    def draw(self, rng: np.random.Generator, count: int, side_px: int) -> Variation:
        """Draw the augmentation of some images.

        The number of draws does not depend on the attributes, so that switching on
        one augmentation leaves the draws of the others unchanged.

        Args:
            rng: Random number generator.
            count: Number of images, n.
            side_px: Their side.
        """
        chance = rng.random((7, count))
        either_way = 2 * chance - 1
        return Variation(
            affine_maps(
                side_px,
                flips=chance[:2] < self.flip,
                turns=(4 * chance[2]).astype(int) * self.quarter_turns,
                degrees=self.rotation_degrees * either_way[3],
                shift_px=self.shift * side_px * either_way[4:6],
            ),
            1 + self.jitter * either_way[6],
        )


def affine_maps(
    side_px: int,
    *,
    flips: npt.NDArray[np.bool_],
    turns: npt.NDArray[np.integer],
    degrees: Floats,
    shift_px: Floats,
) -> Floats:
    """Affine maps from a pixel (x, y, 1) of the augmented image to its place (x, y) in the original.

    Flips come first, then quarter turns, rotation and shift. Without rotation and
    shift all entries are integers or half-integers, so that no pixel is interpolated.

    Args:
        side_px: Side of the images.
        flips: Left-right and up-down, shape (2, n).
        turns: Quarter turns, counter-clockwise as seen, shape (n,).
        degrees: Rotation about the centre, counter-clockwise as seen, shape (n,).
        shift_px: Right and down, shape (2, n).

    Returns:
        Shape (n, 2, 3).
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    quarter = np.array([1, 0, -1, 0])
    cosine_turn, sine_turn = quarter[turns % 4], quarter[(turns - 1) % 4]
    back = _rotations(cosine_turn, sine_turn) @ _rotations(cosine, sine)
    linear = np.where(flips, -1, 1).T[:, :, None] * back
    centre = np.full(2, (side_px - 1) / 2)
    offset = centre - np.einsum("nij,nj->ni", linear, centre + shift_px.T)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _rotations(cosine: Floats, sine: Floats) -> Floats:
    """Rotation matrices from a turned image's (x, y), y downwards, to the original's; shape (n, 2, 2)."""
    return np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), 2, 0)


def warp(image: npt.NDArray[np.generic], placement: Floats) -> list[npt.NDArray[np.generic]]:
    """Move an image's pixels by one affine map, interpolated linearly.

    Borders are reflected: black corners would reveal the angle to a network.

    Args:
        image: Shape (C, S, S), uint16 or float32.
        placement: Shape (2, 3), of :func:`affine_maps`.

    Returns:
        C planes (S, S) of the same type.
    """
    channels, *side = image.shape
    # OpenCV moves four interleaved channels in less time than two or three, and takes no more.
    lanes = 1 if channels == 1 else 4
    planes: list[npt.NDArray[np.generic]] = []
    for first in range(0, channels, lanes):
        some = image[first : first + lanes]
        packed = cv2.merge([*some, *[some[0]] * (lanes - len(some))])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(packed, placement, side, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        planes += cv2.split(moved)[: len(some)]
    return planes
