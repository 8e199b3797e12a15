"""Files of one field in a job's folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import COUNTERFACTUAL_KINDS, NETWORK, FieldExplanation, MaskCurve
from leigh_mlops.explanations.maps import ERROR_MAP
from leigh_mlops.images import read_image
from leigh_mlops.job_columns import COUNTERFACTUAL, JobColumn
from leigh_mlops.jobs.colour_limits import select_colour_limit, smooth_map
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.films import ping_pong_frames, write_mp4, write_webp
from leigh_mlops.report.image_files import (
    Rgb,
    read_tiff16,
    remove_temporary_files,
    write_counts,
    write_gif,
    write_png,
    write_tiff16,
)
from leigh_mlops.report.mask_curve_figure import mask_curve_figure
from leigh_mlops.report.rendering import channel_colours, composite, heatmap_overlay, picture_strip
from leigh_mlops.report.style import save_figure

__all__ = ["FieldFolder", "has_pictures", "picture_files"]

Floats = npt.NDArray[np.float32]


class FieldFolder:
    """Pictures, films and counterfactuals of one field.

    Args:
        out: The job's folder.
        name: Name of the field.
        package: The model, for channels, full scale and the display limits of all pictures.
        colour_limits: Value at full colour of each kind of map, see `select_colour_limit`; none for a job without maps.
    """

    def __init__(
        self, out: Path, name: str, package: ModelPackage, colour_limits: Mapping[str, float] | None = None
    ) -> None:
        self.out, self.name, self.package = out, name, package
        known = package.about.get("error_limit")
        self.colour_limits = ({ERROR_MAP: known["full_colour"]} if known else {}) | dict(colour_limits or {})
        self._path = out / "images" / name

    def clean(self) -> None:
        """Remove the half-written files of a job that was killed."""
        remove_temporary_files(self._path)

    def write_counterfactual(self, kind: str, acquired: Floats) -> Floats:
        """Save raw intensities (C, S, S) in the units of the acquisition; return them as read back from the file."""
        path = self._path / f"counterfactual_{kind}.tif"
        write_tiff16(path, acquired, self.package.channels, self.package.scale["full_scale"])
        return read_tiff16(path)[0].astype(np.float32)

    def write_counts(self, kind: str, acquired: Floats) -> Floats:
        """Save raw intensities as whole counts of the camera; return them as read back from the file."""
        path = self._path / f"counterfactual_{kind}.ome.tif"
        write_counts(path, acquired, self.package.channels, self.package.scale["full_scale"])
        return np.concatenate([read_image(path, page) for page in range(len(acquired))]).astype(np.float32)

    def write_pictures(self, raw: Floats, found: FieldExplanation) -> dict[str, str]:
        """Draw the field and its explanations; return paths by name.

        Args:
            raw: Raw intensities of the field (C, S, S).
            found: Explanation with images, maps and frames; each map's value at full colour and the share of its
                pixels beyond it are added to its numbers.
        """
        pictures = {"image": self._save_png("image", self._draw(raw))} | self._write_channels(raw)
        for key, image in found.images.items():
            pictures[key] = self._save_png(key, self._draw(image))
        for key, heat in found.maps.items():
            limit, shown = select_colour_limit(key, self.colour_limits), smooth_map(key, heat)
            found.numbers[f"{key}_full_colour"] = limit
            found.numbers[f"{key}_clipped"] = float((np.abs(shown) > limit).mean())
            pictures[key] = self._save_png(key, heatmap_overlay(self._draw(raw), shown, limit))
        for key, curve in found.curves.items():
            pictures[key] = self._save_curve(key, curve, str(found.numbers[JobColumn.TARGET]))
        for key, frames in found.frames.items():
            drawn = [self._draw(frame) for frame in frames]
            titles = [f"{100 * step / (len(drawn) - 1):.0f} %" for step in range(len(drawn))]
            pictures[f"{key}_strip"] = self._save_png(key, picture_strip(drawn, titles))
            film = write_gif(self._path / f"{key}.gif", ping_pong_frames(drawn), 150)
            pictures[f"{key}_film"] = self._relative_path(film)
        return pictures

    def write_sweep(self, found: FieldExplanation, frames: Floats, alphas: Sequence[float]) -> dict[str, str]:
        """Draw the path to a counterfactual and past it, as a strip and as films; return paths by name.

        Args:
            found: Explanation; the path of the MP4, or the reason why there is none, is added to its numbers.
            frames: Raw intensities, shape (S, C, S', S').
            alphas: Length of the step to each frame, S of them.
        """
        drawn = [self._draw(frame) for frame in frames]
        titles = [f"alpha {length:.2f}" for length in alphas]
        film = ping_pong_frames(drawn)
        pictures = {
            "sweep_strip": self._save_png("sweep", picture_strip(drawn, titles)),
            "sweep_film": self._relative_path(write_webp(self._path / "sweep.webp", film)),
        }
        try:
            found.numbers["sweep_video"] = self._relative_path(write_mp4(self._path / "sweep.mp4", film))
        except LeighError as error:  # a view for slides; strip and WebP show the same
            found.numbers["sweep_note"] = str(error)
        return pictures

    def _write_channels(self, raw: Floats) -> dict[str, str]:
        """Draw each channel of the field, if it has more than one."""
        names, limits = self.package.channels, self.package.about["display_limits"]
        drawn = [(place, name) for place, name in enumerate(names) if name in channel_colours(names)]
        if len(drawn) < 2:
            return {}
        return {
            f"image_{name}": self._save_png(f"image_{number}", composite(raw[[place]], [name], [limits[place]]))
            for number, (place, name) in enumerate(drawn, start=1)
        }

    def _draw(self, raw: Floats) -> Rgb:
        return composite(raw, self.package.channels, self.package.about["display_limits"])

    def _save_curve(self, name: str, curve: MaskCurve, target: str) -> str:
        scores = {"this network" if each == NETWORK else each: values for each, values in curve.scores.items()}
        smallest = curve.smallest.share if curve.smallest else None
        figure = mask_curve_figure(curve.shares, scores, target=target, smallest=smallest)
        return self._relative_path(save_figure(figure, self._path / f"{name}.png"))

    def _save_png(self, name: str, picture: Rgb) -> str:
        return self._relative_path(write_png(self._path / f"{name}.png", picture))

    def _relative_path(self, path: Path) -> str:
        return path.relative_to(self.out).as_posix()


def picture_files(record: Mapping[str, Any]) -> set[str]:
    """Return the files of a field that its record names, and those of its counterfactuals, relative to the job."""
    pictures: Mapping[str, str] = record["pictures"]
    saved = {
        f"{Path(pictures[name]).with_suffix('.tif')}"
        for name in map(COUNTERFACTUAL, COUNTERFACTUAL_KINDS)
        if name in pictures
    }
    video = record["numbers"].get("sweep_video")
    return {*pictures.values(), *saved} | ({video} if video else set())


def has_pictures(out: Path, record: Mapping[str, Any]) -> bool:
    """Return whether a job's folder has all files of a field, see `picture_files`."""
    folder = out / "images" / record["field"]
    names = os.listdir(folder) if folder.is_dir() else []
    return {f"images/{record['field']}/{name}" for name in names} >= picture_files(record)
