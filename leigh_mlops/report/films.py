"""Films of pictures: animated WebP and MP4."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.report.image_files import Rgb, atomic_write, require_one_size

__all__ = ["ping_pong_frames", "write_mp4", "write_webp"]

CODEC = "mp4v"


def ping_pong_frames(frames: Sequence[Rgb]) -> list[Rgb]:
    """Append the frames between the ends in reverse order, so that a looping film never jumps.

    Example:
        >>> [frame.size for frame in ping_pong_frames([np.zeros(n, np.uint8) for n in (1, 2, 3)])]
        [1, 2, 3, 2]
    """
    return [*frames, *frames[-2:0:-1]]


def write_webp(path: Path, frames: Sequence[Rgb], milliseconds: int = 150) -> Path:
    """Write pictures of one size as a lossless WebP that loops for ever.

    Args:
        path: The file to write.
        frames: RGB (H, W, 3), 0 to 255. Equal frames in a row may become one that is shown longer.
        milliseconds: Duration of one frame, at least 1.

    Raises:
        ValueError: There is no frame, or the sizes differ.
    """
    require_one_size(frames)
    pages = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    with atomic_write(path) as temporary:
        pages[0].save(
            temporary, format="WEBP", save_all=True, append_images=pages[1:], duration=milliseconds, loop=0,
            lossless=True,
        )  # fmt: skip
    return path


def write_mp4(path: Path, frames: Sequence[Rgb], milliseconds: int = 150) -> Path:
    """Write pictures of one size as a film for slides, MPEG-4 part 2; no program beside OpenCV is needed.

    The film is for viewing: its colours are compressed. An odd width or height loses its last pixel,
    since the format allows even sizes only.

    Args:
        path: The file to write.
        frames: RGB (H, W, 3), 0 to 255, at least 2 pixels wide and high.
        milliseconds: Duration of one frame, at least 1.

    Raises:
        LeighError: This OpenCV cannot write such films.
        ValueError: There is no frame, or the sizes differ.
    """
    require_one_size(frames)
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with atomic_write(path) as temporary:
        film = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*CODEC), 1000 / milliseconds, (width, height))
        for frame in frames:
            film.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
        film.release()
        # OpenCV raises no error for a missing codec; it writes nothing, or too few frames.
        if _count_frames(temporary) != len(frames):
            raise LeighError(
                f"{path.name} cannot be written, as this OpenCV ({cv2.__version__}) lacks the codec {CODEC};"
                " install opencv-python-headless from its own wheel, or take the WebP."
            )
    return path


def _count_frames(path: Path) -> int:
    film, count = cv2.VideoCapture(str(path)), 0
    while film.grab():
        count += 1
    film.release()
    return count
