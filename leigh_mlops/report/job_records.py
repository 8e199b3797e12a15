"""What the report of a job is made from: plain records, nothing drawn yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

__all__ = ["FieldStory", "JobReport", "PlateMetric", "ReportPicture", "Step"]

Light = Literal["green", "amber", "red", ""]


@dataclass(frozen=True)
class ReportPicture:
    """A picture that the report shows.

    Attributes:
        path: Where it lies, relative to the job's folder, such as ``images/P1_B03_f1/image.png``.
        title: A few words over it.
        caption: What it shows and what its colours mean, in words; blind readers are told the same.
        warning: Why it may not be believed, such as a check that its method failed.
    """

    path: str
    title: str
    caption: str
    warning: str = ""


@dataclass(frozen=True)
class Step:
    """One still image on the way from an image to its counterfactual.

    Attributes:
        path: Where it lies, relative to the job's folder.
        name: Where on the way it stands, such as ``at the boundary``.
        probability: Of the class that the way leads to, 0 to 1; NaN where it is not known.
        light: Of its certificate; empty for the image itself.
    """

    path: str
    name: str
    probability: float
    light: Light = ""


@dataclass(frozen=True)
class FieldStory:
    """What a well's page tells of one field.

    Attributes:
        title: Which field.
        facts: What the model says of it; name to value.
        flags: Why it may not be trusted; empty for none.
        image: The field itself; None where it was not drawn.
        channels: The field in each of its channels.
        maps: Heatmaps.
        target: Class that the steps lead to.
        steps: From the image to the counterfactual, at least two or none.
        certificates: Heading to value, of each counterfactual.
        changes: Heading to value, of each measure: before, after, change.
        others: Films, strips and reconstructions.
        notes: Why something is missing.
    """

    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    flags: Sequence[str] = ()
    image: ReportPicture | None = None
    channels: Sequence[ReportPicture] = ()
    maps: Sequence[ReportPicture] = ()
    target: str = ""
    steps: Sequence[Step] = ()
    certificates: Sequence[Mapping[str, Any]] = ()
    changes: Sequence[Mapping[str, Any]] = ()
    others: Sequence[ReportPicture] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class PlateMetric:
    """What the wells of a plate can be coloured by.

    Attributes:
        column: Column of the table of wells.
        title: Its name, with its unit.
        meaning: One sentence on it.
        low: Value at the scale's lower end.
        high: Value at its upper end, above ``low``; what is beyond an end has the colour of the end.
        signed: Whether the scale runs in two colours from 0; ``low`` is then ``-high``.
        digits: Decimals of the values in the wells.
    """

    column: str
    title: str
    meaning: str = ""
    low: float = 0.0
    high: float = 1.0
    signed: bool = False
    digits: int = 2


@dataclass(frozen=True)
class JobReport:
    """All that a report can tell; what is left out has no section.

    Attributes:
        title: What was explained by what.
        warnings: What a reader must know before any picture.
        sentences: What was found, in plain words, the most important first.
        changes: What counterfactuals change, in sentences.
        details: Figures for those who look after the model, in sentences.
        facts: Numbers of the whole job; name to value.
        model: Name to value.
        fields: One row per field, with ``Metadata_Plate``, ``Metadata_Well`` and ``field``.
        wells: One row per well.
        well_columns: Columns of the table of wells on the first page; the others stand on the wells' own pages.
        metrics: What the plates can be coloured by, the first one first.
        stories: By the ``field`` of a row.
        hits: One row per compound, or per well.
        group: Column of ``wells`` and of ``hits`` and ``doses`` that says which wells a row is of; empty for none.
        plates: One row per plate.
        doses: One row per compound and dose.
        scores: Name to scores: the model beside an intensity threshold and the position on the plate.
        calibration: Name to value; None where it is not known.
        methods: One row per method of explanation with the outcome of its checks.
        curves: Columns ``epoch``, ``metric`` (such as ``val/log_loss``) and ``value``.
        pictures: Of the whole job.
        failures: Columns ``path`` and ``reason``.
        columns: Meaning of each column, by name or pattern.
        rules: How something was decided; heading to paragraph.
        citation: How to cite it, in one sentence.
        references: BibTeX entries of the methods.
        downloads: File to what it holds, relative to the job's folder.
        root: Way from the report's folder to the job's.
    """

    title: str
    warnings: Sequence[str] = ()
    sentences: Sequence[str] = ()
    changes: Sequence[str] = ()
    details: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    fields: pd.DataFrame = field(default_factory=pd.DataFrame)
    wells: pd.DataFrame = field(default_factory=pd.DataFrame)
    well_columns: Sequence[str] = ()
    metrics: Sequence[PlateMetric] = ()
    stories: Mapping[str, FieldStory] = field(default_factory=dict)
    hits: pd.DataFrame = field(default_factory=pd.DataFrame)
    group: str = ""
    plates: pd.DataFrame = field(default_factory=pd.DataFrame)
    doses: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    methods: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    pictures: Sequence[ReportPicture] = ()
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    columns: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""
    references: Sequence[str] = ()
    downloads: Mapping[str, str] = field(default_factory=dict)
    root: str = ".."
