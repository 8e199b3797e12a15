"""Confounds: factors that vary with the class and could be mistaken for it."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import f

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.layout import WELL, Floats, labelled_wells, plate_shape, position_features

__all__ = [
    "chance_auc",
    "position_effects",
    "probe_confounds",
    "probe_features",
    "probe_plate",
    "probe_position",
    "probe_view",
]

REPEATS = 3
STEADY_WELLS = 1000  # folds of so many wells give steady numbers without being drawn again
_FIXED_VIEWS = ("stamp",)
_CHANCE_ERRORS = 1.5 * 2.33  # standard errors of the statistic; 2.33 of a normal distribution leave 1 %
RINGS = 3  # wells further than this from every edge count as the plate's middle
MIN_DEGREES_OF_FREEDOM = 5  # fewer degrees of freedom left are too few to estimate the noise

Texts = npt.NDArray[np.object_]


def probe_confounds(
    table: pd.DataFrame, views: Mapping[str, Mapping[str, pd.DataFrame]] | None = None
) -> dict[str, dict[str, float]]:
    """Score how well position, plate and views of the images in which little remains tell the classes apart.

    Args:
        table: Image table; wells without a class are left out.
        views: Features of each view and channel on some of the table's rows, see `images.shortcut_views`.

    Returns:
        ``position``, ``plate``, ``background`` and each further view, with the scores of
        :func:`probe_position`, or empty where these cannot be computed.
    """
    found = {"position": probe_position(table), "plate": probe_plate(table), "background": dict[str, float]()}
    return found | {view: probe_view(table, view, channels) for view, channels in (views or {}).items()}


def probe_view(table: pd.DataFrame, view: str, channels: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Score how well one view tells the classes apart.

    Lamp, medium and focus act on all channels, a phenotype mostly on one: haze from bright cells
    is in the background of their own stain. Of ``background`` and ``focus`` the worst channel counts, therefore. A
    stamp may be in one channel, of which the best counts.

    Args:
        table: Image table; wells without a class are left out.
        view: Name of the view.
        channels: Features by channel.

    Returns:
        Scores as in :func:`probe_position`.
    """
    scores = [each for each in (probe_features(table, features, view) for features in channels.values()) if each]
    if not scores:
        return {}
    choose = max if view in _FIXED_VIEWS else min
    return choose(scores, key=lambda each: each["auc"])


def probe_position(table: pd.DataFrame, *, folds: int = 5, seed: int = 0) -> dict[str, float]:
    """Score how well the position on the plate alone tells the classes apart.

    A logistic regression on :func:`position_features`, one row per well, is scored on wells that
    it was not fitted to. An AUC near 0.5 or below means that no smooth effect of the position explains
    the classes (where few wells alternate, leaving one out makes its neighbours' class more likely:
    then it falls far below). It is never flipped, and it does not see the alternation itself.

    Args:
        table: Image table; wells without a class are left out.
        folds: Folds of the stratified cross-validation; fewer where a class has fewer wells. They
            are drawn three times, where there are fewer than 1000 wells: on a small plate, a single
            drawing moves the AUC by 0.1.
        seed: Seed of the folds.

    Returns:
        ``accuracy``, ``balanced_accuracy`` (mean recall) and ``auc`` (one class against the rest,
        averaged, where there are more than two) as means over the folds, and ``majority_share``, the
        share of the commonest class; empty where fewer than two classes have two wells.
    """
    wells = _drop_small_classes(labelled_wells(table))
    if wells.empty:
        return {}
    # Shapes are those of all wells, so that a rim without a class still is one.
    shapes = {
        name: plate_shape(rows[Metadata.ROW], rows[Metadata.COLUMN]) for name, rows in table.groupby(Metadata.PLATE)
    }
    # Wells are sorted by plate.
    features = [
        position_features(rows[Metadata.ROW], rows[Metadata.COLUMN], *shapes[name])
        for name, rows in wells.groupby(Metadata.PLATE, sort=False)
    ]
    return _cross_validate(np.concatenate(features), _labels(wells), folds, seed)


def probe_plate(table: pd.DataFrame, *, folds: int = 5, seed: int = 0) -> dict[str, float]:
    """Score how well the name of the plate alone tells the classes apart.

    Args:
        table: Image table; wells without a class are left out.
        folds: As in :func:`probe_position`.
        seed: Seed of the folds.

    Returns:
        Scores as in :func:`probe_position`. A single plate has no information: then ``auc`` is 0.5,
        and the accuracies are those of always naming the commonest class.
    """
    wells = _drop_small_classes(labelled_wells(table))
    if wells.empty:
        return {}
    if len(wells[Metadata.PLATE].unique()) == 1:
        shares = wells[Metadata.CONDITION].value_counts(normalize=True)
        largest = float(shares.max())
        return {"accuracy": largest, "balanced_accuracy": 1 / len(shares), "auc": 0.5, "majority_share": largest}
    features = pd.get_dummies(wells[Metadata.PLATE]).to_numpy(float)
    return _cross_validate(features, _labels(wells), folds, seed)


