import dataclasses

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter, sobel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leigh_mlops.plates.demo.cell_changes import change_cells
from leigh_mlops.plates.demo.culture import draw_culture
from leigh_mlops.plates.demo.microscope import draw_field
from leigh_mlops.plates.demo.phenotype import EFFECTS, PHENOTYPES
from leigh_mlops.plates.demo.stage import Stage


def fields(phenotype, seeds, size_px=64):
    return [draw_field(np.random.default_rng(seed), phenotype, size_px=size_px) for seed in seeds]


def test_the_potential_differs_and_the_nuclei_do_not():
    def means(name):
        return np.mean(fields(PHENOTYPES[name], range(12)), axis=(0, 2, 3))

    healthy, patient, treated = means("WT"), means("DS"), means("TT")
    np.testing.assert_allclose([patient[0], treated[0]], healthy[0], rtol=0.15)
    assert healthy[1] > 1.1 * patient[1] > 1.2 * treated[1]


def test_a_larger_image_shows_the_same_cells():
    small, other = (fields(PHENOTYPES["DS"], [seed], 48)[0].astype(float) for seed in (3, 4))
    large = fields(PHENOTYPES["DS"], [3], 144)[0].reshape(2, 48, 3, 48, 3).mean(axis=(2, 4))
    for channel in range(2):
        assert np.corrcoef(large[channel].ravel(), other[channel].ravel())[0, 1] < 0.6
        assert np.corrcoef(large[channel].ravel(), small[channel].ravel())[0, 1] > 0.95
    np.testing.assert_allclose(large.mean(axis=(1, 2)), small.mean(axis=(1, 2)), rtol=0.02)


def test_a_twin_is_the_same_culture_in_another_class():
    rngs = [np.random.default_rng(5) for _ in PHENOTYPES]
    drawn = [draw_field(rng, phenotype, size_px=48) for rng, phenotype in zip(rngs, PHENOTYPES.values(), strict=True)]
    twins = dict(zip(PHENOTYPES, drawn, strict=True))
    healthy = twins.pop("WT")
    assert not np.array_equal(healthy[0], fields(PHENOTYPES["WT"], [6], 48)[0][0])
    for name, twin in twins.items():
        assert np.array_equal(twin[0], healthy[0]) == (name not in ("polyploid", "apoptotic"))
        assert not np.array_equal(twin[1], healthy[1])
    # As much chance was taken in each class: what is drawn next is the same, too.
    assert len({rng.integers(2**63) for rng in rngs}) == 1


@pytest.mark.parametrize(
    ("effect", "attributes"), [("intensity", {"tmrm"}), ("morphology", {"filament"}), ("both", {"tmrm", "filament"})]
)
def test_classes_differ_in_what_was_asked_for(effect, attributes):
    seen = [dataclasses.asdict(EFFECTS[effect][name]) for name in ("WT", "DS", "TT")]
    differ = {name for name, first in seen[0].items() if any(one[name] != first for one in seen[1:])}
    assert differ - {"haze"} == attributes


def test_the_total_light_of_other_shapes_is_the_same():
    stage = Stage(draw_culture(np.random.default_rng(0)), 96)

    def totals(effect):
        return [float(stage.light(EFFECTS[effect][name])[1].sum()) for name in ("WT", "DS", "TT")]

    assert max(totals("both")) > 1.5 * min(totals("both"))
    np.testing.assert_allclose(totals("morphology"), totals("morphology")[0], rtol=1e-3)


def intensities(tmrm):
    return [tmrm.mean(), *np.percentile(tmrm, [5, 50, 95])]


def coherence(tmrm):
    """How much the light runs along lines: 0 for dots, 1 for threads."""
    smooth = gaussian_filter(tmrm.astype(float), 0.5)
    y, x = sobel(smooth, 0), sobel(smooth, 1)
    yy, xx, xy = (gaussian_filter(product, 2.0) for product in (y * y, x * x, x * y))
    return [np.hypot(yy - xx, 2 * xy).sum() / (yy + xx).sum()]


LABELS = np.arange(80) % 2


def photographs(effect):
    """TMRM of forty fields of each of two classes."""
    classes = [EFFECTS[effect][name] for name in ("DS", "TT")]
    return [fields(classes[label], [seed], 96)[0][1] for seed, label in enumerate(LABELS)]


def auc(measure, images):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    seen = np.array([measure(image) for image in images])
    return cross_val_score(model, seen, LABELS, cv=5, scoring="roc_auc").mean()


def test_morphology_hides_from_intensities_and_not_from_shape():
    morphology = photographs("morphology")
    assert auc(intensities, photographs("intensity")) > 0.9
    assert auc(intensities, morphology) < 0.7
    assert auc(coherence, morphology) > 0.95


def spread(light):
    """Mean distance of the light from its nearest nucleus, in pixels."""
    distance = distance_transform_edt(light[0] < light[0].max() / 3)
    return float((distance * light[1]).sum() / light[1].sum())


def test_mitochondria_lie_and_look_as_the_class_says():
    stage = Stage(draw_culture(np.random.default_rng(2)), 192)
    light = {name: stage.light(seen) for name, seen in PHENOTYPES.items()}
    assert spread(light["hyperpolarised"]) == pytest.approx(spread(light["WT"]), rel=0.1)
    assert spread(light["perinuclear"]) < 0.7 * spread(light["WT"])
    threads = {name: coherence(planes[1])[0] for name, planes in light.items()}
    assert threads["hyperpolarised"] == pytest.approx(threads["WT"], rel=0.03)
    assert threads["swollen"] < 0.92 * threads["WT"]
    assert light["hyperpolarised"][1].sum() > 1.5 * light["WT"][1].sum()


def test_a_field_without_cells():
    culture = draw_culture(np.random.default_rng(0), density=0)
    assert len(culture.cells) == 0
    for phenotype in PHENOTYPES.values():
        assert Stage(change_cells(culture, phenotype.cells), 32).light(phenotype).max() == 0
    assert len(draw_culture(np.random.default_rng(0), density=0.01).cells) == 4
