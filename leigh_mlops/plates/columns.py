"""Column names of the image table."""

from typing import Final

__all__ = ["NO_CLASS", "Metadata", "add_metadata_prefix", "is_metadata", "strip_metadata_prefix"]

_PREFIX = "Metadata_"
NO_CLASS: Final = "no class"
"""Name under which fields without a class are counted."""


class Metadata:
    """Metadata columns of the image table, by the names that Cell Painting profiles share."""

    PLATE: Final = "Metadata_Plate"
    WELL: Final = "Metadata_Well"
    ROW: Final = "Metadata_Row"
    COLUMN: Final = "Metadata_Col"
    SITE: Final = "Metadata_Site"
    Z: Final = "Metadata_Z"
    TIME: Final = "Metadata_Time"
    ACQUISITION: Final = "Metadata_Acquisition"
    PIXEL_SIZE_UM: Final = "Metadata_PixelSize_um"
    FIELD_UM: Final = "Metadata_Field_um"
    MAGNIFICATION: Final = "Metadata_Magnification"
    CONDITION: Final = "Metadata_Condition"
    CONTROL: Final = "Metadata_Control"
    DONOR: Final = "Metadata_Donor"
    BATCH: Final = "Metadata_Batch"
    SPLIT: Final = "Metadata_Split"
    FLAGS: Final = "Metadata_Flags"
    EXCLUDED: Final = "Metadata_Excluded"
    PICTURE: Final = "Metadata_Picture"
    TILE: Final = "Metadata_Tile"
    PLATE_MAP_NAME: Final = "Metadata_Plate_Map_Name"
    PERT_TYPE: Final = "Metadata_pert_type"
    CONTROL_TYPE: Final = "Metadata_control_type"


def is_metadata(name: object) -> bool:
    """Return whether a column describes the field instead of measuring it."""
    return str(name).startswith(_PREFIX)


def add_metadata_prefix(name: str) -> str:
    """Return the metadata column of a name.

    Example:
        >>> add_metadata_prefix("Donor")
        'Metadata_Donor'
    """
    return f"{_PREFIX}{name}"


def strip_metadata_prefix(column: object) -> str:
    """Return a column's name without the prefix of metadata.

    Example:
        >>> strip_metadata_prefix("Metadata_Donor"), strip_metadata_prefix("energy")
        ('Donor', 'energy')
    """
    return str(column).removeprefix(_PREFIX)
