"""A trained model in a notebook: predictions, heatmaps and counterfactuals of raw images."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leigh_mlops.api.field_sources import FieldSource, open_fields
from leigh_mlops.api.results import Counterfactuals, Heatmaps
from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import (
    MAP_METHODS,
    ExplanationContext,
    FieldExplanation,
    map_names,
    map_unit,
    require_capabilities,
    select_explainers,
)
from leigh_mlops.explanations.prepared_field import Field
from leigh_mlops.images import invert_adjustment
from leigh_mlops.job_columns import PROBABILITY, JobColumn, counterfactual_family
from leigh_mlops.jobs.counterfactual_metrics import explain_and_save, measure_changes
from leigh_mlops.jobs.options import ExplainOptions, resolve_options
from leigh_mlops.jobs.oracle_evaluation import OracleEvaluation
from leigh_mlops.jobs.reporting.captions import field_title
from leigh_mlops.jobs.saved_counterfactual import SavedCounterfactual
from leigh_mlops.jobs.validation import check_options
from leigh_mlops.jobs.worker import check_prediction, fit_batch_size
from leigh_mlops.models import load_to_device
from leigh_mlops.models.engine_choice import choose_engine
from leigh_mlops.report.image_files import round_trip_tiff16
from leigh_mlops.study.model_card import ModelCard, read_card

__all__ = ["Model", "load"]

Floats = npt.NDArray[np.float32]

_REGISTRY = "models:/"
_CHANNEL_MAPS = "occlusion_channels"
_FIRST_MEASURES = (
    "predicted", "target", "class", "probability", "valid", "status", "reencoding_error", "clipped", "changed",
)  # fmt: skip


def load(
    model: str | os.PathLike[str],
    *,
    store: str | None = None,
    require_signature: str | os.PathLike[str] | None = None,
    engine: str = "torch",
    precision: str = "fp32",
) -> "Model":
    """Load a trained model; its network is put on the GPU if there is one.

    Args:
        model: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` of a registered version, or the folder of a package.
        store: Address of an MLflow server, or folder of an embedded store; by default ``./mlruns``.
        require_signature: File of a public key (PEM); a model without a signature by it is refused. That of a folder
            is ``signature.json`` beside it.
        engine: Engine of predictions: ``torch``, ``fused`` (convolutions in one pass with what follows them) or
            ``openvino`` (an extra); heatmaps and counterfactuals are computed by PyTorch in any case.
        precision: Its precision, ``fp32`` or ``bf16``, which changes probabilities in the second or third digit.

    Raises:
        LeighError: There is no such model, it is damaged or not as it was registered, or it has no such signature.
    """
    key = None if require_signature is None else Path(require_signature)
    if str(model).startswith(_REGISTRY):
        # A folder needs no MLflow, which a machine that only predicts may lack.
        from leigh_mlops.api.registered import load_registered

        return Model(load_registered(str(model), store, key)).with_engine(engine, precision)
    folder = Path(model)
    if not folder.is_dir():
        raise LeighError(
            f"{folder} is not a folder; give the folder of a model package, or the address of a registered version, "
            "such as models:/leigh-iresnet@champion."
        )
    if key is not None:
        from leigh_mlops.tracking.package_seal import require_seal

        require_seal(folder, key, str(folder))
    return Model(read_card(load_to_device(folder), str(folder))).with_engine(engine, precision)


@dataclass(frozen=True)
class _Explained:
    row: int
    field: Field
    explanation: FieldExplanation
    saved: SavedCounterfactual | None


class Model:
    """A trained model, made by `load`.

    ``images`` are everywhere an image table, such as `read_plate` returns, or raw arrays: uint8 or uint16 counts as the
    camera wrote them, (N, C, H, W) of any size, or a list of (C, H, W). Of rectangular ones the centre
    square is taken. Size, bit depth, channels and the
    level of the plate are handled as the ``explain`` command does. ``channels`` names the channels of arrays where
    they are not the model's in its order. ``controls`` is for models that are scaled by controls: the table of the
    whole plate, or raw arrays of its negative controls; other models ignore it. ``pixel_size_um`` is for arrays: a
    model that was trained on squares of one width in µm needs it to cut them.

    Attributes:
        card: Facts about the model.
        package: The network with its intensity scale, class means and arrays.
    """

    def __init__(self, card: ModelCard) -> None:
        self.card, self.package = card, card.package

    def with_engine(self, engine: str, precision: str = "fp32") -> "Model":
        """Return the model with another engine for its predictions, see `load`.

        Raises:
            LeighError: The engine is unknown, not installed, or does not fit the network.
        """
        chosen = choose_engine(self.package, None, engine, precision).engine
        if chosen == self.package.engine:
            return self
        return Model(replace(self.card, package=replace(self.package, engine=chosen)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.package.model.spec.classes

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in the order of the axis C."""
        return self.package.channels

    @property
    def image_size(self) -> int:
        """Side of the model's images in pixels; others are resized by area averaging."""
        return self.package.model.spec.image_size

    def __repr__(self) -> str:
        return str(self.card)

    def _repr_html_(self) -> str:
        return self.card.to_html()

    def predict(
        self,
        images: Any,  # noqa: ANN401
        *,
        channels: Sequence[str] | None = None,
        controls: Any = None,  # noqa: ANN401
        pixel_size_um: float | None = None,
    ) -> pd.DataFrame:
        """Predict the class of each image.

        Args:
            images: Image table or raw arrays.
            channels: Channels of arrays.
            controls: Negative controls of the plate.
            pixel_size_um: Edge of a pixel of arrays in µm.

        Returns:
            One row per image, for a table with its index and its Metadata columns: ``predicted``,
            ``probability_<class>``, and ``seen``, whether the model was trained or chosen with these pixels. An image
            of a table that can't be read has a ``failure`` instead.

        Raises:
            LeighError: The images do not fit the model, or none can be read.
        """
        require_capabilities(self.package.model, ("classify",), "a prediction")
        source = open_fields(self.package, images, channels, controls, pixel_size_um)
        names = [JobColumn.PREDICTED, *map(PROBABILITY, self.classes)]
        records: list[dict[str, Any]] = [{} for _ in source.index]
        failures: dict[int, LeighError] = {}
        skipped = failures if isinstance(images, pd.DataFrame) else None
        for one in self._explain(source, (), ExplanationContext(), skipped):
            records[one.row] = {name: one.explanation.numbers[name] for name in names} | {"seen": one.field.seen}
        if len(failures) == len(records):
            raise failures[0]
        for row, error in failures.items():
            records[row] = {"failure": str(error)}
        columns = [*names, "seen", *(["failure"] if failures else [])]
        return pd.concat([source.metadata, pd.DataFrame(records, columns=columns, index=source.index)], axis=1)

    def reconstruct(
        self,
        images: Any,  # noqa: ANN401
        *,
        channels: Sequence[str] | None = None,
        controls: Any = None,  # noqa: ANN401
        pixel_size_um: float | None = None,
    ) -> Floats:
        """Reconstruct each image from its latents.

        Args:
            images: Image table or raw arrays.
            channels: Channels of arrays.
            controls: Negative controls of the plate.
            pixel_size_um: Edge of a pixel of arrays in µm.

        Returns:
            Raw intensities in the units of the acquisition on the grid of the model's images, shape (N, C, h, w).

        Raises:
            LeighError: The model cannot reconstruct, or the images do not fit it.
        """
        explainers = select_explainers(self.package.model, ("reconstruction",))
        source = open_fields(self.package, images, channels, controls, pixel_size_um)
        found = self._explain(source, explainers, ExplanationContext())
        return np.stack(
            [invert_adjustment(one.explanation.images["reconstruction"], one.field.adjust) for one in found]
        )

    def heatmap(
        self,
        images: Any,  # noqa: ANN401
        method: str = "integrated_gradients",
        target: str | None = None,
        *,
        channels: Sequence[str] | None = None,
        controls: Any = None,  # noqa: ANN401
        pixel_size_um: float | None = None,
        window: int = 15,
        stride: int = 6,
    ) -> Heatmaps:
        """Map where each image speaks for a class.

        Args:
            images: Image table or raw arrays.
            method: ``integrated_gradients``, ``smooth_grad``, ``grad_cam``, ``guided_grad_cam``, ``deep_lift``,
                ``lrp``, ``occlusion``, ``occlusion_<channel>`` or ``prediction_difference``.
            target: Class whose logit is explained; by default the predicted one.
            channels: Channels of arrays.
            controls: Negative controls of the plate.
            pixel_size_um: Edge of a pixel of arrays in µm.
            window: Side of the window of ``occlusion`` and ``prediction_difference`` in pixels.
            stride: Step of that window in pixels.

        Raises:
            LeighError: The method is unknown or does not fit the model, or the images do not fit it.
        """
        explainer = self._map_explainer(method)
        check_options(ExplainOptions(target=target, window=window, stride=stride), self.package, (explainer,))
        source = open_fields(self.package, images, channels, controls, pixel_size_um)
        context = ExplanationContext(target=target, window=window, stride=stride)
        found = list(self._explain(source, (explainer,), context))
        table = pd.DataFrame([_map_numbers(one.explanation, method) for one in found], index=source.index)
        return Heatmaps(
            maps=np.stack([one.explanation.maps[method] for one in found]),
            method=method,
            unit=map_unit(method),
            table=table,
            images=np.stack([one.field.raw for one in found]),
            titles=_titles(source),
            package=self.package,
        )

    def counterfactual(
        self,
        images: Any,  # noqa: ANN401
        target: str | None = None,
        *,
        confidence: float | None = None,
        kind: str | None = None,
        channels: Sequence[str] | None = None,
        controls: Any = None,  # noqa: ANN401
        pixel_size_um: float | None = None,
    ) -> Counterfactuals:
        """Make each image as it would look in another class, and verify it as a 16-bit file would hold it.

        Args:
            images: Image table or raw arrays.
            target: The other class; by default the second most probable.
            confidence: Probability of the target that ``confident`` ones have, above 0.5 and below 1; by default the
                median of the class's real training fields.
            kind: ``typical`` (the default of models with transport), ``confident``, ``boundary`` (as probable as the
                largest other class), ``alpha_0`` or ``alpha_1``.
            channels: Channels of arrays.
            controls: Negative controls of the plate.
            pixel_size_um: Edge of a pixel of arrays in µm.

        Raises:
            LeighError: The model makes no counterfactuals, an option is unknown, or the images do not fit the model.
        """
        (explainer,) = select_explainers(self.package.model, ("counterfactual",))
        asked = () if kind is None else (kind,)
        options = resolve_options(
            ExplainOptions(target=target, counterfactual=asked, confidence=confidence), self.package
        )
        kind = options.counterfactual[-1]
        check_options(options, self.package, (explainer,))
        source = open_fields(self.package, images, channels, controls, pixel_size_um)
        context = ExplanationContext(target=target, kinds=(kind,), confidence=confidence, change_maps=False)
        found = list(self._explain(source, (explainer,), context))
        nothing = np.full_like(found[0].field.acquired, np.nan)
        return Counterfactuals(
            images=np.stack([nothing if one.saved is None else one.saved.acquired for one in found]),
            measures=self._measure(found, kind, confidence).set_axis(source.index),
            kind=kind,
            fields=[one.field for one in found],
            titles=_titles(source),
            package=self.package,
        )

    def _map_explainer(self, method: str) -> str:
        """Name of the explainer that computes the map of a method."""
        by_map = {name: explainer for explainer in MAP_METHODS for name in map_names(explainer, self.channels)}
        if method not in by_map:
            raise LeighError(f"Unknown heatmap {method!r}; choose from {', '.join(by_map)}.")
        (explainer,) = select_explainers(self.package.model, (by_map[method],))
        return explainer

    @cached_property
    def _batch_size(self) -> int:
        return fit_batch_size(self.package.model, 1, float(torch.cuda.is_available()))

    def _explain(
        self,
        source: FieldSource,
        methods: Sequence[str],
        context: ExplanationContext,
        skipped: dict[int, LeighError] | None = None,
    ) -> Iterator[_Explained]:
        """Read and explain fields batch by batch; errors of single fields are put into ``skipped``, or raised."""
        # The memory of a batch takes seconds to estimate, which a single field does not need.
        size = self._batch_size if len(source.index) > 1 else 1
        for start in range(0, len(source.index), size):
            fields = list(_read_fields(source, range(start, start + size), skipped))
            if not fields:
                continue
            explained, saved = explain_and_save(self.package, fields, methods, context, _save)
            by_row = {each.field.row: each for each in saved}
            for field, explanation in zip(fields, explained, strict=True):
                try:
                    check_prediction(explanation)
                except LeighError as error:
                    _skip(field.row, error, skipped)
                else:
                    yield _Explained(field.row, field, explanation, by_row.get(field.row))

    def _measure(self, found: Sequence[_Explained], kind: str, confidence: float | None) -> pd.DataFrame:
        """Table of the columns that a job has of a kind of counterfactual, under their names without its prefix."""
        saved = [one.saved for one in found if one.saved is not None]
        for each in saved:
            each.explanation.numbers |= measure_changes(self.package, each, confidence)
        if saved:
            OracleEvaluation(self.package).evaluate(saved)
        rows = []
        for one in found:
            numbers = one.explanation.numbers
            row: dict[str, Any] = {"status": None}
            row |= {name: numbers[column] for name, column in counterfactual_family(kind).select(numbers).items()}
            row |= {"predicted": numbers[JobColumn.PREDICTED], "target": numbers.get(JobColumn.TARGET)}
            row["note"] = numbers.get(JobColumn.NOTE, row.get("note"))
            rows.append(row)
        table = pd.DataFrame(rows)
        last = [name for name in table if name not in (*_FIRST_MEASURES, "note")]
        return table.reindex(columns=[*_FIRST_MEASURES, *last, "note"])


def _read_fields(source: FieldSource, rows: range, skipped: dict[int, LeighError] | None) -> Iterator[Field]:
    for row in rows[: max(0, len(source.index) - rows.start)]:
        try:
            yield source.read(row)
        except LeighError as error:
            _skip(row, error, skipped)


def _skip(row: int, error: LeighError, skipped: dict[int, LeighError] | None) -> None:
    if skipped is None:
        raise error
    skipped[row] = error


def _save(_: Field, __: str, acquired: Floats) -> Floats:
    return round_trip_tiff16(acquired).astype(np.float32)


def _map_numbers(explanation: FieldExplanation, method: str) -> dict[str, Any]:
    """Predicted class, and the columns of a map under their names without its prefix."""
    numbers, prefix = explanation.numbers, f"{method}_"
    own = {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}
    return {"predicted": numbers["predicted"]} | own


def _titles(source: FieldSource) -> list[str]:
    if source.metadata.empty:
        return [f"image {number}" for number in source.index]
    return [field_title(row) for _, row in source.metadata.iterrows()]