def probe_features(
    table: pd.DataFrame, features: pd.DataFrame, view: str = "", *, folds: int = 5, seed: int = 0
) -> dict[str, float]:
    """Score how well some features of fields alone tell the classes apart.

    Args:
        table: Image table; wells without a class are left out.
        features: Features, on the table's index or a part of it. A field with a gap is left out, a column
            without any number too; a well has the median of its fields.
        view: Name of the view; of what is fixed in the images a well has the mean, to which skewed
            intensities of cells add nothing that differs between places.
        folds: As in :func:`probe_position`.
        seed: Seed of the folds.

    Returns:
        Scores as in :func:`probe_position`, and ``chance_auc``, see :func:`chance_auc`.
    """
    finite = features.astype(float).replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all").dropna()
    if finite.columns.empty:
        return {}
    by_well = finite.groupby([table.loc[finite.index, name] for name in WELL])
    medians = by_well.mean() if view in _FIXED_VIEWS else by_well.median()
    wells = labelled_wells(table.loc[finite.index])
    wells = _drop_small_classes(wells)
    if wells.empty:
        return {}
    known = medians.loc[pd.MultiIndex.from_frame(wells[WELL])]
    labels = _labels(wells)
    scores = _cross_validate(known.to_numpy(float), labels, folds, seed, is_map=view in _FIXED_VIEWS)
    return scores | {"chance_auc": chance_auc(pd.Series(labels).value_counts().tolist())}


def chance_auc(wells: Sequence[int]) -> float:
    """Estimate the AUC that features without any relation to the classes exceed on about one of a hundred plates.

    That of one feature varies by the standard error of Mann and Whitney's statistic. The cross-validated AUC of several
    varies more, for which 1.5 standard errors are taken; `benchmarks.shortcuts` counts the alarms on clean plates. At
    most 0.95, so that few wells can be told apart at all.

    Args:
        wells: Number of wells of each class, at least two of them.

    Example:
        >>> [round(chance_auc([each, each]), 2) for each in (6, 12, 18, 100)]
        [0.95, 0.92, 0.84, 0.64]
    """
    total, least = sum(wells), min(wells)
    return min(0.95, 0.5 + _CHANCE_ERRORS * math.sqrt((total + 1) / (12 * least * (total - least))))


def _drop_small_classes(wells: pd.DataFrame) -> pd.DataFrame:
    """Wells of classes that have two wells; none where fewer than two classes have."""
    counts = wells[Metadata.CONDITION].value_counts()
    enough = counts.index[counts >= 2]
    return wells[wells[Metadata.CONDITION].isin(enough)] if len(enough) >= 2 else wells.iloc[:0]


def _labels(wells: pd.DataFrame) -> Texts:
    return wells[Metadata.CONDITION].to_numpy(dtype=object)


