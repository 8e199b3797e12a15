"""Presets: the file names that microscopes and exporters write."""

import re
from dataclasses import dataclass

__all__ = ["DYES", "LOOSE_GENERIC", "PRESETS", "WELL", "Preset"]

WELL = r"(?:A[A-F]|[A-Z])(?:0?[1-9]|[1-3]\d|4[0-8])"  # a plate of 1536 wells ends at AF48
_PADDED = r"[A-Z]{1,2}\d{2}"
_TIFF = r"(?:\.ome)?\.(?i:tiff?)"
_IMAGE = r"(?:\.ome)?\.(?i:png|bmp|tiff?)"
_COMBINED = ("DAPI", "TMRM", "DAPI+TMRM")
DYES = (
    r"DAPI|Hoechst(?:\d{5})?|TMRM|TMRE|MitoTracker|GFP|EGFP|RFP|YFP|CFP|BFP|mCherry|FITC|TRITC|Cy3|Cy5|"
    r"TexasRed|Brightfield|BF|Phase"
)
# The first part that reads as a well is the well: a plate's name may hold no such part, or
# "B03_C1" (well B03, channel 1) would be read as well C01 of a plate "B03".
_NO_WELL = rf"(?!{WELL}[_-])[^_-]*"
_LOWER = r"[a-p](?:0?[1-9]|1\d|2[0-4])"
_NO_LOWER = rf"(?!{_LOWER}[_-])[^_-]*"
_UUID = r"[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}"
_TAIL = (
    r"(?:[_-](?:s|f|F|site|field)?(?P<site>\d{1,9}))?(?:[_-][zZ](?P<z>\d{1,6}))?(?:[_-][tT](?P<time>\d{1,6}))?"
    rf"(?:[_-](?:w|c|ch|C)?(?P<channel>\d{{1,6}}|(?i:{DYES})))?"
    rf"(?:[_-][zZ](?P<late_z>\d{{1,6}}))?(?:[_-][tT](?P<late_time>\d{{1,6}}))?{_IMAGE}"
)


