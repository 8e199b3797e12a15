"""Options of a study: everything that determines its result."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Config, DataFacts, StudySettings
from leigh_mlops.models import MODELS
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.run_notes import search_note
from leigh_mlops.settings import SearchSpace, parse_settings
from leigh_mlops.study.champion import JUDGES
from leigh_mlops.study.left_out_plates import leave_out_splits
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.tracking import revision
from leigh_mlops.training import PreparedData

__all__ = ["CHECKPOINT_CHOICES", "StudyOptions"]

CHECKPOINT_CHOICES = ("all", "best", "none")


@dataclass(frozen=True)
class StudyOptions:
    """Options of one search over several families.

    Attributes:
        source: Images and split.
        spaces: One search space per family.
        seed: Seed of trials; the split has its own in ``source``.
        time_budget_s: For all searches together; families share it by their ``time_share``.
        line: First part of the registered names.
        checkpoints: ``best`` to store the networks of the best and the last epoch of each kept trial, ``none`` to store
            those of the winners alone, ``all`` to keep every trial.
        judge_by: ``plate`` to train each winner again without each plate, and compare it with the champion on plates
            that neither has seen; ``well`` to compare them on validation wells.
        first_configs: Configurations of each family's trials after the published one, by family.
        families_given: Whether the user named the families. Otherwise those that need labels are left out where there
            are none. No part of the settings.
    """

    source: DataSource
    spaces: Sequence[SearchSpace]
    seed: int = 0
    time_budget_s: float | None = None
    line: str = "leigh"
    checkpoints: str = "best"
    judge_by: str = "well"
    first_configs: Mapping[str, Sequence[Config]] = field(default_factory=dict)
    families_given: bool = True

    @property
    def needs_labels(self) -> bool:
        """Return whether a family needs two classes, so that fields without one are left out for all of them."""
        return any(MODELS[space.family].needs_labels for space in self.spaces)

    def for_classes(self, classes: Sequence[str]) -> "StudyOptions":
        """Return the options for images of some classes, without families that need more of them.

        Raises:
            LeighError: The user named such a family, or no other is left.
        """
        if len(classes) >= 2 or not self.needs_labels:
            return self
        needy = [space.family for space in self.spaces if MODELS[space.family].needs_labels]
        others = [space for space in self.spaces if space.family not in needy]
        if self.families_given or not others:
            found = f"only the class {classes[0]!r}" if classes else "no class"
            able = ", ".join(name for name, kind in MODELS.items() if not kind.needs_labels)
            raise LeighError(
                f"the images have {found}, and {', '.join(needy)} {'needs' if len(needy) == 1 else 'need'} two; sort "
                "them into one folder per class, add a platemap.csv with the columns well_position and condition, or "
                f"choose a family that needs no labels ({able})."
            )
        return replace(self, spaces=others)

    @property
    def title(self) -> str:
        """Title of the search's run."""
        return f"search {', '.join(space.family for space in self.spaces)}"

    def note(self, facts: DataFacts, results: Sequence[str] = ()) -> str:
        """Note of the search's run, at its end with sentences on the winners."""
        families = {space.family: space.trials for space in self.spaces}
        return search_note(families, facts["data"], demo=facts["demo"], results=results)

    def check_checkpoints(self) -> None:
        """Refuse an unknown choice of checkpoints.

        Raises:
            LeighError: It is unknown.
        """
        if self.checkpoints not in CHECKPOINT_CHOICES:
            choices = ", ".join(CHECKPOINT_CHOICES)
            raise LeighError(f"--keep-checkpoints {self.checkpoints!r} is unknown; choose one of {choices}.")

    def check_judge(self, table: pd.DataFrame) -> None:
        """Refuse an unknown unit of the comparison, and plates of which one can't be left out.

        Raises:
            LeighError: The unit is unknown, or the plates that are left lack a class, or wells of it to divide.
        """
        if self.judge_by not in JUDGES:
            raise LeighError(f"--judge-by {self.judge_by!r} is unknown; choose one of {', '.join(JUDGES)}.")
        if self.judge_by == "plate":
            if table[Metadata.CONDITION].nunique() < 2:
                raise LeighError(
                    "--judge-by plate compares classifiers, and the images do not have two classes; leave it out."
                )
            _require_plates(table, self.seed)

    def check_line(self) -> None:
        """Refuse a first part of names that the registry does not take.

        Raises:
            LeighError: It has other characters, or too many.
        """
        if not re.fullmatch(r"[\w.-]{1,100}", self.line):
            raise LeighError(
                f"--name {self.line[:100]!r} is not a valid name; use at most 100 letters, digits, '-', '_' and '.'."
            )

    def facts(self, data: PreparedData) -> DataFacts:
        """Facts about the study's data, as tags of its runs."""
        return {
            "demo": data.demo,
            "data": self.source.path.name if self.source.path else "demo",
            "data_fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "git": revision(),
        }

    def to_settings(self, store: str) -> StudySettings:
        """Settings for the journal, as JSON values.

        Args:
            store: Location of the study's store, without passwords.
        """
        source = {
            key: str(value.absolute()) if isinstance(value, Path) else value for key, value in vars(self.source).items()
        }
        if not self.source.train_on_compounds:  # as in journals of versions that do not know it
            del source["train_on_compounds"]
        if source["shares"] is None:
            # Searches of version 0.1.0, which had no shares, are found by the same options.
            del source["shares"]
        settings: StudySettings = {
            "source": source | {"exclude": list(self.source.excluded_flaws)},
            "spaces": [space.model_dump(mode="json") for space in self.spaces],
            "store": store,
            "seed": self.seed,
            "time_budget_s": self.time_budget_s,
            "line": self.line,
        }
        if self.checkpoints != "best":  # as in journals of version 0.1.0, which does not know it
            settings["checkpoints"] = self.checkpoints
        if self.judge_by != "well":
            settings["judge_by"] = self.judge_by
        if self.first_configs:
            settings["first_configs"] = {family: list(configs) for family, configs in self.first_configs.items()}
        as_read: StudySettings = json.loads(json.dumps(settings))
        return as_read

    @classmethod
    def from_settings(cls, settings: StudySettings) -> "StudyOptions":
        """Create the options from the settings of a journal."""
        source: dict[str, Any] = dict(settings["source"])
        source |= {key: Path(source[key]) for key in ("path", "platemap") if source[key]}
        spaces = [parse_settings(SearchSpace, space, space["family"]) for space in settings["spaces"]]
        return cls(
            DataSource(**source),
            spaces,
            settings["seed"],
            settings["time_budget_s"],
            settings["line"],
            settings.get("checkpoints", "best"),
            settings.get("judge_by", "well"),
            settings.get("first_configs", {}),
        )


def _require_plates(table: pd.DataFrame, seed: int) -> None:
    """Refuse plates of which one can't be left out of the training.

    Raises:
        LeighError: All wells, or all of a class, are on one plate, or the other plates can't be divided.
    """
    learned = table[table[Metadata.SPLIT].isin(["train", "val"])]
    counts = learned.groupby(Metadata.CONDITION)[Metadata.PLATE].nunique()
    if (counts < 2).any():
        which = "all are" if learned[Metadata.PLATE].nunique() < 2 else f"those of class {counts.idxmin()!r} are"
        raise LeighError(
            f"--judge-by plate needs training and validation wells of each class on two plates or more, and {which} "
            "on one; give images of further plates, or leave it out."
        )
    try:
        list(leave_out_splits(table, seed))
    except LeighError as error:
        raise LeighError(
            f"--judge-by plate leaves out each plate in turn, but {str(error).rstrip('.')}, or leave it out."
        ) from None
