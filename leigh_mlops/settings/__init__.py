"""Frozen settings of data, training and search; unknown keys and values out of bounds are refused."""

from leigh_mlops.settings.base import SettingsError, parse_settings
from leigh_mlops.settings.domains import Choice, Domain, Range
from leigh_mlops.settings.files import find_search_files, line_of, load_space
from leigh_mlops.settings.space import Objective, Preset, Resources, SearchSpace
from leigh_mlops.settings.training import TrainingSettings, joint_parts

__all__ = [
    "Choice",
    "Domain",
    "Objective",
    "Preset",
    "Range",
    "Resources",
    "SearchSpace",
    "SettingsError",
    "TrainingSettings",
    "find_search_files",
    "joint_parts",
    "line_of",
    "load_space",
    "parse_settings",
]
