"""Maps of images from one class to another that need no network: transport, and plain references beside it."""

from leigh_mlops.models.transport.class_fields import ClassFields
from leigh_mlops.models.transport.class_maps import SHAM, TRANSPORT, ClassMaps
from leigh_mlops.models.transport.count_grid import COUNT_STEPS, round_to_steps
from leigh_mlops.models.transport.dead_band import DEAD_BAND_COUNTS, drop_small_changes
from leigh_mlops.models.transport.named_parts import named_parts, part_names
from leigh_mlops.models.transport.references import REFERENCES, ClassMap, MomentMap, NearestField, NoChange, Reference
from leigh_mlops.models.transport.sliced_transport import SlicedTransport
from leigh_mlops.models.transport.transport_fitting import TransportPlan, fit_transport

__all__ = [
    "ClassFields",
    "TransportPlan",
    "fit_transport",
    "SlicedTransport",
    "COUNT_STEPS",
    "round_to_steps",
    "drop_small_changes",
    "DEAD_BAND_COUNTS",
    "named_parts",
    "part_names",
    "REFERENCES",
    "Reference",
    "ClassMap",
    "NoChange",
    "MomentMap",
    "NearestField",
    "TRANSPORT",
    "SHAM",
    "ClassMaps",
]
