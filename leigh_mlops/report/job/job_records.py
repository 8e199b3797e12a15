"""Plain records from which the report of a job is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from leigh_mlops.report.table_columns import Columns

__all__ = [
    "CardExample",
    "CardSection",
    "CounterfactualStep",
    "FieldSection",
    "JobReport",
    "PlateMetric",
    "ReportPicture",
]

StepStatus = Literal["green", "amber", "red", ""]


@dataclass(frozen=True)
class ReportPicture:
    """Picture in a report.

    Attributes:
        path: Path of the file, relative to the job's folder, such as ``images/P1_B03_f1/image.png``.
        title: Short title shown above it.
        caption: Description of its content and colours, also used as alternative text.
        warning: Reason to distrust it, such as a check that its method failed.
    """

    path: str
    title: str
    caption: str
    warning: str = ""


@dataclass(frozen=True)
class CounterfactualStep:
    """Image on the path from an image to its counterfactual.

    Attributes:
        path: Path of the file, relative to the job's folder.
        name: Position on the path, such as ``at the boundary``.
        probability: Probability of the target class, 0 to 1; NaN if it is not known.
        status: Status of its verification; empty for the image itself.
        verdict: Verdict of independent classifiers; empty for none.
    """

    path: str
    name: str
    probability: float
    status: StepStatus = ""
    verdict: str = ""


@dataclass(frozen=True)
class FieldSection:
    """Section on one field of a well's page.

    Attributes:
        title: Title that identifies the field.
        facts: Results of the model; name to value.
        flags: Reasons to distrust the field; empty for none.
        image: Picture of the field; None if it was not drawn.
        channels: Pictures of its channels.
        maps: Heatmaps.
        target: Class that the steps lead to.
        steps: Images from the original to the counterfactual, at least two or none.
        verification: Heading to value, for each counterfactual.
        changes: Heading to value, for each measure: before, after, change.
        others: Films, strips and reconstructions.
        notes: Reasons why something is missing.
        references: Small pictures beside the counterfactual: what maps without a network make of the image.
    """

    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    flags: Sequence[str] = ()
    image: ReportPicture | None = None
    channels: Sequence[ReportPicture] = ()
    maps: Sequence[ReportPicture] = ()
    target: str = ""
    steps: Sequence[CounterfactualStep] = ()
    verification: Sequence[Mapping[str, Any]] = ()
    changes: Sequence[Mapping[str, Any]] = ()
    others: Sequence[ReportPicture] = ()
    notes: Sequence[str] = ()
    references: Sequence[ReportPicture] = ()


@dataclass(frozen=True)
class CardExample:
    """Pictures on a card that belong together, such as a field and its maps.

    Attributes:
        title: What they show.
        pictures: In their order.
    """

    title: str
    pictures: Sequence[ReportPicture]


@dataclass(frozen=True)
class CardSection:
    """Card of a cluster of fields.

    Attributes:
        title: Name of the cluster.
        sentences: What is known of it, the most important first.
        examples: The mean map, typical fields with their maps, then the least certain ones.
    """

    title: str
    sentences: Sequence[str] = ()
    examples: Sequence[CardExample] = ()


@dataclass(frozen=True)
class PlateMetric:
    """Metric by which the wells of a plate can be coloured.

    Attributes:
        column: Column of the table of wells.
        title: Name of the metric, with its unit.
        meaning: Description in one sentence.
        low: Value at the lower end of the colour scale.
        high: Value at its upper end, above ``low``; values beyond an end have the colour of that end.
        signed: Whether the scale diverges from 0 in two colours; ``low`` is then ``-high``.
        digits: Decimals of the values in the wells.
        names: Texts in the order of their colours; other texts of the column follow in alphabetical order.
        undecided: Beginning of the texts that say that there is no answer, which share a colour of their own;
            empty for none.
    """

    column: str
    title: str
    meaning: str = ""
    low: float = 0.0
    high: float = 1.0
    signed: bool = False
    digits: int = 2
    names: Sequence[str] = ()
    undecided: str = ""


@dataclass(frozen=True)
class NeighbourMap:
    """Map in which fields that are alike lie close together.

    Attributes:
        method: ``t-SNE`` or ``UMAP``.
        fields: Some fields of a job, with ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Condition`` where it is
            known, and their places in ``COLUMNS``.
    """

    COLUMNS: ClassVar[tuple[str, str]] = ("place_1", "place_2")

    method: str
    fields: Columns


def _no_sections(_: Columns) -> dict[str, FieldSection]:
    return {}


@dataclass(frozen=True)
class JobReport:
    """Complete content of a report; empty parts get no section.

    Tables are plain columns, see `table_columns`.

    Attributes:
        title: Title that names the images and the model.
        warnings: Warnings shown before any picture.
        sentences: Findings in plain words, the most important first.
        changes: Sentences on the changes made by counterfactuals.
        details: Sentences with figures for the maintainers of the model.
        facts: Numbers of the whole job; name to value.
        model: Facts on the model; name to value.
        fields: One row per field, with ``Metadata_Plate``, ``Metadata_Well`` and ``field``.
        neighbours: Map of some fields by their latents; None if there is none.
        wells: One row per well.
        well_columns: Columns of the table of wells on the first page; the others are shown on the wells' own pages.
        metrics: Metrics by which the plates can be coloured, the default first.
        headings: Heading of a column, where it is not the usual one.
        dose_axis: What the charts of doses show, in a sentence.
        field_sections: Function from some rows of ``fields`` to the section of each, by its ``field``; it is called
            for one plate after another, since the sections of all need more memory than a machine may have.
        hits: One row per compound, or per well.
        group: Column of ``wells``, ``hits`` and ``doses`` that identifies the wells of a row; empty for none.
        plates: One row per plate.
        doses: One row per compound and dose.
        scores: Name to scores: the model, an intensity threshold and the position on the plate.
        verdicts: Predictions for counterfactuals, references and real fields; one row per target and kind of image.
        clusters: One row per cluster of heatmaps, and per position in which it is enriched.
        cluster_sentences: Sentences on these clusters.
        cards: Cards of the clusters that a model without labels has put fields into.
        card_sentences: Sentences on all of them, the most important first.
        calibration: Name to value; None if it is not known.
        methods: One row per method of explanation, with the results of its checks.
        blind_test: Sentences on the blind test by people.
        curves: Columns ``epoch``, ``metric`` (such as ``val/log_loss``) and ``value``.
        pictures: Pictures of the whole job.
        failures: Columns ``path`` and ``reason``.
        columns: Meaning of each column, by name or pattern.
        meanings: Meaning of each column of a table, by the table's key and the column's name.
        rules: Descriptions of decision rules; heading to paragraph.
        citation: Citation of the software, in one sentence.
        references: BibTeX entries of the methods.
        downloads: Path relative to the job's folder, to a description of the file.
        root: Relative path from the report's folder to the job's.
    """

    title: str
    warnings: Sequence[str] = ()
    sentences: Sequence[str] = ()
    changes: Sequence[str] = ()
    details: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    fields: Columns = field(default_factory=dict)
    neighbours: NeighbourMap | None = None
    wells: Columns = field(default_factory=dict)
    well_columns: Sequence[str] = ()
    metrics: Sequence[PlateMetric] = ()
    headings: Mapping[str, str] = field(default_factory=dict)
    dose_axis: str = ""
    field_sections: Callable[[Columns], Mapping[str, FieldSection]] = _no_sections
    hits: Columns = field(default_factory=dict)
    group: str = ""
    plates: Columns = field(default_factory=dict)
    doses: Columns = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verdicts: Columns = field(default_factory=dict)
    clusters: Columns = field(default_factory=dict)
    cluster_sentences: Sequence[str] = ()
    cards: Sequence[CardSection] = ()
    card_sentences: Sequence[str] = ()
    calibration: Mapping[str, Any] | None = None
    methods: Columns = field(default_factory=dict)
    blind_test: Sequence[str] = ()
    curves: Columns = field(default_factory=dict)
    pictures: Sequence[ReportPicture] = ()
    failures: Columns = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""
    references: Sequence[str] = ()
    downloads: Mapping[str, str] = field(default_factory=dict)
    root: str = ".."
