"""Description of a model: what it was trained for, its scores beside the references, and warnings."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leigh_mlops import __version__
from leigh_mlops.events import rename_old_metrics
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import NO_CLASS, Metadata
from leigh_mlops.report.job.citations import bibtex_entries
from leigh_mlops.report.sentences import Z_PRIME_NOTE, format_count, metric_name
from leigh_mlops.training import PARTS, PreparedData

__all__ = ["ModelCard", "count_parts", "read_card"]

Scores = Mapping[str, float]

_SHOWN_SCORES = (
    "wells/accuracy", "wells/balanced_accuracy", "wells/majority_share", "wells/auc", "wells/log_loss",
    "wells/z_prime_log_odds", "wells/z_prime", "mse",
)  # fmt: skip
_PARTS = dict(zip(PARTS, ("trained on", "chosen on", "tested on"), strict=True))
_DEMO = "The model was trained on a demo plate, so its scores say nothing about real cells."


def _describe_classes(task: str, classes: Sequence[str]) -> str:
    if task == "reconstruct":
        return "none: it reconstructs"
    return f"none: it names {len(classes)} clusters" if task == "cluster" else ", ".join(classes)


@dataclass(frozen=True)
class ModelCard:
    """Facts about a model.

    Attributes:
        name: Registered version or folder.
        package: The model.
        scores: By name of the model or reference, its scores.
        scored: Fields of which these are the scores.
        warnings: Sentences to read before any score.
    """

    name: str
    package: ModelPackage
    scores: Mapping[str, Scores] = field(default_factory=dict)
    scored: str = "validation"
    warnings: Sequence[str] = ()

    def facts(self) -> dict[str, str]:
        """Facts by name, as texts."""
        spec, package = self.package.model.spec, self.package
        level = "each plate's negative controls" if package.scale.get("controls") else "the training wells"
        return {
            "family": spec.family,
            "classes": _describe_classes(package.model.task, spec.classes),
            "channels": ", ".join(package.channels),
            "image size": f"{spec.image_size} x {spec.image_size} pixels",
            "full scale": f"{package.scale['full_scale']} ({'8' if package.scale['full_scale'] < 256 else '16'} bits)",
            "scaled by": level,
            **_describe_width(package),
            **({"adapted to plates by": "each plate's negative controls"} if package.is_adapted else {}),
        } | _describe_parts(package.about)

    def score_rows(self) -> tuple[list[str], dict[str, list[str]]]:
        """Names of the scores that are shown, and their values as texts by the name of the model or reference."""
        shown = [name for name in _SHOWN_SCORES if any(name in scores for scores in self.scores.values())]
        rows = {name: [_format_score(scores.get(score)) for score in shown] for name, scores in self.scores.items()}
        return [metric_name(name.removeprefix("wells/")) for name in shown], rows

    def notes(self) -> list[str]:
        """Sentences on how to read the scores."""
        return [Z_PRIME_NOTE] if any("wells/z_prime" in scores for scores in self.scores.values()) else []

    def __str__(self) -> str:
        lines = [f"Model {self.name}", *(f"  {name}: {text}" for name, text in self.facts().items())]
        names, rows = self.score_rows()
        if names:
            lines.append(f"  scores, {self.scored}:")
            for name, values in rows.items():
                lines.append(f"    {name}: {', '.join(map(' '.join, zip(names, values, strict=True)))}")
            lines += [f"  {note}" for note in self.notes()]
        return "\n".join([*lines, *(f"  Warning: {sentence}" for sentence in self.warnings)])

    def to_markdown(self) -> str:
        """Markdown of the card, as MLflow's UI shows it, with how to use and cite the model; names are escaped."""
        warnings = [f"**Warning:** {_escape_markdown(sentence)}" for sentence in self.warnings]
        facts = _markdown_table(["", ""], {name: [text] for name, text in self.facts().items()})
        names, rows = self.score_rows()
        scores = [f"### Scores on {self.scored}", _markdown_table(["", *names], rows), *self.notes()] if names else []
        usage = ["### Use", f"```\n{self._commands()}\n```", self._request()]
        return "\n\n".join([*warnings, facts, *scores, *usage, "### Cite", f"```\n{self._citation()}\n```"])

    def _commands(self) -> str:
        commands = (f"python -m leigh_mlops.explain {self.name} --data PLATE --out OUT",)
        return "\n".join([*commands, f"mlflow models serve --model-uri {self.name}"])

    def _request(self) -> str:
        channels = ", ".join(map(_escape_markdown, self.package.channels))
        text = (
            'A request to the server is `{"inputs": [IMAGE, …]}` with raw counts of the camera: each image is a list '
            f"of its channels ({channels}), each channel a list of rows, of any size; of rectangular images the centre "
            "square is taken. The input example of the model is a field of its own plate."
        )
        if self.package.field_width_um is not None:
            text += ' The edge of a pixel in µm comes with it: `"params": {"pixel_size_um": 0.65}`.'
        if not self.package.scale.get("controls"):
            return text
        return (
            f'{text} The plate\'s level comes with it: `"params": {{"controls": [0, 1, …]}}` names the images that are '
            "negative controls of the plate. The answer has offset and gain of each channel, which later requests for "
            'the plate pass as `"params": {"adjustment": […]}`.'
        )

    def _citation(self) -> str:
        about = self.package.about
        prints = {name: about.get(f"{name}_fingerprint") for name in ("data", "split")}
        known = [f"{name} {value}" for name, value in prints.items() if re.fullmatch(r"\w{1,64}", str(value))]
        note = ", ".join([f"model {self.name}", *known])
        own = (
            "@software{leigh_mlops, author={{leigh_mlops contributors}}, title={leigh_mlops}, "
            f"version={{{__version__}}}, note={{{note}}}}}"
        )
        return "\n".join([own, *bibtex_entries([self.package.model.spec.family])])

    def to_html(self) -> str:
        """HTML of the card; every text is escaped."""
        facts = "".join(_html_row(name, [text], "left") for name, text in self.facts().items())
        names, rows = self.score_rows()
        heads = "".join(f"<th>{_escape(name)}</th>" for name in [self.scored, *names])
        scores = "".join(_html_row(name, values, "right") for name, values in rows.items())
        table = f"<table><tr>{heads}</tr>{scores}</table>" if names else ""
        table += "".join(f"<p>{_escape(note)}</p>" for note in self.notes())
        warnings = "".join(f"<p><strong>Warning:</strong> {_escape(sentence)}</p>" for sentence in self.warnings)
        return f"<div><p><strong>{_escape(self.name)}</strong></p>{warnings}<table>{facts}</table>{table}</div>"


