"""Files of profiles: Parquet, or AnnData where it is installed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from leigh_mlops.errors import LeighError
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.study.profiles import Profiles

__all__ = ["ProfilePaths", "profile_paths", "write_profiles"]


@dataclass(frozen=True)
class ProfilePaths:
    """Files of one run.

    Attributes:
        wells: Profiles of wells.
        fields: Profiles of fields.
        scores: Scores by features and normalisation; a JSON file with more stands beside it.
        compounds: Activity of compounds.
        consistency: Consistency of what compounds have in common.
        failures: Fields that can't be read, with the reason.
        partial: Folder of embeddings while they are made; removed at the end.
    """

    wells: Path
    fields: Path
    scores: Path
    compounds: Path
    consistency: Path
    failures: Path
    partial: Path


def profile_paths(out: Path) -> ProfilePaths:
    """Files beside a file for the profiles of wells.

    Raises:
        LeighError: Its suffix is unknown, or a library that writes it is missing.
    """
    _find_writer(out)
    names = ("scores", "compounds", "consistency", "failures")
    tables = {name: out.with_name(f"{out.stem}_{name}.csv") for name in names}
    fields, partial = out.with_name(f"{out.stem}_fields{out.suffix}"), out.with_name(f".{out.stem}_embedding")
    return ProfilePaths(wells=out, fields=fields, partial=partial, **tables)


def write_profiles(profiles: Profiles, path: Path, facts: Mapping[str, str]) -> None:
    """Write profiles in the format of the suffix, with texts on how they were made.

    pandas gives the texts back as ``attrs`` of the table, anndata as ``uns``.

    Raises:
        LeighError: The suffix is unknown, or a library that writes it is missing.
    """
    writer = _find_writer(path)
    with atomic_write(path) as temporary:
        writer(profiles, temporary, facts)


def _find_writer(path: Path) -> Callable[[Profiles, Path, Mapping[str, str]], None]:
    if path.suffix not in _WRITERS:
        raise LeighError(f"--out {path} has no known format; end its name in {' or '.join(_WRITERS)}.")
    if path.suffix == ".h5ad":
        _import_anndata(path)
    return _WRITERS[path.suffix]


def _write_parquet(profiles: Profiles, path: Path, facts: Mapping[str, str]) -> None:
    table = profiles.to_table()
    table.attrs.update(facts)
    table.to_parquet(path, index=False)


def _write_anndata(profiles: Profiles, path: Path, facts: Mapping[str, str]) -> None:
    anndata = _import_anndata(path)
    metadata = profiles.metadata
    columns = {
        str(name): metadata[name] if is_numeric_dtype(metadata[name]) else _categories(metadata[name])
        for name in metadata
    }
    anndata.AnnData(
        X=profiles.features.astype(np.float32),
        obs=pd.DataFrame(columns).set_axis(pd.Index(map(str, range(len(metadata))), dtype=object)),
        var=pd.DataFrame(index=pd.Index(profiles.names, dtype=object)),
        uns=dict(facts),
    ).write_h5ad(path)


def _categories(texts: "pd.Series[str]") -> pd.Categorical:
    """Texts as categories, which every version of the format holds, missing ones among them; pandas' own texts not."""
    values = texts.astype(object).where(texts.notna(), None)
    known = pd.Index(sorted({str(value) for value in values if value is not None}), dtype=object)
    return pd.Categorical([None if value is None else str(value) for value in values], categories=known)


def _import_anndata(path: Path) -> Any:  # noqa: ANN401
    try:
        import anndata
    except ImportError:
        raise LeighError(
            f"--out {path} needs anndata, which is not installed; install leigh_mlops[anndata], or name a .parquet "
            "file."
        ) from None
    return anndata


_WRITERS = {".parquet": _write_parquet, ".h5ad": _write_anndata}
