"""Meanings of the columns of a job's tables."""

import re
from collections.abc import Iterable
from pathlib import Path

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.report.image_files import atomic_write

__all__ = [
    "CHANGE_COLUMNS",
    "COLUMNS",
    "TABLE_COLUMNS",
    "column_meaning",
    "explain_columns",
    "table_meanings",
    "write_columns",
]

_WELL_INTERVAL_NOTE = "; in wells.parquet over the fields of this well and its plate's controls, not between wells"

COLUMNS = {
    "Metadata_<name>": "position of the field and contents of its well, copied from the image table",
    "field": "name of the field's folder in images/",
    "fields": "number of fields of the well that are scored",
    "fields_left_out": "number of fields of the well that are not scored: excluded, out of focus or empty",
    "flagged": "share of the well's fields with a flag, 0 to 1",
    "trust": "reasons not to trust the field itself, joined by `; `; empty if there are none",
    "unknown_plate": "whether the model has seen no field of the plate; its fields have no flag for that",
    "energy": "energy of the field: minus the log-sum-exp of the model's logits, in nats",
    "score": "log-odds of the class at 100 % (the healthy one, in a screen for rescue) over that at 0 %, in nats",
    "calibrated_<class>": "calibrated probability of that class, 0 to 1",
    "rescue": "position of the score between the plate's controls at 0 % and at 100 %, which the report names",
    "rescue_interval": f"its 95 % interval, percent{_WELL_INTERVAL_NOTE}",
    "rescue_low": f"lower end of its 95 % interval, percent{_WELL_INTERVAL_NOTE}",
    "rescue_high": f"upper end of its 95 % interval, percent{_WELL_INTERVAL_NOTE}",
    "robust_z": "distance from the median of the plate's controls at 0 %, in units of 1.4826 times their MAD",
    "b_score": "score after row and column effects are removed (median polish), where the plate's layout allows it",
    "cell_share": "nuclei per field, relative to the mean of the plate's controls at 0 %: 1 means as many, 0 none",
    "along_axis": "way from the controls at 0 % towards those at 100 %, in standard deviations of control wells",
    "off_axis": "way in all other directions, in the same unit and less what noise explains: 0 for a well that does "
    "nothing else",
    "position_trend": "effect of the position, fitted on the plate's controls, that was taken from the score, in nats",
    "seen": "whether the model was trained or chosen on these pixels",
    "predicted": "the most probable class or cluster",
    "prediction_set": "classes that the well may have at the stated coverage, joined by `; `: one class is a result; "
    "several, or none (empty), mean that the model can't say",
    "prediction_set_coverage": "share of wells of each class whose set contains the true class, 0 to 1",
    "prediction_set_own_plate": "whether the plate's own unseen controls calibrate the set, not the validation wells",
    "probability_<class>": "probability of that class, 0 to 1; of a well, from the mean log-probability of its fields",
    "counterfactual_target": "target class of the counterfactuals",
    "counterfactual_note": "why a field has no counterfactual",
    "counterfactual_<kind>_note": "why there is none of that kind, or why it differs from the request",
    "counterfactual_<kind>_class": "class that the model predicts for the saved file, after reading it back",
    "counterfactual_<kind>_probability": "probability of the target for the saved file, after reading it back, 0 to 1",
    "counterfactual_<kind>_valid": "whether the model predicts the target for the saved file, after reading it back",
    "counterfactual_<kind>_status": (
        "quality of the counterfactual: green, amber or red; red ones are left out of every table of changes"
    ),
    "counterfactual_<kind>_length": "length of the latent step, in differences between the class means (alpha)",
    "counterfactual_<kind>_falls_short": "whether the step ends before the hyperplane between the two classes",
    "counterfactual_<kind>_way": "line: straight from mean to mean; gradient: along the gradient of the head's margin",
    "counterfactual_<kind>_attempts": "number of steps tried until the saved file reached the target or none was left",
    "counterfactual_<kind>_reencoding_error": (
        "distance of the saved file's latent from the intended one, divided by the length of the step; 0 is perfect"
    ),
    "counterfactual_<kind>_padding_energy": "share of energy in padding channels, which images can't store, 0 to 1",
    "counterfactual_<kind>_residual": (
        "largest residual of the inverse before its last step, relative to the block's output (at least 1)"
    ),
    "counterfactual_<kind>_clipped": "share of values outside the camera's range, 0 to 1",
    "counterfactual_<kind>_changed": "share of pixels that change by more than the noise in some channel, 0 to 1",
    "counterfactual_<kind>_change_<channel>": "mean change of the channel, raw intensity",
    "counterfactual_<kind>_distance": (
        "distance of the saved file's latent from the mean of the target class, divided by the spread of that class"
    ),
    "counterfactual_<kind>_oracles": "number of independent classifiers that predict the target for the saved file",
    "counterfactual_<kind>_oracles_asked": "number of independent classifiers that were asked",
    "counterfactual_<kind>_oracle_<name>_class": "class that this independent classifier predicts for the saved file",
    "counterfactual_<kind>_oracle_<name>_probability": "probability of the target by that classifier, 0 to 1",
    "counterfactual_<kind>_realism": (
        "distance of the saved file's texture from real training fields of the target class, of which 99 % have at "
        "most 1"
    ),
    "counterfactual_<kind>_reasons": "why the status is not green, joined by `; `; empty if it is",
    "reference_<name>_oracle_<name>_class": "class that this independent classifier predicts for that image",
    "reference_<name>_oracle_<name>_probability": "probability of the target by that classifier, 0 to 1",
    "reference_<name>_class": (
        "class that the model predicts for the image of a reference (nothing: the image as it is; moments, histogram: "
        "after matching each channel's mean and spread, or histogram, to the class; nearest: a real field of it)"
    ),
    "reference_<name>_oracles": "number of independent classifiers that predict the target for that image",
    "reference_<name>_oracles_asked": "number of independent classifiers that were asked",
    "part_<part>_class": (
        "class that the model predicts after this part of the typical image's change alone (intensity: each field's "
        "histogram changes and the order of its pixels stays; texture: the order changes and the histogram stays)"
    ),
    "part_<part>_oracles": "number of independent classifiers that predict the target for that image",
    "part_<part>_oracles_asked": "number of independent classifiers that were asked",
    "sham_turned": (
        "whether the class that the model predicts changes after a sham edit: a transport from the class to itself, "
        "between random halves of its training wells"
    ),
    "sham_oracles_turned": "number of independent classifiers whose predicted class changes after the sham edit",
    "sham_oracles_asked": "number of independent classifiers that were asked",
    "sham_change_<channel>": "mean absolute change of the channel by the sham edit, in 255ths of the full scale",
    "smallest_edit_share": (
        "share of the pixels that the smallest edit replaces, with which the model and most independent classifiers "
        "together predict the target, 0 to 1"
    ),
    "smallest_edit_area": (
        "mean gain of the target's probability over the share of replaced pixels, relative to the largest possible; "
        "near 1 means that few pixels turn the prediction, 0.5 an even rise"
    ),
    "counterfactual_<kind>_eight_bit_class": (
        "class that the model predicts for each channel in 8 bits between the display limits"
    ),
    "counterfactual_<kind>_counts_class": "class that the model predicts for the file rounded to whole counts",
    "counterfactual_<kind>_twin_error": "distance to the true twin, divided by that of the image; below 1 means closer",
    "counterfactual_<kind>_after_<measure>": (
        "measure of the saved file (see image_<measure>); intensities in the image's regions, areas of its own"
    ),
    "image_nuclei_count": "number of nuclei of the field at the model's image size, touching ones apart",
    "image_intensity_<channel>": "mean of the channel over the field, raw intensity as acquired",
    "image_texture_<channel>": (
        "texture: standard deviation of the Laplacian of Gaussian (sigma 1 px), divided by the field's mean"
    ),
    "image_area_<channel>": "share of the field above the channel's threshold, 0 to 1",
    "image_<region>_area": "share of the field in that region (nuclei by DAPI, mitochondria by TMRM), 0 to 1",
    "image_<region>_intensity_<channel>": "mean of the channel within that region, raw intensity",
    "quality_<measure>_<channel>": ("quality measure of the channel, from the full-size files; the basis of the flags"),
    "occlusion_agreement": "rank correlation of the estimated map with held-out windows, -1 to 1",
    "occlusion_evaluations": "number of windows and tiles that were measured",
    "occlusion_target": "class whose logit is recorded while parts of the image are covered",
    "interpolation_target": "class whose mean latent is the end of the interpolation",
    "interpolation_towards": "field that is the end of the interpolation",
    "interpolation_reencoding_error": (
        "largest distance of a frame's latent from the decoded one, divided by the length of the path"
    ),
    "interpolation_change_<channel>": "mean change from the first frame to the last, in raw intensity",
    "interpolation_probability_<class>": "probability of that class for the last frame",
    "reconstruction_error_<channel>": "root mean square error of the reconstruction, in raw intensity",
    "reconstruction_pca_error_<channel>": "the same for a PCA with as many components as the latent has values",
    "sweep_video": "path of the video from the image to the counterfactual and beyond",
    "sweep_note": "why there is no such video, or no sweep",
    "<method>_target": "class whose score the method's map explains",
    "<method>_clipped": "share of the map's pixels beyond full colour, 0 to 1",
    "<method>_completeness_error": (
        "difference between the sum of the map and the change in score that it explains, divided by that change"
    ),
    "<method>_mse": "mean squared error of the reconstruction, in the model's units",
    "<picture>_full_colour": "value at full colour of that picture's map",
    "latent_distance": "Mahalanobis distance of the field's latent from those of the training fields",
    "latent_<number>": "principal component of the field's pooled latent",
    "picture_<name>": "path of that picture within the job's folder",
}
"""Meaning of each pattern of column names; the first pattern that matches a column applies."""

