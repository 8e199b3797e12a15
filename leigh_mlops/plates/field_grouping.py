"""Conversion from one row per file to one row per field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.channels import ChannelNames, are_names_assumed, find_channels, name_channels, pick_channels
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folder_scan import Scan, file_paths
from leigh_mlops.plates.names import PRESETS
from leigh_mlops.plates.planes import project
from leigh_mlops.plates.repeats import RepeatChoice, choose_repeats
from leigh_mlops.plates.table import KEY, set_column_types

__all__ = ["GatheredFields", "gather_fields"]

_ABOUT = [Metadata.ROW, Metadata.COLUMN, "condition", "split", Metadata.PIXEL_SIZE_UM, Metadata.MAGNIFICATION]
_COLUMNS = (("FileName", "name"), ("PathName", "folder"), ("Frame", "frame"))


@dataclass(frozen=True)
class GatheredFields:
    """Fields of one scan.

    Attributes:
        table: The image table.
        channels: Names of the channels.
        notes: Decisions made on the way, each a part of a sentence.
        repeats: Choice of time points and acquisitions, each a part of a sentence.
        left_out: Files of the scan that belong to no field, each with the reason.
    """

    table: pd.DataFrame
    channels: ChannelNames
    notes: list[str] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    left_out: dict[Path, str] = field(default_factory=dict)


def gather_fields(
    scan: Scan,
    channels: Mapping[str, int | str] | None = None,
    z: int | Literal["max"] = "max",
    *,
    time: RepeatChoice = None,
    acquisition: RepeatChoice = None,
) -> GatheredFields:
    """Turn a table of files into a table of fields.

    Args:
        scan: The files.
        channels: Name to number or name of the channels to keep, in the order wanted.
        z: ``max`` to project all planes of a field, or the number of the plane to keep.
        time: Time point to keep, where a field has several.
        acquisition: Acquisition to keep, where a field has several.

    Raises:
        LeighError: No file has a channel or a plane that was named, pages have no meaning, or two
            files stand for one channel of a field.
    """
    files, left_out = scan.files, {}
    packed = PRESETS[scan.preset].packed if scan.preset in PRESETS else None
    names: ChannelNames = packed or ()
    called: Mapping[str, str] | None = None if packed else scan.channel_names
    if packed:
        files = files.assign(channel="")
    elif files["channel"].notna().any():
        alone = files["channel"].isna()
        left_out = dict.fromkeys(file_paths(files[alone]), "a file of a whole field among files of single channels")
        files = files[~alone]
    else:
        files, names, called = find_channels(files, channels)
    repeats: list[str] = []

    def choose(files: pd.DataFrame) -> pd.DataFrame:
        """Keep one acquisition and one time point of each field."""
        _check_one_file_per_channel(files)
        for column, wanted in ((Metadata.ACQUISITION, acquisition), (Metadata.TIME, time)):
            files, note = choose_repeats(files, column, wanted)
            repeats.extend([note] if note else [])
        return files

    if called is None:
        files, notes = _project_planes(choose(files), z, left_out)
        table, names = pick_channels(_table(files, names), names, channels)
    else:
        assumed = channels is None and are_names_assumed(sorted(files["channel"].unique()), called)
        files, names = name_channels(files, channels, called)
        files, notes = _project_planes(choose(files), z, left_out)
        if assumed:
            notes.append("channels 1 and 2 are taken for DAPI and TMRM")
        table = _table(files, names)
    return GatheredFields(table, names, notes, repeats, left_out)


def _project_planes(
    files: pd.DataFrame, z: int | Literal["max"], left_out: dict[Path, str]
) -> tuple[pd.DataFrame, list[str]]:
    files, note, without_plane = project(files, z)
    left_out |= dict.fromkeys(file_paths(without_plane), "a file without a plane among planes of its channel")
    return files, [note] if note else []


def _table(files: pd.DataFrame, channels: ChannelNames) -> pd.DataFrame:
    key = [name for name in KEY if name in files and files[name].notna().any()]
    fields = files.groupby(key, dropna=False, sort=True)
    number = fields.ngroup().to_numpy()
    table = fields[[name for name in _ABOUT if name in files]].first().reset_index()
    table = table.rename(columns={"condition": Metadata.CONDITION, "split": Metadata.SPLIT})
    optional = [name for name in (Metadata.SPLIT, Metadata.PIXEL_SIZE_UM, Metadata.MAGNIFICATION) if name in table]
    table = table.drop(columns=[name for name in optional if table[name].isna().all()])
    of_channel = {channel: files["channel"].isin([channel, ""]).to_numpy() for channel in channels}
    for kind, column in _COLUMNS:
        if column == "frame" and files["frame"].isna().all():
            continue
        for channel in channels:
            values = np.full(len(table), None, dtype=object)
            rows = of_channel[channel]
            values[number[rows]] = files[column].to_numpy(dtype=object)[rows]
            table[f"{kind}_{channel}"] = values
    return set_column_types(table)


def _check_one_file_per_channel(files: pd.DataFrame) -> None:
    whole = [name for name in (*KEY, "channel") if name in files]
    twice = files[files.duplicated(whole, keep=False)].sort_values(whole)
    if len(twice):
        first, second = (Path(f, n) for f, n in twice[["folder", "name"]].head(2).to_numpy())
        row = twice.iloc[0]
        remedy = "remove one"
        if first.parent != second.parent:
            remedy = "read different plates separately or under different names, or remove one"
        elif pd.isna(row["channel"]) or row["channel"] == "":
            remedy = "distinguish them by a pattern (channel, site, z, time), or remove one"
        raise LeighError(
            f"{escape_unprintable(first)} and {escape_unprintable(second)} are the same channel of the same field "
            f"({row[Metadata.PLATE]}/{row[Metadata.WELL]}, field {row[Metadata.SITE]}); {remedy}."
        )
