"""Which images exist, where they stand on their plates, and on which side of a split."""

from leigh_mlops.plates.demo import is_demo, write_demo_plate
from leigh_mlops.plates.layout import plate_shape, position_features, probe_position
from leigh_mlops.plates.names import PRESETS, FieldName, parse_name, parse_well, well_name
from leigh_mlops.plates.platemap import join_platemap, read_platemap
from leigh_mlops.plates.split import (
    assign_split,
    describe_split,
    leaked_wells,
    require_classes,
    split_fingerprint,
)
from leigh_mlops.plates.table import Found, find_images, read_table, table_channels, write_table

__all__ = [
    "Found",
    "find_images",
    "read_table",
    "write_table",
    "table_channels",
    "assign_split",
    "leaked_wells",
    "split_fingerprint",
    "describe_split",
    "require_classes",
    "FieldName",
    "PRESETS",
    "parse_name",
    "parse_well",
    "well_name",
    "read_platemap",
    "join_platemap",
    "plate_shape",
    "position_features",
    "probe_position",
    "is_demo",
    "write_demo_plate",
]