CHANGE_COLUMNS = {
    "kind": "kind of the counterfactuals",
    "source": "class that the model predicts for the images",
    "target": "target class of their counterfactuals",
    "unseen_wells_only": "whether the table is limited to wells that the model has not seen",
    "fields_left_out": "fields of these wells whose counterfactual is red",
    "measure": "name of the measure, see image_<measure>",
    "before": "mean of the images, over wells",
    "after": "mean of their counterfactuals, over wells",
    "change": "mean of after - before, over wells",
    "low": "lower end of its 95 % interval (bootstrap over wells)",
    "high": "upper end of its 95 % interval",
    "wells": "number of wells in the mean",
    "p": "p value of a two-sided paired t test over wells",
    "q": "p adjusted for the number of measures (Benjamini-Hochberg)",
    "real": "mean of the wells labelled as target minus that of the wells labelled as source",
    "real_low": "lower end of its 95 % interval",
    "real_high": "upper end of its 95 % interval",
    "real_p": "p value of a two-sided Welch's t test over wells",
    "real_q": "real_p adjusted in the same way",
    "classes_differ": "whether real_q is below 0.05; empty if unknown",
    "signs_agree": "whether change and real have the same sign; empty if one is unknown",
    "ratio": "change divided by real",
}
"""Meaning of each column of the table of changes."""


