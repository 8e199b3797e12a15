"""Image tables of plates: finding images, positions, layout, quality, confounds and splits."""

from leigh_mlops.plates.bit_depth import BitDepth, bit_depths
from leigh_mlops.plates.confounds import (
    position_effects,
    probe_confounds,
    probe_features,
    probe_plate,
    probe_position,
    probe_view,
)
from leigh_mlops.plates.control_labels import standard_controls
from leigh_mlops.plates.demo import DemoDesign, find_twins, flawed_fields, is_demo, write_demo_plate
from leigh_mlops.plates.donors import Donors, describe_donors
from leigh_mlops.plates.find_images import FoundImages, find_images
from leigh_mlops.plates.folds import NO_FOLD, assign_folds, fold_split, nested_folds
from leigh_mlops.plates.layout import Layout, describe_layout, has_other_class_neighbour, plate_shape, position_features
from leigh_mlops.plates.names import PRESETS, FieldName, parse_name, parse_well, well_name
from leigh_mlops.plates.number_cells import CellProblem
from leigh_mlops.plates.picture_folders import PICTURES
from leigh_mlops.plates.pixel_sizes import (
    chosen_width,
    differing_scales,
    require_one_scale,
    scale_phrases,
    set_field_width,
    widths_differ,
)
from leigh_mlops.plates.platemap_file import PlatemapReading, parse_platemap, read_platemap
from leigh_mlops.plates.platemap_headers import HeaderReading
from leigh_mlops.plates.platemap_join import join_platemap
from leigh_mlops.plates.quality import EXCLUDED_BY_DEFAULT, FLAGS, count_flags_by_class, flag_fields
from leigh_mlops.plates.repeats import RepeatChoice, parse_repeat
from leigh_mlops.plates.split import (
    assign_split,
    describe_split,
    leaked_wells,
    parse_shares,
    require_classes,
    split_fingerprint,
)
from leigh_mlops.plates.table import check_table_path, read_table, table_channels, write_table
from leigh_mlops.plates.tiles import tile_rows
from leigh_mlops.plates.treatment import (
    COMPOUND_COLUMNS,
    TreatedCounts,
    count_treated,
    is_treated,
    leave_out_treated,
    well_compounds,
)
from leigh_mlops.plates.well_uses import WellUse, well_uses

__all__ = [
    "FoundImages",
    "find_images",
    "read_table",
    "write_table",
    "check_table_path",
    "table_channels",
    "assign_split",
    "leaked_wells",
    "split_fingerprint",
    "describe_split",
    "parse_shares",
    "require_classes",
    "NO_FOLD",
    "assign_folds",
    "fold_split",
    "nested_folds",
    "COMPOUND_COLUMNS",
    "TreatedCounts",
    "count_treated",
    "is_treated",
    "leave_out_treated",
    "well_compounds",
    "RepeatChoice",
    "parse_repeat",
    "tile_rows",
    "chosen_width",
    "differing_scales",
    "require_one_scale",
    "scale_phrases",
    "set_field_width",
    "widths_differ",
    "Donors",
    "describe_donors",
    "FieldName",
    "PICTURES",
    "PRESETS",
    "parse_name",
    "parse_well",
    "well_name",
    "CellProblem",
    "HeaderReading",
    "PlatemapReading",
    "parse_platemap",
    "standard_controls",
    "WellUse",
    "well_uses",
    "read_platemap",
    "join_platemap",
    "plate_shape",
    "position_features",
    "Layout",
    "describe_layout",
    "has_other_class_neighbour",
    "probe_confounds",
    "probe_view",
    "probe_position",
    "probe_plate",
    "probe_features",
    "position_effects",
    "BitDepth",
    "bit_depths",
    "EXCLUDED_BY_DEFAULT",
    "FLAGS",
    "flag_fields",
    "count_flags_by_class",
    "DemoDesign",
    "flawed_fields",
    "is_demo",
    "find_twins",
    "write_demo_plate",
]
