"""The main job: from a folder of images to registered versions."""

from leigh_mlops.study.evaluation import Evaluation, evaluate_package
from leigh_mlops.study.prepare import DataSource, find_data, prepare
from leigh_mlops.study.registered import evaluate_version, matching_data, plate_adjustments
from leigh_mlops.study.run import Study, resume_newest
from leigh_mlops.study.spaces import check_spaces

__all__ = [
    "DataSource",
    "Evaluation",
    "Study",
    "check_spaces",
    "evaluate_package",
    "evaluate_version",
    "find_data",
    "matching_data",
    "plate_adjustments",
    "prepare",
    "resume_newest",
]
