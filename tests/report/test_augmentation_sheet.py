import numpy as np

from leigh_mlops.report.augmentation_sheet import augmentation_sheet
from leigh_mlops.report.sentences import intensity_sentences


def test_a_channel_has_the_field_sixteen_versions_and_one_histogram() -> None:
    field = np.random.default_rng(0).integers(0, 500, (2, 16, 16)).astype(np.float32)
    versions = np.stack([field * gain for gain in np.linspace(0.5, 2, 16)]).astype(np.float32)
    figure = augmentation_sheet(field, versions, ["DAPI", "$TMRM"], "Augmentation of P/B03/1")
    assert len(figure.axes) == 2 * (1 + 16 + 1)
    pictures = [axes.images[0] for axes in figure.axes if axes.images]
    limits = [picture.get_clim() for picture in pictures]
    assert len(set(limits[:17])) == 1
    assert limits[0][1] > np.percentile(field[0], 99.8)
    histograms = [axes for axes in figure.axes if not axes.images]
    assert {len(axes.patches) for axes in histograms} == {18}


def test_what_happens_to_intensities_is_told_for_each_channel() -> None:
    row = {"field_mean": 10.0, "versions_mean": 5.0, "field_p1": 1.0, "field_p99": 30.0, "versions_p1": 0.5}
    (said,) = intensity_sentences(["TMRM"], [row | {"versions_p99": 15.0, "clipped": 0.25}])
    assert "TMRM: mean 10 in the field and 5 in its versions" in said
    assert "25 % of the pixels are newly black" in said
