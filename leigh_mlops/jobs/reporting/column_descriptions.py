"""Meanings of the columns of a job's tables."""

import re
from collections.abc import Iterable
from pathlib import Path

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.report.image_files import atomic_write

__all__ = ["CHANGE_COLUMNS", "COLUMNS", "TABLE_COLUMNS", "explain_columns", "column_meaning", "write_columns"]

_WELL_INTERVAL_NOTE = "; in wells.parquet of the fields within this well and its plate's controls, not between wells"

COLUMNS = {
    "Metadata_<name>": "where the field is, and what stands in its well, as the image table says",
    "field": "name of the field's folder in images/",
    "fields": "number of fields of the well that count",
    "fields_left_out": "number of fields of the well that do not count: excluded, out of focus or empty",
    "flagged": "share of the well's fields with a flag, 0 to 1",
    "trust": "why the field may not be trusted, joined by `; `; empty for nothing",
    "energy": "energy of the field to the model, minus the log of the summed exponentials of its logits, in nats",
    "score": "log-odds of the healthy class over the diseased one, in nats",
    "calibrated_<class>": "calibrated probability of that class, 0 to 1",
    "rescue": "where the score lies between the diseased (0 %) and the healthy controls (100 %) of the plate",
    "rescue_interval": f"its 95 % interval, percent{_WELL_INTERVAL_NOTE}",
    "rescue_low": f"lower end of its 95 % interval, percent{_WELL_INTERVAL_NOTE}",
    "rescue_high": f"upper end of its 95 % interval, percent{_WELL_INTERVAL_NOTE}",
    "robust_z": "distance from the median of the plate's diseased controls, in 1.4826 times their median deviation",
    "b_score": "score without the effects of row and column (median polish), where the plate's layout allows it",
    "seen": "whether the model was trained or chosen with these pixels",
    "predicted": "the most probable class",
    "probability_<class>": "probability of that class, 0 to 1; of a well, from the mean log-probability of its fields",
    "counterfactual_target": "class that the counterfactuals lead to",
    "counterfactual_note": "why a field has no counterfactual",
    "counterfactual_<kind>_note": "why there is none of that kind, or why it is not what was asked for",
    "counterfactual_<kind>_class": "class that the model predicts for the saved file, read again",
    "counterfactual_<kind>_probability": "the target's probability for the saved file, read again, 0 to 1",
    "counterfactual_<kind>_valid": "whether the saved file, read again, is the target to the model",
    "counterfactual_<kind>_status": (
        "green, amber or red: how far the counterfactual can be trusted; red is left out of every table of changes"
    ),
    "counterfactual_<kind>_length": "length of the step in the latent, in differences between the mean latents (alpha)",
    "counterfactual_<kind>_falls_short": "whether the step ends before the hyperplane between the two classes",
    "counterfactual_<kind>_way": "line: straight from mean to mean; gradient: along the gradient of the head's margin",
    "counterfactual_<kind>_attempts": "how many steps were tried until the saved file arrived, or until none was left",
    "counterfactual_<kind>_reencoding_error": (
        "distance of the saved file's latent from where it was meant to be, over the length of the step; 0 is perfect"
    ),
    "counterfactual_<kind>_padding_energy": "share of energy in padding channels that an image cannot hold, 0 to 1",
    "counterfactual_<kind>_residual": (
        "largest residual of the inverse before its last step, relative to the block's output (at least 1)"
    ),
    "counterfactual_<kind>_clipped": "share of values outside the camera's range, 0 to 1",
    "counterfactual_<kind>_changed": "share of pixels that change by more than the noise in some channel, 0 to 1",
    "counterfactual_<kind>_change_<channel>": "mean change of the channel, raw intensity",
    "counterfactual_<kind>_distance": (
        "distance of the saved file's latent from the mean of the target class, over that class's own spread"
    ),
    "counterfactual_<kind>_oracle_class": "class that an independently trained classifier predicts for the saved file",
    "counterfactual_<kind>_oracle_probability": "the target's probability by that classifier, 0 to 1",
    "counterfactual_<kind>_eight_bit_class": (
        "class that the model predicts for each channel in 8 bits between the display limits"
    ),
    "counterfactual_<kind>_counts_class": "class that the model predicts for the file of whole counts",
    "counterfactual_<kind>_twin_error": "distance to the true twin, over that of the image itself; below 1 is nearer",
    "counterfactual_<kind>_after_<measure>": (
        "measure of the saved file (see image_<measure>); intensities in the regions of the image, areas in its own"
    ),
    "image_intensity_<channel>": "mean of the channel over the field, raw intensity as acquired",
    "image_texture_<channel>": (
        "texture: standard deviation of the Laplacian of Gaussian (sigma 1 px) over the field's mean"
    ),
    "image_area_<channel>": "share of the field above the channel's threshold, 0 to 1",
    "image_<region>_area": "share of the field in that region (nuclei by DAPI, mitochondria by TMRM), 0 to 1",
    "image_<region>_intensity_<channel>": "mean of the channel within that region, raw intensity",
    "quality_<measure>_<channel>": (
        "quality measure of the channel in the files at full size, from which flags are derived"
    ),
    "occlusion_agreement": "rank correlation of the coarse map with windows held back, -1 to 1",
    "occlusion_evaluations": "windows and tiles that were measured",
    "occlusion_target": "class whose logit is watched while parts of the image are covered",
    "interpolation_target": "class whose mean latent the interpolation leads to",
    "interpolation_towards": "field that the interpolation leads to",
    "interpolation_reencoding_error": (
        "largest distance of a frame's latent from the one that was decoded, over the length of the way"
    ),
    "interpolation_change_<channel>": "mean change from the first frame to the last, in raw intensity",
    "interpolation_probability_<class>": "probability of that class for the last frame",
    "reconstruction_error_<channel>": "root mean square error of the reconstruction, in raw intensity",
    "reconstruction_pca_error_<channel>": "the same of as many principal components as the latent has numbers",
    "sweep_video": "path of the film from the image through the counterfactual and past it",
    "sweep_note": "why there is no such film, or no sweep at all",
    "<method>_target": "class whose score the method's map explains",
    "<method>_clipped": "share of the map's pixels beyond full colour, 0 to 1",
    "<method>_completeness_error": (
        "difference between the sum of the map and the change of the score that it is to explain, over that change"
    ),
    "<method>_mse": "mean squared error of the reconstruction, in the model's units",
    "<picture>_full_colour": "value at full colour of that picture's map",
    "latent_distance": "Mahalanobis distance of the field's latent from those of training",
    "latent_<number>": "principal component of the field's pooled latent",
    "picture_<name>": "path of that picture in the job's folder",
}
"""Meaning of each pattern of column names; the first pattern that matches a column applies."""

