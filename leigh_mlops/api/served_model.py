"""A registered model behind a server: raw fields as numbers in, predictions by class name out."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.api.field_sources import PlateAdjustment, plate_adjustment
from leigh_mlops.api.model import load
from leigh_mlops.errors import LeighError
from leigh_mlops.images.control_levels import FEWEST_CONTROLS
from leigh_mlops.images.source import Pixels
from leigh_mlops.job_columns import GAIN, OFFSET, PROBABILITY, JobColumn

__all__ = ["ServedModel"]

Floats = npt.NDArray[np.float32]

ENGINE, PRECISION = "LEIGH_ENGINE", "LEIGH_PRECISION"
"""Variables that name engine and precision of a server's predictions, as ``--engine`` of a job does."""


class ServedModel:
    """Answers requests with the numbers of the batch job, a few fields at a time.

    Args:
        folder: Folder of the model package.
    """

    def __init__(self, folder: Path) -> None:
        self.model = load(folder, engine=os.environ.get(ENGINE, "torch"), precision=os.environ.get(PRECISION, "fp32"))

    def answer(
        self,
        images: Iterable[npt.ArrayLike],
        controls: Sequence[int] = (),
        adjustment: Sequence[float] = (),
        pixel_size_um: float = 0.0,
    ) -> pd.DataFrame | Floats:
        """Answer one request.

        Args:
            images: Raw counts as the camera wrote them, as numbers of any type, shape (N, C, H, W) of any size, or a
                sequence of (C, H, W). Of rectangular images the centre square is taken.
            controls: Numbers of the images, from 0, that are negative controls of the plate from which all images
                are; for a model that is scaled by controls or adapted to plates, which needs them in each request.
            adjustment: Instead of controls, offset and gain of each channel, shape (2 C,), as an earlier answer or
                ``job.json`` of a batch job gives them for the plate.
            pixel_size_um: Edge of a pixel in µm, for a model that sees a square of one width of each field; 0 if it is
                not known.

        Returns:
            Of a classifier one row per image: ``predicted``, ``probability_<class>``, ``seen`` (whether the model was
            trained or chosen with these pixels), and, for a model that is scaled by controls, ``offset_<channel>`` and
            ``gain_<channel>``. Of an autoencoder raw intensities (N, C, S, S) on the grid of its images.

        Raises:
            LeighError: The images do not fit the model, or the level of the plate or the pixel size is not known.
        """
        size = pixel_size_um or None
        full_scale = int(self.model.package.scale["full_scale"])
        counts = [_to_counts(np.asarray(image), number, full_scale) for number, image in enumerate(images)]
        level = self._plate_adjustment(counts, controls, adjustment, size)
        if self.model.package.model.task == "reconstruct":
            return self.model.reconstruct(counts, controls=level, pixel_size_um=size)
        found = self.model.predict(counts, controls=level, pixel_size_um=size)
        asked = [JobColumn.PREDICTED, *map(PROBABILITY, self.model.classes), JobColumn.SEEN]
        levels = None if level is None else level.channels
        return found[asked].assign(**({} if levels is None else _level_columns(self.model.channels, levels)))

    def _plate_adjustment(
        self, images: Sequence[Pixels], controls: Sequence[int], adjustment: Sequence[float], size: float | None
    ) -> PlateAdjustment | None:
        package = self.model.package
        if package.scale.get("controls") is None and not package.is_adapted:
            return None
        if package.is_adapted and not len(controls):
            raise LeighError(
                "The network is adapted to each plate by its negative controls; give the numbers of the images that "
                f"are controls, at least {FEWEST_CONTROLS}, as the parameter controls."
            )
        if len(controls) + len(adjustment) == 0:
            raise LeighError(
                "The model is scaled by each plate's own negative controls; give the numbers of the images that are "
                "controls as the parameter controls, or offset and gain of each channel, which an earlier answer "
                "gave, as the parameter adjustment."
            )
        if package.is_adapted or not len(adjustment):
            chosen = [images[_check_number(number, len(images))] for number in controls]
            return plate_adjustment(package, None, chosen, size)
        known = np.isfinite(adjustment).all() and (np.asarray(adjustment[1::2]) > 0).all()
        if len(adjustment) != 2 * len(package.channels) or not known:
            raise LeighError(
                f"The parameter adjustment is {list(adjustment)}; give offset and gain (above 0) of each "
                f"of the channels {', '.join(package.channels)}, in this order."
            )
        return PlateAdjustment(np.reshape(adjustment, (-1, 2)).tolist())


def _check_number(number: int, images: int) -> int:
    if not 0 <= number < images:
        raise LeighError(f"The parameter controls names image {number}, but the request has {images}, from 0.")
    return number


def _to_counts(image: npt.NDArray[np.generic], number: int, full_scale: int) -> Pixels:
    """Convert an image of JSON numbers to the counts that they are.

    Raises:
        LeighError: They are no counts, such as those of an image that was normalised.
    """
    values = image.astype(np.float64)
    if not ((values == np.rint(values)) & (values >= 0) & (values <= full_scale)).all():
        raise LeighError(
            f"Image {number} has values that are no counts of the camera, which are whole numbers from 0 to "
            f"{full_scale}; send the pixels as the microscope wrote them, without scaling."
        )
    return values.astype(np.uint8 if full_scale < 256 else np.uint16)


def _level_columns(channels: Sequence[str], levels: Sequence[Sequence[float]]) -> dict[str, float]:
    pairs = list(zip(channels, levels, strict=True))
    return {OFFSET(name): pair[0] for name, pair in pairs} | {GAIN(name): pair[1] for name, pair in pairs}
