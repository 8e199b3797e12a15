"""Controls of a plate: negative, positive and empty wells in the standard words, whatever a map calls them."""

import re

import pandas as pd

from leigh_mlops.plates.columns import Metadata

__all__ = ["CONTROLS", "standard_controls"]

CONTROLS = ("negcon", "poscon", "empty")
_WORDS = {
    "negcon": "neg negative negativ negatif negativo negativkontrolle negativecontrol negativekontrolle negcontrol nc",
    "poscon": "pos positive positiv positif positivo positivkontrolle positivecontrol positivekontrolle poscontrol pc",
    "empty": "leer blank vide vacio vuoto",
}
_SPELLINGS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_TREATED = ("", "trt", "treatment", "sample")


def standard_controls(table: pd.DataFrame) -> tuple["pd.Series[str] | None", list[str]]:
    """Read the two dialects of controls, and a plain column of them.

    ``Metadata_Control`` counts before ``Metadata_pert_type``; where the latter says ``control``,
    ``Metadata_control_type`` says which. Anything that begins with ``poscon`` (``poscon_cp``,
    ``poscon_diverse``, ...) is a positive control, and so are the usual words in several languages.

    Args:
        table: Image table or plate map, any number of rows.

    Returns:
        One of ``negcon``, ``poscon``, ``empty`` or missing for each row, or ``None`` where the
        table has no such column; and the words that were not understood and count as missing.
    """
    plain, kinds, types = (
        table[name].astype("str").str.strip().str.casefold().where(table[name].notna())
        if name in table
        else pd.Series(None, index=table.index, dtype="str")
        for name in (Metadata.CONTROL, Metadata.PERT_TYPE, Metadata.CONTROL_TYPE)
    )
    if not {Metadata.CONTROL, Metadata.PERT_TYPE, Metadata.CONTROL_TYPE} & set(table.columns):
        return None, []
    kinds = kinds.where(kinds != "control", types).fillna(types if Metadata.PERT_TYPE not in table else None)
    words = plain.fillna(kinds)
    words = words.map(lambda word: _SPELLINGS.get(re.sub(r"[\s_-]", "", word), word), na_action="ignore").astype("str")
    standard = words.where(~words.str.startswith("poscon", na=False), "poscon")
    unknown = standard[standard.notna() & ~standard.isin([*CONTROLS, *_TREATED])]
    return standard.where(standard.isin(CONTROLS)), sorted(unknown.unique())
