from pathlib import Path

from benchmarks.thesis import EXPLAINED, TRAINED, select_test_fields
from leigh_mlops.explanations.explainers import EXPLAINERS
from leigh_mlops.models import MODELS
from leigh_mlops.plates import find_images, write_table


def test_every_family_has_its_figures() -> None:
    assert EXPLAINED.keys() < MODELS.keys()
    assert TRAINED.keys() < MODELS.keys()
    for options, _ in EXPLAINED.values():
        assert set(options[options.index("--methods") + 1].split(",")) <= EXPLAINERS.keys()
    files = [figure for _, figures in EXPLAINED.values() for figure in figures]
    files += [figure for figures in TRAINED.values() for figure in figures]
    assert len(files) == len(set(files))


def test_fields_that_are_explained_are_of_the_test_part(class_folders: Path, tmp_path: Path) -> None:
    table = tmp_path / "plate.parquet"
    write_table(find_images(class_folders).table, table)
    fields = select_test_fields(table, 3)
    assert fields["Metadata_Condition"].value_counts().to_dict() == {"DS": 3, "TT": 3}
    assert "Metadata_Split" not in fields
    every = select_test_fields(table, 100)
    assert len(fields.merge(every)) == len(fields)
    assert len(every) < len(find_images(class_folders).table) / 2