TABLE_COLUMNS = {
    "compound": "compound that was added to the wells",
    "dose": "dose, in the unit of the plate map; in hits.csv the strongest one, to which rescue and interval refer",
    "wells": "number of wells with a rescue",
    "plates": "number of plates",
    "interval": "method of the rescue's interval",
    "plate_sd": "standard deviation of the rescue between plates, percent, where there are three or more",
    "cell_p": "p value of as many cells as in the controls at 0 %",
    "off_axis_p": "p value of a way elsewhere no longer than that of the controls at 0 %",
    "activity": "mean average precision with which wells of the compound find each other among the controls at 0 %, "
    "by all features: 1 means that each is nearer to the others than to any control",
    "activity_p": "share of random groups of as many wells and controls that do as well (mAP of activity)",
    "activity_q": "activity_p adjusted for the number of rows (Benjamini-Hochberg)",
    "z": "median robust z of the wells against the controls at 0 % of their plates",
    "p": "p value of the rescue, if the model has not seen the controls; multiplied by the number of doses",
    "q": "p adjusted for the number of rows (Benjamini-Hochberg): false discovery rate",
    "hit": "whether the compound is called a hit",
    "reason": "why it is a hit, or why not",
    "ec50": "dose of half the maximal effect",
    "ec50_low": "lower end of its 95 % interval",
    "ec50_high": "upper end of its 95 % interval",
    "hill": "slope of the dose response",
    "curve_note": "why there is no dose response",
    "fitted": "rescue according to the fitted dose response, percent",
    "probability": "probability of the predicted class, 0 to 1",
    "balanced_accuracy": "mean over the classes of the share of wells that are recognised, 0 to 1",
    "majority_share": "share of the largest class, which is the accuracy of always naming it",
    "positive_wells": "number of control wells at 100 %",
    "negative_wells": "number of control wells at 0 %",
    "z_prime_log_odds": "separation of the controls by the log-odds of their wells, the one to read for a screen: "
    "1 is perfect, 0.5 the usual bar; below 0, their bands of three standard deviations overlap",
    "robust_z_prime_log_odds": "the same from medians, robust to single wells",
    "z_prime": "the same from probabilities (predictions in [0, 1]), to compare with publications; it tends to 1 as "
    "soon as a network is certain, so it is usually far higher",
    "ssmd": "difference between the controls, divided by their spread; 3 is strong, 5 very strong",
    "row_share": "share of the variance of scores between wells of one class that the row explains, 0 to 1",
    "column_share": "the same for the column",
    "edge_share": "the same for the distance from the edge",
    "note": "remarks on the plate",
    "cluster": "number of the cluster among the heatmaps of one predicted class, 1 for the largest",
    "position": "position on the plate in which the cluster is enriched; empty if there is none",
    "wells_there": "wells of the cluster at that position",
    "of_wells_there": "wells of the predicted class at that position",
    "odds_ratio": "odds of the cluster at that position over those elsewhere",
}
"""Meaning of the columns of hits, doses and plates, beside those of `COLUMNS`."""

