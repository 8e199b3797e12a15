"""Channels: the file, page or plane of each, and its name."""

from collections.abc import Mapping

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folder_scan import file_paths
from leigh_mlops.plates.pages import Page, Pages, first_pages

__all__ = ["ChannelNames", "find_channels", "name_channels", "pick_channels"]

Wanted = Mapping[str, int | str]
ChannelNames = tuple[str, ...]
_COLUMNS = ("FileName", "PathName", "Frame", "Sample", "Illumination")


def name_channels(
    files: pd.DataFrame, wanted: Wanted | None, called: Mapping[str, str]
) -> tuple[pd.DataFrame, ChannelNames]:
    """Name the channels of files whose names, index or pages give a channel.

    Args:
        files: One row per file, ``channel`` is a number or a name.
        wanted: Name to number or name of the channels to keep, in order; all by default.
        called: Number to name, as the acquisition calls it.

    Returns:
        The files that are kept, with named channels and one row per plane, and the names.

    Raises:
        LeighError: No file has a wanted channel, or a file holds several pages of unknown meaning.
    """
    present = sorted(files["channel"].unique(), key=_sort_key)
    names = _default_names(present, called) if wanted is None else _wanted_names(present, wanted, called)
    kept = files[files["channel"].isin(list(names))]
    if kept["frame"].isna().all():
        kept = pd.concat([_planes(rows) for _, rows in kept.groupby("channel", sort=False)])
    return kept.assign(channel=kept["channel"].map(names)), tuple(names.values())


def are_names_assumed(present: list[str], called: Mapping[str, str]) -> bool:
    """Return whether channels 1 and 2 are assumed to be DAPI and TMRM because nothing names them."""
    return present == ["1", "2"] and not called


def _sort_key(channel: str) -> tuple[bool, int, str]:
    return (not channel.isdecimal(), int(channel) if channel.isdecimal() else 0, channel)


def _default_names(present: list[str], called: Mapping[str, str]) -> dict[str, str]:
    if are_names_assumed(present, called):
        return {"1": "DAPI", "2": "TMRM"}
    names: dict[str, str] = {}
    for number in present:
        name = called.get(number) or (f"ch{number}" if number.isdecimal() else number)
        names[number] = f"{name} (ch{number})" if name in names.values() else name
    return names


def _wanted_names(present: list[str], wanted: Wanted, called: Mapping[str, str]) -> dict[str, str]:
    numbers = {name: number for number, name in called.items()}
    found = {
        name: str(given) if str(given) in present else numbers.get(str(given), "") for name, given in wanted.items()
    }
    if absent := [f"{name} ({wanted[name]})" for name, number in found.items() if number not in present]:
        there = ", ".join(f"{number} {called[number]}" if number in called else number for number in present)
        raise LeighError(f"no file has channel {', '.join(absent)}; the files have {there}.")
    if len(set(found.values())) < len(found):
        raise LeighError(f"two of the channels {', '.join(wanted)} are the same; name each once.")
    return {number: name for name, number in found.items()}


def _planes(files: pd.DataFrame) -> pd.DataFrame:
    """One row per page of the files of one channel; the files themselves where each has one page."""
    pages = first_pages(file_paths(files))
    if pages is None or pages.count == 1:
        return files
    if pages.meaning is None or pages.size("channel") > 1:
        raise LeighError(
            f"{escape_unprintable(pages.path)} holds {pages.count} pages without axes, "
            "but its name gives one channel; export one page per file, or with axes (OME-TIFF)."
        )
    return _expand_pages(files, pages, pages.meaning).assign(channel=files["channel"].iloc[0])


def find_channels(
    files: pd.DataFrame, wanted: Wanted | None
) -> tuple[pd.DataFrame, ChannelNames, Mapping[str, str] | None]:
    """Find the channels of files whose names give none: planes of a colour, or pages.

    Returns:
        The files, the names of the planes that each holds, and ``None``; where they have pages,
        one row per page with a numbered ``channel``, no names, and number to name.

    Raises:
        LeighError: None of the first files can be read, or pages of unknown meaning.
    """
    pages = first_pages(file_paths(files))
    if pages is None:
        first = next(file_paths(files))
        raise LeighError(
            f"{escape_unprintable(first)} and the files next to it cannot be read as images; export them again."
        )
    if pages.count == 1:
        return files.assign(channel=""), ("R", "G", "B") if pages.samples >= 3 else ("Grey",), None
    expanded = _expand_pages(files, pages, pages.meaning or _pages_as_channels(pages, wanted))
    called = pages.channel_names or ({"1": "Grey"} if len(set(expanded["channel"])) == 1 else {})
    return expanded, (), called


