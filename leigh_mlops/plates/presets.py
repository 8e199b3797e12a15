"""Presets: the file names that microscopes and exporters write."""

import re
from dataclasses import dataclass

__all__ = ["LOOSE_GENERIC", "PRESETS", "WELL", "Preset"]

WELL = r"(?:A[A-F]|[A-Z])(?:0?[1-9]|[1-3]\d|4[0-8])"  # a plate of 1536 wells ends at AF48
_PADDED = r"[A-Z]{1,2}\d{2}"
_TIFF = r"(?:\.ome)?\.(?i:tiff?)"
_IMAGE = r"(?:\.ome)?\.(?i:png|bmp|tiff?)"
_COMBINED = ("DAPI", "TMRM", "DAPI+TMRM")
_DYES = (
    r"DAPI|Hoechst(?:\d{5})?|TMRM|TMRE|MitoTracker|GFP|EGFP|RFP|YFP|CFP|BFP|mCherry|FITC|TRITC|Cy3|Cy5|"
    r"TexasRed|Brightfield|BF|Phase"
)
# The first part that reads as a well is the well: a plate's name may hold no such part, or
# "B03_C1" (well B03, channel 1) would be read as well C01 of a plate "B03".
_NO_WELL = rf"(?!{WELL}[_-])[^_-]*"
_UUID = r"[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}"
_TAIL = (
    r"(?:[_-](?:s|f|F|site|field)?(?P<site>\d{1,9}))?(?:[_-][zZ](?P<z>\d{1,6}))?(?:[_-][tT](?P<time>\d{1,6}))?"
    rf"(?:[_-](?:w|c|ch|C)?(?P<channel>\d{{1,6}}|(?i:{_DYES})))?"
    rf"(?:[_-][zZ](?P<late_z>\d{{1,6}}))?(?:[_-][tT](?P<late_time>\d{{1,6}}))?{_IMAGE}"
)


@dataclass(frozen=True)
class Preset:
    """Naming convention of the files of one source.

    Attributes:
        pattern: Matches a whole file name. Its groups are named as the attributes of
            :class:`~leigh_mlops.plates.names.FieldName`; ``well`` or ``well_index`` (counted row
            by row, from 1) may stand for ``row`` and ``col``, ``days``, ``hours`` and ``minutes``
            for ``time``.
        packed: Channels that one file holds, in the order of its planes; ``None`` where each
            channel has a file of its own or the file itself tells.
    """

    pattern: re.Pattern[str]
    packed: tuple[str, ...] | None = None


def _compile(pattern: str, flags: re.RegexFlag = re.ASCII) -> re.Pattern[str]:
    return re.compile(pattern, flags)


PRESETS: dict[str, Preset] = {
    "leigh_ds_tt": Preset(
        _compile(
            r"(?P<condition>[A-Za-z]+)(?P<row>\d{3})(?P<col>\d{3})-(?P<site>\d{1,9})"
            rf"-(?P<z>\d{{3}})(?P<time>\d{{3}})combined(?:_\d+_pixel)?{_IMAGE}"
        ),
        _COMBINED,
    ),
    "leigh_ds_wt": Preset(
        _compile(
            r"(?P<plate>\d+)(?P<condition>[A-Za-z]+?)r(?P<row>\d{2})c(?P<col>\d{2})f(?P<site>\d{2,4})"
            rf"p(?P<z>\d{{2,3}})-combined-sk\d+fk\d+fl\d+(?:_\d+_pixel)?{_IMAGE}"
        ),
        _COMBINED,
    ),
    # Opera Phenix and Operetta
    "harmony": Preset(
        _compile(
            r"r(?P<row>\d{2})c(?P<col>\d{2})f(?P<site>\d{2,4})p(?P<z>\d{2,3})(?:rc\d)?"
            rf"-ch(?P<channel>\d{{1,2}})(?:sk(?P<time>\d{{1,6}})fk\d+fl\d+|t(?P<late_time>\d{{1,6}})){_TIFF}"
        ),
    ),
    # Yokogawa CellVoyager; L is a timeline, A an action of the protocol
    "cv7000": Preset(
        _compile(
            rf"(?P<plate>.+)_(?P<well>{_PADDED})_T(?P<time>\d{{4}})F(?P<site>\d{{3,4}})L\d{{2}}A\d{{2}}"
            rf"Z(?P<z>\d{{2,3}})C(?P<channel>\d{{2}})(?:{_TIFF}|\.(?i:png))"
        ),
    ),
    # The channel is called by its emission, which is more informative than the excitation
    "incell": Preset(
        _compile(
            r"(?P<row>[A-Z]{1,2}) - (?P<col>\d{1,2})\(fld (?P<site>\d{1,6})"
            r"(?: wv (?:[^()]+?) - (?P<channel>[^()]+?))?(?: wix \d+)?(?: z (?P<z>\d{1,6}))?"
            rf"(?: time (?P<time>\d{{1,6}})(?: - \d+ms)?)?\){_TIFF}"
        ),
    ),
    "cellomics": Preset(
        _compile(
            rf"(?P<plate>.+)_(?P<well>{_PADDED})f(?P<site>\d{{1,4}})d(?P<channel>\d{{1,2}})(?:{_TIFF}|\.(?i:c01|dib))"
        ),
    ),
    "scanr": Preset(
        _compile(
            rf"(?:(?P<well>{WELL})|.*?)--W(?P<well_index>\d{{4,5}})--P(?P<site>\d{{3,5}})--Z(?P<z>\d{{3,5}})"
            rf"--T(?P<time>\d{{3,5}})--(?P<channel>.+?){_TIFF}"
        ),
    ),
    "incucyte": Preset(
        _compile(
            rf".+_(?P<well>{WELL})_(?P<site>\d{{1,3}})_(?P<days>\d{{2,3}})d(?P<hours>\d{{2}})h"
            rf"(?P<minutes>\d{{2}})m{_TIFF}"
        ),
    ),
    # MetaXpress; a plate may be called like a well only where the channel rules another reading out
    "imagexpress": Preset(
        _compile(
            rf"(?:(?P<plate>(?=.*_w\d).+?|{_NO_WELL}(?:[_-]{_NO_WELL})*)_)??(?P<well>{_PADDED})"
            rf"(?=_[sw]\d|{_UUID})(?:_s(?P<site>\d{{1,6}}))?(?:_w(?P<channel>\d{{1,2}}?))?(?:{_UUID})?{_TIFF}",
            re.ASCII | re.IGNORECASE,
        ),
    ),
    "generic": Preset(
        _compile(rf"(?:(?P<plate>{_NO_WELL}(?:[_-]{_NO_WELL})*)[_-])?(?P<well>{WELL}){_TAIL}"),
    ),
}

LOOSE_GENERIC = _compile(
    rf"(?P<plate>(?:{_NO_WELL}[_-])*(?P<plate_letters>[A-Z]{{1,2}})(?P<plate_number>\d{{1,2}}))[_-](?P<well>{WELL}){_TAIL}"
)
"""The generic preset with a plate that is called like a well (``P1_B03_s2``), which
:func:`~leigh_mlops.plates.names.parse_name` takes only where no other reading is left."""