def _cross_validate(
    features: Floats, labels: Texts, folds: int, seed: int, *, is_map: bool = False
) -> dict[str, float]:
    """Score a classifier over folds; of maps, whose pixels outnumber the wells, one that compares with class means."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import RepeatedStratifiedKFold
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splitter = RepeatedStratifiedKFold(
        n_splits=min(folds, int(pd.Series(labels).value_counts().min())),
        n_repeats=REPEATS if len(labels) < STEADY_WELLS else 1,
        random_state=seed,
    )
    hits, recalls, aucs = [], [], []
    for train, test in splitter.split(features, labels):
        model = (
            GaussianNB(var_smoothing=1.0)
            if is_map
            else make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes that the features separate do not converge
            model.fit(features[train], labels[train])
        chance = model.predict_proba(features[test])
        hit = model.classes_[chance.argmax(axis=1)] == labels[test]
        hits.append(np.mean(hit))
        recalls.append(np.mean([np.mean(hit[labels[test] == name]) for name in set(labels[test])]))
        binary = len(model.classes_) == 2
        aucs.append(
            roc_auc_score(labels[test] == model.classes_[1], chance[:, 1])
            if binary
            else roc_auc_score(labels[test], chance, multi_class="ovr", labels=model.classes_)
        )
    return {
        "accuracy": float(np.mean(hits)),
        "balanced_accuracy": float(np.mean(recalls)),
        "auc": float(np.mean(aucs)),
        "majority_share": float(pd.Series(labels).value_counts(normalize=True).max()),
    }


def position_effects(table: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Share of the variance between wells of one class that row, column and edge explain.

    The class means are taken out first, so that classes laid out by row or column are no effect;
    what row and class share cannot be separated by comparing wells, and counts as class. Rows,
    columns and rings (0, 1, 2 and from 3 wells off the edge) may each have a mean of their own.
    Each effect is tested by itself: a bright rim also shows in row and column, and the
    shares need not add up to 1. The share is corrected for the number of means (epsilon squared,
    the adjusted R2 of the added factor, 0 where that is negative), so that noise explains nothing.

    Args:
        table: Image table; wells without a class count as one class.
        values: Measures of each field on the table's index, any unit; a well has the median of its
            fields, and a well without a number is left out.

    Returns:
        Columns ``plate``, ``measure`` (a column of ``values``), ``effect`` (``row``, ``column``,
        ``edge``), ``explained`` (0 to 1), ``p`` (how often noise alone explains as much, F test)
        and ``wells``. A row is left out where it cannot be computed: a measure that does not vary,
        classes that name every row, too few wells.
    """
    measures = [str(name) for name in values]
    found = []
    if measures and len(table):
        wells = _well_medians(table, values.set_axis(measures, axis=1))
        for plate, rows in wells.groupby(Metadata.PLATE, sort=True):
            shape = plate_shape(rows[Metadata.ROW], rows[Metadata.COLUMN])
            found += [{"plate": str(plate), **one} for one in _plate_effects(rows, measures, shape)]
    return pd.DataFrame(found, columns=["plate", "measure", "effect", "explained", "p", "wells"])


def _well_medians(table: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    keys = [table[name] for name in WELL]
    about = table.groupby(keys)[[Metadata.ROW, Metadata.COLUMN, Metadata.CONDITION]].first()
    finite = values.astype(float).replace([np.inf, -np.inf], np.nan)
    return about.join(finite.groupby(keys).median()).reset_index(level=Metadata.PLATE)


def _plate_effects(wells: pd.DataFrame, measures: list[str], shape: tuple[int, int]) -> list[dict[str, object]]:
    """Effects on all measures of one plate; measures with the same wells are computed at once."""
    known = wells[measures].notna()
    found: list[dict[str, object]] = []
    alike: dict[bytes, list[str]] = {}
    for name in measures:
        alike.setdefault(known[name].to_numpy().tobytes(), []).append(name)
    for names in alike.values():
        rows = wells[known[names[0]]]
        for effect, shares in _explained_variance(rows, names, shape).items():
            found += [
                {"measure": name, "effect": effect, "explained": float(share), "p": float(p), "wells": len(rows)}
                for name, (share, p) in zip(names, shares, strict=True)
                if np.isfinite(share)
            ]
    return found


def _explained_variance(wells: pd.DataFrame, measures: list[str], shape: tuple[int, int]) -> Mapping[str, Floats]:
    row, col = wells[Metadata.ROW].to_numpy(int), wells[Metadata.COLUMN].to_numpy(int)
    rings = np.minimum(np.min([row - 1, shape[0] - row, col - 1, shape[1] - col], axis=0), RINGS)
    classes = _dummies(wells[Metadata.CONDITION].fillna("").to_numpy())
    values = wells[measures].to_numpy(float)
    left, free = _residuals(classes, values)
    # Medians of equal fields differ by rounding alone: that is no variance.
    constant = left <= 1e-12 * np.sum(values**2, axis=0)
    explained = {}
    for effect, places in (("row", row), ("column", col), ("edge", rings)):
        after, still_free = _residuals(np.hstack([classes, _dummies(places)]), values)
        if free > still_free >= MIN_DEGREES_OF_FREEDOM:
            noise = after / still_free
            share = 1 - noise / np.where(constant, np.nan, left / free)
            ratio = (left - after) / (free - still_free) / np.where(noise > 0, noise, np.nan)
            chance = np.where(noise > 0, f.sf(ratio, free - still_free, still_free), 0.0)
            explained[effect] = np.stack([np.where(constant, np.nan, np.maximum(share, 0)), chance], axis=1)
    return explained


def _dummies(places: npt.NDArray[np.generic]) -> Floats:
    return pd.get_dummies(places).to_numpy(float)


def _residuals(design: Floats, values: Floats) -> tuple[Floats, int]:
    """Sum of squares (M,) that a design leaves of values (N, M), and its degrees of freedom."""
    fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    return np.sum((values - design @ fitted) ** 2, axis=0), len(values) - int(rank)
