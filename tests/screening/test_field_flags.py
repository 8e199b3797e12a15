import numpy as np
import pandas as pd
import pytest
import torch

from leigh_mlops.explanations import LatentMap
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.screening.field_flags import (
    TRUST_FLAGS,
    FlagCounts,
    UnknownPlates,
    confound_table,
    count_flags,
    count_swapped_stains,
    find_unknown_plates,
    is_unusable,
    trust_flags,
)
from leigh_mlops.screening.screen import screen

CHANNELS = ("DAPI", "TMRM")


@pytest.fixture
def package() -> ModelPackage:
    torch.manual_seed(0)
    model = build_model("iresnet", classes=["DS", "WT"], image_size=32, channels=2, blocks=(1, 1), widths=(8, 8))
    return ModelPackage(model, CHANNELS, {})


def fields(count: int = 40, *, seed: int = 0) -> pd.DataFrame:
    """Sound fields of two plates and classes, two fields a well, with what a job measures of them."""
    rng = np.random.default_rng(seed)
    well = np.arange(count) // 2
    table = pd.DataFrame(
        {
            "Metadata_Plate": np.where(np.arange(count) < count // 2, "P", "Q"),
            "Metadata_Well": [f"{'ABCDEFGH'[number % 8]}{number // 8 + 1:02d}" for number in well],
            "Metadata_Row": well % 8 + 1,
            "Metadata_Col": well // 8 + 1,
            "Metadata_Condition": np.where(well % 2, "WT", "DS"),
            "seen": False,
            "image_intensity_DAPI": 20 * np.exp(rng.normal(0, 0.1, count)),
            "image_intensity_TMRM": 5 * np.exp(rng.normal(0, 0.1, count)),
            "image_texture_DAPI": 1 * np.exp(rng.normal(0, 0.1, count)),
            "image_texture_TMRM": 3 * np.exp(rng.normal(0, 0.1, count)),
        }
    )
    right = 0.9 - 0.2 * rng.random(count)
    table["probability_WT"] = np.where(well % 2, right, 1 - right)
    return table.assign(probability_DS=1 - table["probability_WT"])


def flagged(table: pd.DataFrame, package: ModelPackage) -> dict[str, list[int]]:
    flags = trust_flags(table, package)
    return {str(name): np.flatnonzero(flags[name]).tolist() for name in flags if flags[name].any()}


def stained(package: ModelPackage) -> ModelPackage:
    known = fields(60, seed=9)
    columns = [f"image_{what}_{name}" for name in CHANNELS for what in ("intensity", "texture")]
    package.about["measured_channels"] = list(CHANNELS)
    package.arrays["channel_measures"] = np.log(known[columns].to_numpy().reshape(-1, 2, 2))
    return package


def test_sound_fields_have_no_flag(package: ModelPackage) -> None:
    assert flagged(fields(), stained(package)) == {}
    assert trust_flags(fields().iloc[:0], package).columns.tolist() == list(TRUST_FLAGS)


def test_what_the_table_says_counts_first(package: ModelPackage) -> None:
    table = fields()
    table["image_texture_DAPI"] = table["image_texture_TMRM"] = np.where(table.index == 7, 0.1, 1.0)
    words = {1: "out of focus", 2: "saturated (DAPI 3.0 % of pixels); dim (TMRM 40 %)", 3: "empty", 4: "my own words"}
    table["Metadata_Flags"] = pd.Series(words).reindex(table.index, fill_value="")
    assert flagged(table, package) == {"defocus": [1], "empty": [3], "saturation": [2]}


def test_measures_of_quality_count_next(package: ModelPackage) -> None:
    table = fields()
    for channel in CHANNELS:
        table[f"quality_focus_{channel}"] = np.where(table.index == 5, 0.1, 0.5 + 0.001 * table.index)
        table[f"quality_foreground_{channel}"] = np.where(table.index == 6, 0.001, 0.3)
        table[f"quality_at_max_{channel}"] = np.where(table.index == 7, 0.1, 0.0)
        table[f"quality_max_{channel}"], table[f"quality_bits_{channel}"] = 255, 255
    # Fewer than 12 fields of a class on a plate cannot be compared.
    assert flagged(table, package) == {"empty": [6], "saturation": [7]}
    assert flagged(table.assign(Metadata_Plate="P"), package) == {"defocus": [5], "empty": [6], "saturation": [7]}


def test_without_either_blur_shows_in_the_texture(package: ModelPackage) -> None:
    table = fields().assign(Metadata_Plate="P")
    table.loc[8, ["image_texture_DAPI", "image_texture_TMRM"]] = [0.2, 0.6]
    assert flagged(table, package) == {"defocus": [8]}
    # A stain that is gone in one channel alone is no blur.
    table.loc[8, "image_texture_DAPI"] = 1.0
    assert flagged(table, package) == {}


def test_a_plate_with_swapped_stains_is_found(package: ModelPackage) -> None:
    table = fields()
    plate = table["Metadata_Plate"] == "Q"
    for what in ("intensity", "texture"):
        own = [f"image_{what}_{name}" for name in CHANNELS]
        table.loc[plate, own] = table.loc[plate, own[::-1]].to_numpy()
    assert flagged(table, package) == {}  # a package without measures can't tell
    found = flagged(table, stained(package))
    assert set(found) == {"stain order"}
    assert set(found["stain order"]) <= set(np.flatnonzero(plate))
    assert len(found["stain order"]) > 15
    assert count_swapped_stains(table, trust_flags(table, package)) == {"Q": (len(found["stain order"]), 20)}
    assert find_unknown_plates(table, trust_flags(table, package), plate) is None


def test_a_single_odd_field_is_no_other_stain_order(package: ModelPackage) -> None:
    table = fields()
    for what in ("intensity", "texture"):
        own = [f"image_{what}_{name}" for name in CHANNELS]
        table.loc[3, own] = table.loc[3, own[::-1]].to_numpy()
    assert "stain order" not in flagged(table, stained(package))


def test_a_plate_is_known_by_its_pixels(package: ModelPackage) -> None:
    package.arrays["training_digests"] = np.array([1], np.uint64)
    table = fields()
    table.loc[0, "seen"] = True
    assert flagged(table, package) == {"other plate": list(range(20, 40))}
    package.arrays["latents/mean"] = np.zeros(1)
    package.arrays |= {
        "latents/components": np.ones((1, 1)), "latents/variances": np.ones(1), "latents/explained": np.ones(1),
        "latents/distances": np.linspace(0, 3, 301),
    }  # fmt: skip
    limit = LatentMap.from_arrays(package.arrays).limit(0.99)  # type: ignore[union-attr]
    table["latent_distance"] = 1.0
    table.loc[[30, 31, 32], "latent_distance"] = limit + 0.01
    flags = trust_flags(table, package)
    assert np.flatnonzero(flags["far from training"]).tolist() == [30, 31, 32]
    controls = pd.Series(True, table.index)
    assert find_unknown_plates(table, flags, controls) == UnknownPlates(("Q",), 20, 3)
    controls[[30, 31, 32]] = False
    assert find_unknown_plates(table, flags, controls) == UnknownPlates(("Q",), 17, 0)
    assert find_unknown_plates(table, flags, ~controls & (table["Metadata_Plate"] == "P")) == UnknownPlates(("Q",))


def test_unusual_energies_need_the_package_s_limit(package: ModelPackage) -> None:
    table = fields().assign(energy=-5.0)
    table.loc[2, "energy"] = -1.0
    assert flagged(table, package) == {}
    package.about["energy_limit"] = {"limit": -2.0, "fields": 100}
    assert flagged(table, package) == {"unusual energy": [2]}


def test_what_is_blurred_empty_or_excluded_counts_in_no_score(package: ModelPackage) -> None:
    table = fields()
    flags = trust_flags(table, package)
    assert not is_unusable(table, flags).any()
    flags.loc[1, "defocus"] = flags.loc[2, "empty"] = flags.loc[3, "saturation"] = True
    table["Metadata_Excluded"] = ["true" if row == 4 else "false" for row in table.index]
    assert np.flatnonzero(is_unusable(table, flags)).tolist() == [1, 2, 4]


def test_flags_of_fields_are_counted_and_that_of_their_plate_is_not(package: ModelPackage) -> None:
    flags = trust_flags(fields(), package)
    nothing = dict.fromkeys(flags.columns.drop("other plate"), 0)
    assert count_flags(flags) == FlagCounts(40, 0, nothing)
    flags["other plate"] = True
    assert count_flags(flags) == FlagCounts(40, 0, nothing)
    flags.loc[:3, "defocus"] = True
    flags.loc[3:4, "saturation"] = True
    assert count_flags(flags) == FlagCounts(40, 5, nothing | {"defocus": 4, "saturation": 2})


def test_a_confounded_position_is_found(package: ModelPackage) -> None:
    scattered = fields(80).assign(Metadata_Plate="P")
    rng = np.random.default_rng(0)
    names = np.repeat(rng.permutation(np.repeat(["DS", "WT"], 20)), 2)
    scattered["Metadata_Condition"] = names
    assert screen(scattered, package).confounds["position"]["auc"] < 0.8
    blocks = scattered.assign(Metadata_Condition=np.where(scattered["Metadata_Col"] <= 2, "DS", "WT"))
    found = screen(blocks, package)
    assert found.confounds["position"]["auc"] > 0.9
    assert set(found.confounds) == {"model", "intensity", "position"}


def test_the_model_is_scored_on_wells_that_it_has_not_seen(package: ModelPackage) -> None:
    table = fields().assign(Metadata_Plate="P")
    everything = pd.Series(True, table.index)
    table.loc[:9, "seen"] = True
    wrong = table.index < 10
    table.loc[wrong, ["probability_DS", "probability_WT"]] = table.loc[
        wrong, ["probability_WT", "probability_DS"]
    ].to_numpy()
    found = confound_table(table, everything, package)
    balanced = {"balanced_accuracy": 1.0, "majority_share": 8 / 15}
    assert found["model"] == {"accuracy": 1.0, "auc": 1.0, "wells": 15} | balanced
    assert found["position"]["wells"] == 20
    treated = table.index >= 20
    assert confound_table(table, pd.Series(~treated, table.index), package)["model"]["wells"] == 5
    assert confound_table(table.drop(columns="Metadata_Condition"), everything, package) == {}


def test_intensities_alone_are_no_textures_and_count_their_own_wells(package: ModelPackage) -> None:
    table = fields(80).assign(Metadata_Plate="P")
    everything = pd.Series(True, table.index)
    chance = confound_table(table, everything, package)["intensity"]
    classes = (table["Metadata_Condition"] == "WT").astype(float)
    texture = confound_table(table.assign(image_texture_DAPI=classes), everything, package)["intensity"]
    assert texture == chance
    bright = table.assign(image_intensity_DAPI=classes)
    assert chance["auc"] < 0.9 < confound_table(bright, everything, package)["intensity"]["auc"]
    assert chance["wells"] == 40
    bright.loc[:3, "image_intensity_DAPI"] = np.nan
    found = confound_table(bright, everything, package)
    assert (found["intensity"]["wells"], found["position"]["wells"]) == (38, 40)


def test_badly_reconstructed_fields_need_the_package_s_limit(package: ModelPackage) -> None:
    table = fields().assign(reconstruction_mse=0.1)
    table.loc[2, "reconstruction_mse"] = 0.6
    assert flagged(table, package) == {}
    package.about["error_limit"] = {"limit": 0.5, "fields": 100, "full_colour": 2.0}
    assert flagged(table, package) == {"badly reconstructed": [2]}