CHANGE_COLUMNS = {
    "kind": "of the counterfactuals",
    "source": "class that the model predicts for the images",
    "target": "class that their counterfactuals lead to",
    "unseen_wells_only": "whether all wells are ones that the model has not seen",
    "fields_left_out": "fields of these wells whose counterfactual is red",
    "measure": "what was measured, see image_<measure>",
    "before": "mean over wells of the images",
    "after": "mean over wells of their counterfactuals",
    "change": "mean over wells of after - before",
    "low": "lower end of its 95 % interval (bootstrap over wells)",
    "high": "upper end of its 95 % interval",
    "wells": "number of wells that change is the mean of",
    "p": "of a paired t test over wells, two-sided",
    "q": "p adjusted for the number of measures (Benjamini-Hochberg)",
    "real": "mean of the wells that are labelled as target less that of those labelled as source",
    "real_low": "lower end of its 95 % interval",
    "real_high": "upper end of its 95 % interval",
    "real_p": "of Welch's t test over wells, two-sided",
    "real_q": "real_p adjusted in the same way",
    "classes_differ": "whether real_q is below 0.05; empty where it is not known",
    "signs_agree": "whether change and real have the same sign; empty where one is not known",
    "ratio": "change as a share of real",
}
"""Meaning of each column of the table of changes."""


TABLE_COLUMNS = {
    "compound": "what was added to the wells",
    "dose": "how much, in the unit of the plate map; of a hit, its strongest dose, of which rescue and interval are",
    "wells": "number of wells with a rescue",
    "plates": "number of plates",
    "interval": "how the interval of the rescue was found",
    "z": "median robust z of the wells against the diseased controls of their plates",
    "p": "probability of such a rescue without an effect, where the model has not seen the controls; over several "
    "doses, times their number",
    "q": "p adjusted for the number of rows (Benjamini-Hochberg): false discovery rate",
    "hit": "whether the compound is called",
    "reason": "why it is called, or why not",
    "ec50": "dose of half the effect",
    "ec50_low": "lower end of its 95 % interval",
    "ec50_high": "upper end of its 95 % interval",
    "hill": "slope of the dose response",
    "curve_note": "why there is no dose response",
    "fitted": "rescue by the fitted dose response, percent",
    "probability": "of the predicted class, 0 to 1",
    "positive_wells": "wells of healthy controls",
    "negative_wells": "wells of diseased controls",
    "z_prime": "separation of the controls: 1 is perfect, 0.5 the usual bar, below 0 their bands of three "
    "standard deviations overlap",
    "robust_z_prime": "the same with medians, which single wells do not move",
    "ssmd": "difference of the controls over their spread; 3 is strong, 5 very strong",
    "row_share": "share of the scores' variance between wells of one class that goes with the row, 0 to 1",
    "column_share": "the same for the column",
    "edge_share": "the same for the distance from the edge",
    "note": "what to know of the plate",
}
"""Meaning of the columns of hits, doses and plates, beside those of `COLUMNS`."""


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
        ('the most probable class', '')
    """
    return COLUMNS.get(_match_pattern(column) or "", "")


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
        "a number is the median of the well's fields, and what is true or false is the share that is true.",
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