def _pages_as_channels(pages: Pages, wanted: Wanted | None) -> tuple[Page, ...]:
    """Take pages without axes for channels, only where the user says so: they may as well be planes or times."""
    if wanted is None or pages.samples > 1:
        raise LeighError(
            f"{escape_unprintable(pages.path)} holds {pages.count} pages and does not state whether they are "
            "channels or planes; "
            "name the channels by their page numbers (DAPI=1, TMRM=2), or export with axes (OME-TIFF)."
        )
    return tuple(Page(number, 0, 0) for number in range(pages.count))


def _expand_pages(files: pd.DataFrame, pages: Pages, meaning: tuple[Page, ...]) -> pd.DataFrame:
    if pages.samples > 1:
        raise LeighError(
            f"{escape_unprintable(pages.path)} holds {pages.count} colour pages; export one page per file."
        )
    page_columns = pd.DataFrame({"channel": [str(page.channel + 1) for page in meaning], "frame": range(len(meaning))})
    for axis, column in (("z", Metadata.Z), ("time", Metadata.TIME)):
        if pages.size(axis) > 1:
            if len(set(files[column].dropna())) > 1:
                raise LeighError(
                    f"{escape_unprintable(pages.path)} holds pages of several {axis}, "
                    f"and the file names number {axis}, too; export in one of the two ways."
                )
            page_columns[column] = [getattr(page, axis) + 1 for page in meaning]
    bare = files.drop(columns=list(page_columns.columns))
    return bare.merge(page_columns, how="cross")[[*files.columns]]


def pick_channels(table: pd.DataFrame, names: ChannelNames, wanted: Wanted | None) -> tuple[pd.DataFrame, ChannelNames]:
    """Choose and rename channels of an image table.

    Args:
        table: Image table.
        names: Its channels, in the order of its columns.
        wanted: Name to number (from 1, in the order of the columns) or name of the channels.

    Returns:
        The table with the columns of the wanted channels alone, renamed, and their names in the
        order wanted. Planes of packed files keep their place in ``Sample_<Ch>`` ("2/3").

    Raises:
        LeighError: There is no such channel, or one is named twice.
    """
    if wanted is None:
        return table, names
    numbers = [str(number) for number in range(1, len(names) + 1)]
    picked = _wanted_names(numbers, wanted, dict(zip(numbers, names, strict=True)))
    chosen = {names[int(number) - 1]: new for number, new in picked.items()}
    table = table.assign(**_samples(table, names, list(chosen)))
    unused = [f"{kind}_{name}" for name in names if name not in chosen for kind in _COLUMNS]
    renamed = {f"{kind}_{old}": f"{kind}_{new}" for old, new in chosen.items() for kind in _COLUMNS}
    kept = table.drop(columns=[name for name in unused if name in table]).rename(columns=renamed)
    order = [f"{kind}_{name}" for kind in _COLUMNS for name in wanted if f"{kind}_{name}" in kept]
    return kept[[*(name for name in kept if name not in order), *order]], tuple(wanted)


def _samples(table: pd.DataFrame, names: ChannelNames, chosen: list[str]) -> dict[str, "pd.Series[str]"]:
    """Columns ``Sample_<Ch>``: the plane of a packed file for each channel, for channels that share their files."""
    pages = {
        name: table[[column for kind in ("PathName", "FileName", "Frame") if (column := f"{kind}_{name}") in table]]
        .astype("str").agg("/".join, axis=1)
        for name in names
    }  # fmt: skip
    columns = {}
    for name in chosen:
        same = pd.DataFrame({other: pages[other] == pages[name] for other in names})
        count, place = same.sum(axis=1), same.loc[:, :name].sum(axis=1)
        if (count > 1).any() and f"Sample_{name}" not in table:
            columns[f"Sample_{name}"] = place.astype("str") + "/" + count.astype("str")
    return columns
