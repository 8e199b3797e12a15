"""The main job: from a folder of images to registered versions."""

from leigh_mlops.study.evaluate_version import evaluate_version, matching_data, plate_adjustments
from leigh_mlops.study.evaluation import Evaluation, evaluate_package
from leigh_mlops.study.prepare import DataSource, find_data, prepare_data
from leigh_mlops.study.search_study import SearchStudy, resume_newest
from leigh_mlops.study.spaces import check_spaces
from leigh_mlops.study.study_options import StudyOptions

__all__ = [
    "DataSource",
    "Evaluation",
    "SearchStudy",
    "StudyOptions",
    "check_spaces",
    "evaluate_package",
    "evaluate_version",
    "find_data",
    "matching_data",
    "plate_adjustments",
    "prepare_data",
    "resume_newest",
]
