"""Writing to the runs of a store."""

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from PIL import Image

from leigh_mlops.events import rename_old_metrics
from leigh_mlops.report.style import save_figure
from leigh_mlops.tracking.artifact_links import changed_files, link_files
from leigh_mlops.tracking.store_errors import translate_store_errors

__all__ = ["GridImage", "NOTE", "Measurement", "Run", "tag_text", "tag_texts"]

NOTE = MLFLOW_RUN_NOTE
"""Tag that holds the note of a run, in Markdown."""

_METRICS_AT_ONCE = 1000


@dataclass(frozen=True)
class Measurement:
    """A metric at a time (seconds since 1970); delivered twice, it is stored once."""

    name: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class GridImage:
    """Place of a figure in the image grid of MLflow's UI.

    Attributes:
        key: Name by which the grid shows the images of several runs side by side; unusual characters become ``-``.
        at: Moment in seconds since 1970.
    """

    key: str
    at: float


class Run:
    """A run that is written to; each call returns once its data is in the store."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; they can't be changed later."""
        entries = [Param(_metric_key(key), tag_text(value)) for key, value in params.items()]
        with translate_store_errors(self.client):
            self.client.log_batch(self.id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0, *, at: float | None = None) -> None:
        """Log metrics of one time, by default now; values that are not finite are left out."""
        moment = time.time() if at is None else at
        finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
        self.log_measurements([Measurement(name, value, step, moment) for name, value in finite.items()])

    def log_measurements(self, measured: Sequence[Measurement]) -> None:
        """Log metrics of several times at once."""
        entries = [
            Metric(_metric_key(each.name), float(each.value), int(1000 * each.time), each.step) for each in measured
        ]
        for start in range(0, len(entries), _METRICS_AT_ONCE):
            with translate_store_errors(self.client):
                self.client.log_batch(self.id, metrics=entries[start : start + _METRICS_AT_ONCE])

    def log_dataset(self, name: str, digest: str, facts: Mapping[str, Any], context: str) -> None:
        """Log a data set as MLflow's UI shows it: ``digest`` identifies it, ``context`` is its purpose."""
        profile = json.dumps({key: value for key, value in facts.items() if not isinstance(value, str)})
        source = json.dumps({key: value for key, value in facts.items() if isinstance(value, str)})
        dataset = Dataset(name, digest, source_type="local", source=source, profile=profile)
        used = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        with translate_store_errors(self.client):
            self.client.log_inputs(self.id, [used])

    def history(self) -> list[Measurement]:
        """All logged metrics, by name and step."""
        with translate_store_errors(self.client):
            names = sorted(self.client.get_run(self.id).data.metrics)
            found = [metric for name in names for metric in self.client.get_metric_history(self.id, name)]
        return [Measurement(metric.key, metric.value, metric.step, metric.timestamp / 1000) for metric in found]

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set or change tags; values that say nothing are left out, see :func:`tag_texts`."""
        with translate_store_errors(self.client):
            self.client.log_batch(self.id, tags=[RunTag(key, text) for key, text in tag_texts(tags).items()])

    def set_note(self, text: str) -> None:
        """Set the note on what the run is, in Markdown."""
        self.set_tags({NOTE: text})

    def remove_tag(self, name: str) -> None:
        """Remove a tag, if the run has it."""
        if name not in self.tags():
            return
        with translate_store_errors(self.client):
            try:
                self.client.delete_tag(self.id, name)
            except MlflowException as error:
                # MLflow's client repeats a request whose answer was lost.
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise

    def metrics(self) -> dict[str, float]:
        """Latest value of each metric of the run, by its present name."""
        with translate_store_errors(self.client):
            return rename_old_metrics(self.client.get_run(self.id).data.metrics)

    def tags(self) -> dict[str, str]:
        """Current tags of the run."""
        with translate_store_errors(self.client):
            return dict(self.client.get_run(self.id).data.tags)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a folder, to the run's artifacts."""
        with translate_store_errors(self.client):
            if path.is_dir():
                self.client.log_artifacts(self.id, str(path), folder)
            else:
                self.client.log_artifact(self.id, str(path), folder)

    def log_folder(self, folder: Path, since_ns: int = 0) -> None:
        """Log the files of a folder that stays; those of an embedded store are links to them where that is possible.

        Args:
            folder: The folder, without hidden files.
            since_ns: Moment of the file system, in nanoseconds since 1970, before which all were logged to this run.
        """
        with translate_store_errors(self.client):
            artifacts = str(self.client.get_run(self.id).info.artifact_uri)
            if str(self.client.tracking_uri).startswith("sqlite:") and artifacts.startswith("file:"):
                link_files(folder, Path(local_file_uri_to_path(artifacts)))
                return
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
                for file in changed_files(folder, since_ns):
                    place = Path(temporary, file.relative_to(folder))
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(file.absolute())
                self.client.log_artifacts(self.id, temporary)

    def log_figure(self, figure: Any, name: str, *, grid: GridImage | None = None) -> None:  # noqa: ANN401
        """Log a matplotlib figure under a path that ends in ``.png``, and in the image grid if it has a place."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            path = Path(temporary) / Path(name).name
            save_figure(figure, path)
            self.log_file(path, str(Path(name).parent))
            if grid:
                self._log_image(path, grid)

    def log_image(self, figure: Any, grid: GridImage) -> None:  # noqa: ANN401
        """Log a matplotlib figure for the image grid of MLflow's UI."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            self._log_image(save_figure(figure, Path(temporary) / "image.png"), grid)

    def _log_image(self, picture: Path, grid: GridImage) -> None:
        """Log a picture for the image grid, once; at step 0, since the grid shows the images of one step alone."""
        name = re.sub(r"[^a-zA-Z0-9_\-. ]", "-", grid.key)
        with translate_store_errors(self.client), Image.open(picture) as image:
            logged = [entry.path for entry in self.client.list_artifacts(self.id, "images")]
            # MLflow writes a smaller copy last; each has a random part in its name.
            if any(path.startswith(f"images/{name}+step+0+") and path.endswith(".webp") for path in logged):
                return
            moment = int(1000 * grid.at)
            self.client.log_image(self.id, image, key=name, step=0, timestamp=moment, synchronous=True)

    def log_text(self, text: str, name: str) -> None:
        """Log a text under a path."""
        with translate_store_errors(self.client):
            self.client.log_text(self.id, text, name)

    def end(self, status: str = "FINISHED", at: float | None = None) -> None:
        """End the run as ``FINISHED``, ``FAILED`` or ``KILLED``, now or at a time in seconds since 1970."""
        with translate_store_errors(self.client):
            self.client.set_terminated(self.id, status, end_time=None if at is None else int(1000 * at))

    def delete(self) -> None:
        """Delete the run; MLflow can restore it."""
        with translate_store_errors(self.client):
            self.client.delete_run(self.id)

    def resume(self) -> None:
        """Set an ended run to running again."""
        with translate_store_errors(self.client):
            self.client.update_run(self.id, status="RUNNING")


def _metric_key(name: str) -> str:
    """Replace characters of a metric name, which may contain class names, that MLflow does not accept."""
    return re.sub(r"[^\w\-. /:]", "-", name)


def tag_text(value: Any) -> str:  # noqa: ANN401
    """Text of a tag or a parameter: strings as they are, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def tag_texts(tags: Mapping[str, Any]) -> dict[str, str]:
    """Texts of tags, without those that say nothing.

    Example:
        >>> tag_texts({"data": "plate", "demo": False, "error": "", "git": "unknown", "stopped": None})
        {'data': 'plate', 'demo': 'false'}
    """
    return {key: tag_text(value) for key, value in tags.items() if value not in ("", "unknown", None)}