def read_card(package: ModelPackage, name: str) -> ModelCard:
    """Card of a package by what it stores: validation scores; those of references stand in the registry."""
    stored = package.about.get("val")
    known = stored.items() if isinstance(stored, dict) else ()
    # What a foreign package holds under this name may be anything.
    numbers = {str(key): float(value) for key, value in known if isinstance(value, int | float)}
    scores = {key.removeprefix("val/"): value for key, value in rename_old_metrics(numbers).items()}
    return ModelCard(
        name=name,
        package=package,
        scores={"this model": scores} if scores else {},
        scored="validation wells, on which its epoch was chosen",
        warnings=[_DEMO] if package.about.get("demo") else [],
    )


def count_parts(data: PreparedData) -> dict[str, Any]:
    """Count plates, fields and wells by class of each part of some data, as a package stores them."""
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)
    counts = {}
    for part in PARTS:
        rows = data.rows(part)
        by_class = zip(
            data.classes,
            (data.wells[rows[data.labels[rows] == label]] for label in range(len(data.classes))),
            strict=True,
        )
        wells = {name: len(np.unique(known)) for name, known in by_class}
        if len(unnamed := rows[data.labels[rows] < 0]):
            wells[NO_CLASS] = len(np.unique(data.wells[unnamed]))
        counts[part] = {"plates": len(np.unique(plates[rows])), "fields": len(rows), "wells": wells}
    return counts


def _describe_width(package: ModelPackage) -> dict[str, str]:
    """Width of the fields of the training, if it is known."""
    width = package.about.get("field_um")
    if width is None:
        return {}
    return {"fields": f"{width:.4g} µm wide, {'cut out of each' if package.field_width_um else 'as imaged'}"}


def _describe_parts(about: Mapping[str, Any]) -> dict[str, str]:
    """Facts on the data of a package; none where it stores none, or something else under their name."""
    facts = {"data": about["data"]} if isinstance(about.get("data"), str) else {}
    parts = about.get("parts")
    for part, name in _PARTS.items():
        stored = parts.get(part) if isinstance(parts, dict) else None
        if not isinstance(stored, dict) or not isinstance(stored.get("wells"), dict):
            continue
        by_class = {str(key): number for key, number in stored["wells"].items() if isinstance(number, int)}
        fields, plates = (int(stored.get(unit) or 0) for unit in ("fields", "plates"))
        wells = format_count(sum(by_class.values()), "well")
        classes = ", ".join(f"{key} {number}" for key, number in by_class.items())
        facts[name] = f"{wells} ({classes}) of {format_count(plates, 'plate')}, {format_count(fields, 'field')}"
    return facts


def _markdown_table(heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = [list(heads), ["---"] * len(heads), *([name, *values] for name, values in rows.items())]
    return "\n".join(f"| {' | '.join(map(_escape_markdown, line))} |" for line in lines)


def _escape_markdown(text: object) -> str:
    """Text as one line of Markdown that shows it as it is."""
    plain = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)


def _format_score(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _html_row(name: str, values: Sequence[str], align: str) -> str:
    cells = "".join(f'<td style="text-align: {align}">{_escape(value)}</td>' for value in values)
    return f'<tr><th style="text-align: left">{_escape(name)}</th>{cells}</tr>'


def _escape(text: object) -> str:
    return html.escape(str(text))
