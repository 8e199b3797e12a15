"""Frozen settings of data, training and search; unknown keys and values out of bounds are refused."""

from leigh_mlops.settings.augmentation_settings import AUGMENTATIONS, augmentation_text, read_augmentation
from leigh_mlops.settings.base import SettingsError, parse_settings
from leigh_mlops.settings.domains import Choice, Domain, Range
from leigh_mlops.settings.search_files import UNLABELLED_FAMILIES, find_line, find_search_files, load_space
from leigh_mlops.settings.space import SearchObjective, SearchPreset, SearchSpace, TrialResources
from leigh_mlops.settings.training_settings import IMAGENET_IF_AVAILABLE, TrainingSettings, joint_parts

__all__ = [
    "AUGMENTATIONS",
    "IMAGENET_IF_AVAILABLE",
    "UNLABELLED_FAMILIES",
    "Choice",
    "Domain",
    "SearchObjective",
    "SearchPreset",
    "Range",
    "TrialResources",
    "SearchSpace",
    "SettingsError",
    "TrainingSettings",
    "find_search_files",
    "joint_parts",
    "find_line",
    "load_space",
    "parse_settings",
    "augmentation_text",
    "read_augmentation",
]