@dataclass(frozen=True)
class Preset:
    """Naming convention of the files of one source.

    Attributes:
        pattern: Matches a whole file name. Its groups are named as the attributes of
            :class:`~leigh_mlops.plates.names.FieldName`; ``well`` or ``well_index`` (counted row
            by row, from 1) may stand for ``row`` and ``col``, ``days``, ``hours`` and ``minutes``
            for ``time``, and ``row_from_0`` and ``col_from_0`` count from 0. ``site_y`` goes before
            ``site``, and ``late_…`` is another place of a group. ``wavelength`` tells
            channels apart that are called alike. A pattern with a ``/`` matches the folder, too.
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
            r"(?: wv (?:[^()]+?) - (?P<channel>[^()]+?))?(?: wix (?P<wavelength>\d{1,3}))?(?: z (?P<z>\d{1,6}))?"
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
            rf"(?:(?P<plate>(?=.*_w\d).+?|{_NO_WELL}(?:[_-]{_NO_WELL})*)_)??(?P<well>{_PADDED}|[A-P]\d)"
            rf"(?=_[sw]\d|_?{_UUID})(?:_s(?P<site>\d{{1,6}}))?(?:_w(?P<channel>\d{{1,2}}?))?(?:_?{_UUID})?{_TIFF}",
            re.ASCII | re.IGNORECASE,
        ),
    ),
    # BioTek Cytation and Lionheart: well, read step, number of the channel, field, channel, time
    "gen5": Preset(
        _compile(
            rf"(?P<well>{WELL})_-?\d{{1,3}}_\d{{1,2}}_(?P<site>\d{{1,6}})(?:Z(?P<z>\d{{1,4}}))?"
            rf"_(?P<channel>.+?)_(?P<time>\d{{3,6}}){_IMAGE}"
        ),
    ),
    # Nikon JOBS; Seq numbers the points of a plate
    "nikon_jobs": Preset(
        _compile(
            rf"(?:(?P<plate>.+?)_)?Well(?P<well>{WELL})(?:_Point[^_]*_(?P<late_site>\d{{1,6}}))?"
            rf"_Channel(?P<channel>.+?)_Seq(?P<site>\d{{1,6}})(?:_Z(?P<z>\d{{1,4}}))?(?:_T(?P<time>\d{{1,6}}))?{_TIFF}"
        ),
    ),
    # Micro-Manager: stacks, and series of single images in a folder per position
    "micromanager": Preset(
        _compile(
            rf"[^/]*/(?:(?P<plate>.+?)_)?MMStack_(?P<well>{WELL})-Site_(?P<site>\d{{1,6}})(?:_\d+)?{_TIFF}"
            rf"|(?:\d+-Pos_)?(?P<late_well>{WELL})-Site_(?P<late_site>\d{{1,6}})/img_(?:channel(?P<channel>\d{{1,3}})"
            rf"_position\d+_time(?P<time>\d{{1,9}})_z(?P<z>\d{{1,6}})"
            rf"|(?P<late_time>\d{{9}})_(?P<late_channel>.+?)_(?P<late_z>\d{{3}})){_TIFF}"
        ),
    ),
    # Squid: the folder is the time point
    "squid": Preset(
        _compile(
            rf"(?:(?P<time>\d{{1,6}})|[^/]*)/(?P<well>{WELL})_(?:(?P<site_y>\d{{1,4}})_)?(?P<site>\d{{1,4}})"
            rf"_(?P<z>\d{{1,4}})_(?P<channel>(?:Fluorescence|BF|DF|LED|Raman|USB)\w*){_IMAGE}"
        ),
    ),
    # Columbus export: row, column, field, plane, time, channel
    "columbus": Preset(
        _compile(
            r"(?P<row>\d{3})(?P<col>\d{3})-(?P<site>\d{1,6})-(?P<z>\d{3})(?P<time>\d{3})(?P<channel>\d{3})"
            rf"{_IMAGE}"
        ),
    ),
    # Leica Matrix Screener: U and V count columns and rows of wells from 0, X and Y fields
    "leica": Preset(
        _compile(
            r".*?--U(?P<col_from_0>\d{2})--V(?P<row_from_0>\d{2})(?:--J\d+)?(?:--E\d+)?(?:--O\d+)?"
            r"--X(?P<site>\d{2,4})--Y(?P<site_y>\d{2,4})(?:--T(?P<time>\d{1,6}))?(?:--Z(?P<z>\d{1,4}))?"
            rf"(?:--C(?P<channel>\d{{1,3}}))?{_TIFF}"
        ),
    ),
    # Exports of ZEN whose scenes are called as their wells
    "zeiss": Preset(
        _compile(
            rf"(?=.*(?:_ORG|x\d+-\d+y|_s\d+[a-z]))(?:(?P<plate>.+?)[_-])?(?P<well>{WELL})(?:-(?P<site>\d{{1,6}}))?_"
            rf"(?:s(?P<late_site>\d{{1,6}}))?(?:h\d+)?(?:t(?P<time>\d{{1,6}}))?(?:z(?P<z>\d{{1,4}}))?c(?P<channel>\d{{1,2}})(?:x\d+-\d+y\d+-\d+)?(?:m\d+)?"
            rf"(?:_ORG)?{_IMAGE}"
        ),
    ),
    # BD Pathway: the folder is the well
    "bd_pathway": Preset(
        _compile(
            r"Well (?P<row>[A-Z]{1,2})(?P<col>\d{1,3})/(?P<channel>[^/]+?) - (?:[^/]+ - )?"
            rf"(?:t(?P<time>\d{{1,6}}))?n(?P<site>\d{{1,6}}){_TIFF}"
        ),
    ),
    # Keyence BZ-X with wells; W numbers them
    "keyence": Preset(
        _compile(
            rf"(?:(?P<plate>.+?)_)?(?:(?P<well>{WELL})|W(?P<well_index>\d{{3,4}}))_(?:(?:XY|P)(?P<site_y>\d{{1,6}})_)?"
            rf"(?:(?P<site>\d{{5}})_)?(?:Z(?P<z>\d{{1,4}})_)?CH(?P<channel>\d{{1,2}})(?:_Z(?P<late_z>\d{{1,4}}))?{_TIFF}"
        ),
    ),
    # BBBC013 to BBBC015; most other plates of the Broad collection are named as imagexpress or cellomics write
    "bbbc013": Preset(
        _compile(rf"Channel ?(?P<channel>\d)-\d{{1,4}}-(?P<row>[A-Z]{{1,2}})-(?P<col>\d{{1,2}}){_IMAGE}"),
    ),
    "generic": Preset(
        _compile(rf"(?:(?P<plate>{_NO_WELL}(?:[_-]{_NO_WELL})*)[_-])?(?P<well>{WELL}){_TAIL}"),
    ),
    "lowercase": Preset(
        _compile(rf"(?:(?P<plate>{_NO_LOWER}(?:[_-]{_NO_LOWER})*)[_-])?(?P<well>{_LOWER}){_TAIL}"),
    ),
}

LOOSE_GENERIC = _compile(
    rf"(?P<plate>(?:{_NO_WELL}[_-])*(?P<plate_letters>[A-Z]{{1,2}})(?P<plate_number>\d{{1,2}}))[_-](?P<well>{WELL}){_TAIL}"
)
"""The generic preset with a plate that is called like a well (``P1_B03_s2``), which
:func:`~leigh_mlops.plates.names.parse_name` takes only where no other reading is left."""
