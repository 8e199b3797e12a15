from pathlib import Path

from leigh_mlops.images import region_features
from leigh_mlops.jobs.changes import KINDS
from leigh_mlops.jobs.columns import COLUMNS, explain_columns, write_columns
from tests.images.test_regions import CHANNELS, field

MEASURES = list(region_features(field(), CHANNELS, [4.0, 3.0])) + list(
    region_features(field(), ("ch1", "TMRM"), [4.0, 3.0])
)
PER_KIND = (
    "class", "probability", "valid", "length", "way", "attempts", "reencoding_error", "padding_energy", "residual",
    "clipped", "changed", "change_TMRM", "distance", "light", "oracle_class", "oracle_probability", "png_class",
    "twin_error", "counts_class", "falls_short", "map_full_colour", *(f"after_{measure}" for measure in MEASURES),
)  # fmt: skip


def test_every_column_is_explained() -> None:
    columns = [f"counterfactual_{kind}_{name}" for kind in KINDS for name in PER_KIND]
    columns += ["field", "fields", "seen", "predicted", "probability_DS", "counterfactual_target", "Metadata_Well"]
    columns += [
        "latent_1",
        "latent_10",
        "latent_distance",
        "reconstruction_mse",
        "reconstruction_error_TMRM",
        "sweep_note",
        "sweep_video",
        "reconstruction_pca_error_TMRM",
        "occlusion_full_colour",
    ]
    columns += ["picture_counterfactual_confident", *(f"image_{measure}" for measure in MEASURES)]
    assert not explain_columns(["of nobody"])
    assert [column for column in columns if not explain_columns([column])] == []


def test_a_column_has_the_meaning_of_its_own_pattern() -> None:
    assert list(explain_columns(["latent_distance"])) == ["latent_distance"]
    assert list(explain_columns(["image_nuclei_intensity_TMRM"])) == ["image_<region>_intensity_<channel>"]
    assert list(explain_columns(["counterfactual_boundary_change_A_B"])) == ["counterfactual_<kind>_change_<channel>"]
    assert list(explain_columns(["counterfactual_other_class"])) == []


def test_only_what_occurs_is_written(tmp_path: Path) -> None:
    written = write_columns(tmp_path / "columns.md", ["field", "latent_2"]).read_text().splitlines()
    assert [line.split("`")[1] for line in written if line.startswith("| `")] == ["field", "latent_<number>"]
    assert all("|" not in meaning for meaning in COLUMNS.values())