_POOLED_INTERVAL = "95 % interval of the rescue, percent, between the wells of the compound where there are several"
_OWN_MEANINGS = {
    "hits": {"rescue_interval": _POOLED_INTERVAL, "dose": "strongest dose, to which rescue and interval refer"},
    "doses": {"rescue_interval": _POOLED_INTERVAL, "dose": "dose, in the unit of the plate map"},
    "scores": {
        "accuracy": "share of the wells whose class is predicted, 0 to 1",
        "auc": "probability that a well of one class scores above one of the other, 0.5 to 1 where it is of any use",
        "balanced_accuracy": TABLE_COLUMNS["balanced_accuracy"],
        "chance_auc": "AUC that measures without any relation to the class exceed on about one of a hundred plates "
        "with as many wells; an AUC below it is no evidence",
        "majority_share": TABLE_COLUMNS["majority_share"],
        "wells": "number of labelled wells on which the predictor is scored",
    },
    "verdicts": {
        "target": "class as which the images should be predicted",
        "images": "kind of image",
        "fields": "number of fields that count",
    },
    "failures": {"reason": "why the file could not be explained"},
}
"""Meaning of columns that is another one in another table, by the key of the table on the page."""


def explain_columns(columns: Iterable[object]) -> dict[str, str]:
    """Return the patterns that match some of the columns, with their meanings, in the order of `COLUMNS`.

    Args:
        columns: Names of columns.

    Example:
        >>> explain_columns(["seen", "latent_3", "latent_1", "mine"]).keys()
        dict_keys(['seen', 'latent_<number>'])
    """
    found = {_match_pattern(str(column)) for column in columns}
    return {pattern: meaning for pattern, meaning in COLUMNS.items() if pattern in found}


def column_meaning(column: str) -> str:
    """Return the meaning of one column; empty for an unknown column.

    Example:
        >>> column_meaning("predicted"), column_meaning("mine")
        ('the most probable class or cluster', '')
    """
    return COLUMNS.get(_match_pattern(column) or "", "")


def table_meanings(key: str, columns: Iterable[object]) -> dict[str, str]:
    """Return the meanings of the columns of one table of the page; a column without one is left out.

    Args:
        key: Key of the table: ``wells``, ``hits``, ``doses``, ``plates``, ``clusters``, ``scores``, ``verdicts`` or
            ``failures``.
        columns: Names of its columns.

    Example:
        >>> table_meanings("scores", ["wells"])["wells"], table_meanings("plates", ["note"])["note"]
        ('number of labelled wells on which the predictor is scored', 'remarks on the plate')
    """
    names = list(map(str, columns))
    known = dict(_OWN_MEANINGS.get(key, {}))
    if key == "wells" or (key == "hits" and "compound" not in names):  # hits without compounds are wells
        known = {"probability": TABLE_COLUMNS["probability"]} | {name: column_meaning(name) for name in names}
    elif key in ("hits", "doses", "plates", "clusters"):
        known = {name: TABLE_COLUMNS.get(name) or column_meaning(name) for name in names} | known
    return {name: known[name] for name in names if known.get(name)}


def write_columns(path: Path, columns: Iterable[object], *, changes: bool = False, compounds: bool = False) -> Path:
    """Write the meaning of each column as Markdown.

    Args:
        path: The file to write.
        columns: Names of the columns of fields and wells.
        compounds: Whether to explain the columns of the tables of hits, doses and plates, too.
        changes: Whether to explain the columns of the table of changes, too.
    """
    lines = [
        "# Columns of fields.parquet and wells.parquet",
        "",
        f"`<kind>` is one of {', '.join(f'`{kind}`' for kind in reversed(COUNTERFACTUAL_KINDS))}. In wells.parquet "
        "numbers are medians over the well's fields, and true/false columns give the share that is true.",
        "",
        *_table(explain_columns(columns)),
    ]
    if compounds:
        lines += ["", "# Columns of hits.csv, doses.csv and plates.csv, beside these", "", *_table(TABLE_COLUMNS)]
    if changes:
        lines += ["", "# Columns of changes.csv", "", *_table(CHANGE_COLUMNS)]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    return path


def _table(meanings: dict[str, str]) -> list[str]:
    rows = [f"| `{pattern}` | {meaning} |" for pattern, meaning in meanings.items()]
    return ["| column | meaning |", "| --- | --- |", *rows]


def _match_pattern(column: str) -> str | None:
    return next((pattern for pattern in COLUMNS if _compile_pattern(pattern).fullmatch(column)), None)


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    named = pattern.replace("<kind>", f"(?:{'|'.join(COUNTERFACTUAL_KINDS)})").replace("<number>", "[0-9]+")
    return re.compile(re.sub("<[a-z]+>", ".+", named))
