"""The files of one field in a job's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import FieldExplanation
from leigh_mlops.images import read_image
from leigh_mlops.jobs.full_colour import full_colour_of, readable
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.files import Rgb, read_tiff16, write_counts, write_gif, write_png, write_tiff16
from leigh_mlops.report.films import there_and_back, write_mp4, write_webp
from leigh_mlops.report.pictures import channel_colours, composite, heatmap_overlay, strip

__all__ = ["FieldFolder"]

Floats = npt.NDArray[np.float32]


class FieldFolder:
    """Pictures, films and counterfactuals of one field.

    Args:
        out: The job's folder.
        name: Of the field.
        package: The model, for channels, full scale and the limits between which all pictures are drawn.
        full_colour: Value at full colour of each kind of map, see `full_colour_of`; none for a job without maps.
    """

    def __init__(
        self, out: Path, name: str, package: ModelPackage, full_colour: Mapping[str, float] | None = None
    ) -> None:
        self.out, self.name, self.package, self.full_colour = out, name, package, full_colour or {}
        self._path = out / "images" / name

    def write_counterfactual(self, kind: str, acquired: Floats) -> Floats:
        """Save raw intensities (C, S, S) in the units of the acquisition; returns what a reader of the file sees."""
        path = self._path / f"counterfactual_{kind}.tif"
        write_tiff16(path, acquired, self.package.channels, self.package.scale["full_scale"])
        return read_tiff16(path)[0].astype(np.float32)

    def write_counts(self, kind: str, acquired: Floats) -> Floats:
        """The same in whole counts of the camera."""
        path = self._path / f"counterfactual_{kind}.ome.tif"
        write_counts(path, acquired, self.package.channels, self.package.scale["full_scale"])
        return np.concatenate([read_image(path, page) for page in range(len(acquired))]).astype(np.float32)

    def write_pictures(self, raw: Floats, found: FieldExplanation) -> dict[str, str]:
        """Draw the field and all that was found; returns path by name.

        Args:
            raw: Raw intensities of the field (C, S, S).
            found: Images, maps and frames; a map's value at full colour, and the share of its pixels beyond it,
                join its numbers.
        """
        pictures = {"image": self._png("image", self._drawn(raw))} | self._channels(raw)
        for key, image in found.images.items():
            pictures[key] = self._png(key, self._drawn(image))
        for key, heat in found.maps.items():
            limit, shown = full_colour_of(key, self.full_colour), readable(key, heat)
            found.numbers[f"{key}_full_colour"] = limit
            found.numbers[f"{key}_clipped"] = float((np.abs(shown) > limit).mean())
            pictures[key] = self._png(key, heatmap_overlay(self._drawn(raw), shown, limit))
        for key, frames in found.frames.items():
            drawn = [self._drawn(frame) for frame in frames]
            titles = [f"{100 * step / (len(drawn) - 1):.0f} %" for step in range(len(drawn))]
            pictures[f"{key}_strip"] = self._png(key, strip(drawn, titles))
            film = write_gif(self._path / f"{key}.gif", there_and_back(drawn), 150)
            pictures[f"{key}_film"] = self._relative(film)
        return pictures

    def write_sweep(self, found: FieldExplanation, frames: Floats, alphas: Sequence[float]) -> dict[str, str]:
        """Draw the way to a counterfactual and past it, as strip and as films; returns path by name.

        Args:
            found: The path of the MP4, or why there is none, joins its numbers.
            frames: Raw intensities, shape (S, C, S', S').
            alphas: Length of the step to each, S of them.
        """
        drawn = [self._drawn(frame) for frame in frames]
        titles = [f"alpha {length:.2f}" for length in alphas]
        film = there_and_back(drawn)
        pictures = {
            "sweep_strip": self._png("sweep", strip(drawn, titles)),
            "sweep_film": self._relative(write_webp(self._path / "sweep.webp", film)),
        }
        try:
            found.numbers["sweep_video"] = self._relative(write_mp4(self._path / "sweep.mp4", film))
        except LeighError as error:  # a view for slides; strip and WebP show the same
            found.numbers["sweep_note"] = str(error)
        return pictures

    def _channels(self, raw: Floats) -> dict[str, str]:
        """The field in each of its channels, where it has more than one."""
        names, limits = self.package.channels, self.package.about["display_limits"]
        drawn = [(place, name) for place, name in enumerate(names) if name in channel_colours(names)]
        if len(drawn) < 2:
            return {}
        return {
            f"image_{name}": self._png(f"image_{number}", composite(raw[[place]], [name], [limits[place]]))
            for number, (place, name) in enumerate(drawn, start=1)
        }

    def _drawn(self, raw: Floats) -> Rgb:
        return composite(raw, self.package.channels, self.package.about["display_limits"])

    def _png(self, name: str, picture: Rgb) -> str:
        return self._relative(write_png(self._path / f"{name}.png", picture))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.out).as_posix()
