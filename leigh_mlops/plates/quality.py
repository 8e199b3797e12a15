"""Quality: flaws of fields, and the fields that no model should learn from."""

from collections.abc import Collection

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import NO_CLASS, Metadata
from leigh_mlops.plates.flaws import FLAWS

__all__ = ["EXCLUDED_BY_DEFAULT", "FLAGS", "count_flags_by_class", "flag_fields"]

# A reason in a table is a flaw's words and, in brackets, where and how much.
FLAGS = {
    "missing_channel": "missing channel",
    "unreadable": "unreadable",
    "out_of_focus": "out of focus",
    "empty": "empty",
    "saturated": "saturated",
    "debris": "debris",
    "dim": "dim",
    "bright": "bright",
    "by_hand": "excluded in the table",
}
_ANY_IMAGE = ("missing_channel", "unreadable")
EXCLUDED_BY_DEFAULT = ("missing_channel", "unreadable", "empty", "out_of_focus")


def flag_fields(
    table: pd.DataFrame, quality: pd.DataFrame, *, exclude: Collection[str] = EXCLUDED_BY_DEFAULT
) -> pd.DataFrame:
    """Name the flaws of each field, and the fields that are to be left out.

    - missing channel: the table names no file for one.
    - unreadable: a channel has no measure although all have a file.
    - empty: no channel has signal in more than 0.3 % of its pixels (1 % where there is nothing to
      focus on).
    - out of focus: in a channel the field is far less sharp, and hardly half as sharp, as the plate's
      other fields of its class that have signal there, and in none has it three quarters of their
      sharpness. A channel without signal, as TMRM after FCCP, does not count.
    - saturated: more than 1 % of a channel's pixels have the top value of the bit depth that the
      channel has on the plate.
    - debris: bright blobs that shine in every channel cover more than 0.5 % of one, and far more than
      elsewhere on the plate.
    - dim, bright: a channel has far less or more intensity, and less than half or more than twice
      that of the plate's fields of the same class (of all, where there are no classes).

    Of ordinary pictures (``Metadata_Picture``) only the first two are named: the others are flaws of a
    microscope's field.

    Far is 3.5 robust standard deviations (1.4826 MAD; for intensity at least the spread implied by
    the distance from the lowest to the highest tenth of the fields). Where fewer than 12 fields can be
    compared, no flaw that rests on a comparison is named. Debris, saturation and intensity do not
    exclude by default: they may be the phenotype.

    Args:
        table: Image table. A field that has ``Metadata_Excluded`` there stays out, unless its
            ``Metadata_Flags`` name a flaw that excludes by default: this is judged anew. Reasons
            of a user's own in ``Metadata_Flags`` are kept.
        quality: Measures of each field on the table's index, ``<measure>_<channel>`` of ``mean``,
            ``max``, ``bits``, ``at_max``, ``focus``, ``foreground`` and ``debris``, without a number
            where the field could not be read.
        exclude: Names of the flaws that exclude, keys of ``FLAGS``.

    Returns:
        On the table's index ``Metadata_Flags`` (reasons joined by ``; ``, empty for none) and
        ``Metadata_Excluded``.

    Raises:
        LeighError: A flaw is unknown, or ``Metadata_Excluded`` holds something else than yes or no.
    """
    if strange := [name for name in exclude if name not in FLAGS]:
        raise LeighError(f"{strange[0]!r} is not a flaw to exclude by; choose from {', '.join(FLAGS)}.")
    before = _reasons(table[Metadata.FLAGS]) if Metadata.FLAGS in table else _reasons(pd.Series(dtype=object))
    kept = _excluded_by_hand(table, before)
    excluded = kept.copy()
    lines: list[pd.Series[str]] = [before.loc[before["name"].isna(), "reason"]]
    of_pictures = Metadata.PICTURE in table and bool(table[Metadata.PICTURE].fillna(False).all())
    for name in _ANY_IMAGE if of_pictures else FLAWS:
        details = FLAWS[name](table, quality)
        lines.append(FLAGS[name] + details.where(details == "", " (" + details + ")"))
        if name in exclude:
            excluded[details.index] = True
            kept[details.index] = False
    lines.append(pd.Series(FLAGS["by_hand"], index=kept.index[kept]))
    reasons = pd.concat([line.astype(object) for line in lines])
    joined = reasons.groupby(level=0, sort=False).agg("; ".join)
    return pd.DataFrame(
        {Metadata.FLAGS: joined.reindex(table.index, fill_value="").astype("str"), Metadata.EXCLUDED: excluded}
    )


def count_flags_by_class(flags: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Count the fields of each class that have each flaw, so that a user sees a flaw that falls on one class.

    Args:
        flags: What :func:`flag_fields` gives, or a table with its columns.
        table: Image table with the same index.

    Returns:
        One row per flaw (keys of ``FLAGS``) and a last one, ``excluded``; one column per class,
        sorted, and ``no class`` where there are such fields.
    """
    classes = table[Metadata.CONDITION].astype(object)
    columns = [*sorted(classes.dropna().unique()), *([NO_CLASS] if classes.isna().any() else [])]
    classes = classes.fillna(NO_CLASS)
    named = _reasons(flags[Metadata.FLAGS])["name"].dropna()
    out = flags.index[_parse_booleans(flags[Metadata.EXCLUDED])]
    named = pd.concat([named, pd.Series("excluded", index=out)])
    counts = pd.crosstab(named.to_numpy(), classes[named.index].to_numpy())
    counts = counts.rename_axis(index=None, columns=None)
    return counts.reindex(index=[*FLAGS, "excluded"], columns=columns, fill_value=0)


def _reasons(flags: "pd.Series[str]") -> pd.DataFrame:
    """Each ``reason`` in texts of flags, with the ``name`` of its flaw, missing for a user's own words."""
    reasons = flags.dropna().astype(object).str.split("; ").explode()
    reasons = reasons[reasons != ""]
    names = {words: name for name, words in FLAGS.items()}
    return pd.DataFrame({"reason": reasons, "name": reasons.str.split(" (", n=1, regex=False).str[0].map(names)})


def _excluded_by_hand(table: pd.DataFrame, before: pd.DataFrame) -> "pd.Series[bool]":
    """Fields that were excluded by hand in the table."""
    if Metadata.EXCLUDED not in table:
        return pd.Series(False, index=table.index)
    by_rule = before.index[before["name"].isin(EXCLUDED_BY_DEFAULT)]
    by_hand = before.index[before["name"] == "by_hand"]
    return _parse_booleans(table[Metadata.EXCLUDED]) & (~table.index.isin(by_rule) | table.index.isin(by_hand))


def _parse_booleans(column: "pd.Series[bool]") -> "pd.Series[bool]":
    """A column of yes and no, however a table's file wrote them; no where a cell is empty."""
    if column.dtype == bool:
        return column
    text = column.astype(object).fillna("").astype(str).str.strip().str.lower()
    answers = {"true": True, "1": True, "1.0": True, "yes": True}
    answers |= {"false": False, "0": False, "0.0": False, "no": False, "": False}
    if strange := sorted(set(text) - set(answers)):
        raise LeighError(f"Metadata_Excluded holds {strange[0]!r}; write true or false.")
    return text.map(answers).astype(bool)
