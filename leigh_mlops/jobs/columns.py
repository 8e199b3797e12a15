"""What the columns of a job's tables mean."""

import re
from collections.abc import Iterable
from pathlib import Path

from leigh_mlops.explanations import KINDS
from leigh_mlops.report.files import replacing

__all__ = ["CHANGE_COLUMNS", "COLUMNS", "explain_columns", "write_columns"]

COLUMNS = {
    "Metadata_<name>": "where the field is, and what stands in its well, as the image table says",
    "field": "name of the field's folder in images/",
    "fields": "number of fields of the well",
    "seen": "whether the model was trained or chosen with these pixels",
    "predicted": "the most probable class",
    "probability_<class>": "probability of that class, 0 to 1; of a well, from the mean log-probability of its fields",
    "counterfactual_target": "class that the counterfactuals lead to",
    "counterfactual_note": "why a field has no counterfactual",
    "counterfactual_<kind>_note": "why there is none of that kind, or why it is not what was asked for",
    "counterfactual_<kind>_class": "class that the model predicts for the saved file, read again",
    "counterfactual_<kind>_probability": "the target's probability for the saved file, read again, 0 to 1",
    "counterfactual_<kind>_valid": "whether the saved file, read again, is the target to the model",
    "counterfactual_<kind>_light": (
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
    "<method>_mse": "mean squared error of the reconstruction, in the model's units",
    "<picture>_full_colour": "value at full colour of that picture's map",
    "latent_distance": "Mahalanobis distance of the field's latent from those of training",
    "latent_<number>": "principal component of the field's pooled latent",
    "picture_<name>": "path of that picture in the job's folder",
}
"""Meaning by pattern; the first that fits a column is its own."""

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


def explain_columns(columns: Iterable[object]) -> dict[str, str]:
    """The patterns that occur among some columns, with their meaning, in the order of `COLUMNS`.

    Args:
        columns: Names of columns.

    Example:
        >>> explain_columns(["seen", "latent_3", "latent_1", "mine"]).keys()
        dict_keys(['seen', 'latent_<number>'])
    """
    found = {_pattern_of(str(column)) for column in columns}
    return {pattern: meaning for pattern, meaning in COLUMNS.items() if pattern in found}


def write_columns(path: Path, columns: Iterable[object], *, changes: bool = False) -> Path:
    """Write what each column means in Markdown.

    Args:
        path: The file to write.
        columns: Names of the columns of fields and wells.
        changes: Whether there is a table of changes, whose columns are then explained, too.
    """
    lines = [
        "# Columns of fields.parquet and wells.parquet",
        "",
        f"`<kind>` is one of {', '.join(f'`{kind}`' for kind in reversed(KINDS))}. In wells.parquet a number is the "
        "median of the well's fields, and what is true or false is the share that is true.",
        "",
        *_table(explain_columns(columns)),
    ]
    if changes:
        lines += ["", "# Columns of changes.csv", "", *_table(CHANGE_COLUMNS)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    return path


def _table(meanings: dict[str, str]) -> list[str]:
    rows = [f"| `{pattern}` | {meaning} |" for pattern, meaning in meanings.items()]
    return ["| column | meaning |", "| --- | --- |", *rows]


def _pattern_of(column: str) -> str | None:
    return next((pattern for pattern in COLUMNS if _expression(pattern).fullmatch(column)), None)


def _expression(pattern: str) -> re.Pattern[str]:
    named = pattern.replace("<kind>", f"(?:{'|'.join(KINDS)})").replace("<number>", "[0-9]+")
    return re.compile(re.sub("<[a-z]+>", ".+", named))
