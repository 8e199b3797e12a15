"""Description of a model: what it was trained for, its scores beside the references, and warnings."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leigh_mlops.events import rename_old_metrics
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.sentences import Z_PRIME_NOTE, metric_name

__all__ = ["ModelCard", "read_card"]

Scores = Mapping[str, float]

_SHOWN_SCORES = ("wells/accuracy", "wells/auc", "wells/log_loss", "wells/z_prime_log_odds", "wells/z_prime", "mse")
_DEMO = "The model was trained on a demo plate, so its scores say nothing about real cells."


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
            "classes": ", ".join(spec.classes) if package.model.task == "classify" else "none: it reconstructs",
            "channels": ", ".join(package.channels),
            "image size": f"{spec.image_size} x {spec.image_size} pixels",
            "full scale": f"{package.scale['full_scale']} ({'8' if package.scale['full_scale'] < 256 else '16'} bits)",
            "scaled by": level,
        }

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


def _format_score(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _html_row(name: str, values: Sequence[str], align: str) -> str:
    cells = "".join(f'<td style="text-align: {align}">{_escape(value)}</td>' for value in values)
    return f'<tr><th style="text-align: left">{_escape(name)}</th>{cells}</tr>'


def _escape(text: object) -> str:
    return html.escape(str(text))
