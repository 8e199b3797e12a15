import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models.oracles import ORACLES, OraclePanel, fit_panel
from leigh_mlops.models.transport import ClassFields

SIDE, EPOCHS = 32, 6


def draw(count, effect, seed, side=SIDE):
    """Blurred blobs in the first channel, noise in the second; the effect brightens the blobs."""
    rng = np.random.default_rng(seed)
    raw = rng.gamma(9, 1, (count, 2, side, side))
    grid = np.arange(side)
    for image in raw:
        for row, column in rng.integers(3, side - 3, (4, 2)):
            distance = (grid[:, None] - row) ** 2 + (grid - column) ** 2
            image[0] += (30 + effect) * np.exp(-distance / 8)
    return raw.clip(0, 255).astype(np.float32)


def fields(name, effect, seed, count=36, wells=12):
    raw = draw(count, effect, seed)
    return ClassFields(name, lambda rows: raw[rows], np.array([f"{name}{n % wells}" for n in range(count)]))


def classes(*effects, seed=0, **kwargs):
    return [fields("ABC"[at], effect, 10 * seed + at, **kwargs) for at, effect in enumerate(effects)]


def fit(*effects, seed=0, epochs=EPOCHS, **kwargs):
    return fit_panel(classes(*effects, **kwargs), classes(*effects, seed=1), 255, seed, epochs)


@pytest.fixture(scope="module")
def panel():
    return fit(0, 60)


def test_classes_that_do_not_differ_have_no_competent_oracle():
    assert fit(0, 0, epochs=1).competent == ()


def test_unseen_fields_are_told_apart(panel):
    assert panel.names == ORACLES == ("cnn", "resnet", "forest")
    assert panel.competent == ORACLES
    assert panel.classes == ("A", "B")
    for label, effect in enumerate((0, 60)):
        log_probs = panel.log_probs(draw(20, effect, 99 + label))
        for name in ORACLES:
            assert log_probs[name].shape == (20, 2)
            assert log_probs[name].dtype == np.float64
            np.testing.assert_allclose(np.exp(log_probs[name]).sum(1), 1)
            assert (log_probs[name].argmax(1) == label).mean() >= 0.8


def test_the_ceiling_is_the_share_of_validation_fields(panel):
    for label, given in enumerate(classes(0, 60, seed=1)):
        log_probs = panel.log_probs(given.read(np.arange(36)))
        assert {name: each[label] for name, each in panel.ceiling.items()} == {
            name: (each.argmax(1) == label).mean() for name, each in log_probs.items()
        }


def test_competence_begins_half_way_from_chance(panel):
    arrays = panel.to_arrays()
    for balanced, competent in ((0.74, ("resnet", "forest")), (0.75, ORACLES)):
        arrays["panel/ceiling"] = np.array([[1, 2 * balanced - 1], [1, 1], [1, 1]], np.float64)
        assert OraclePanel.from_arrays(arrays, ["A", "B"]).competent == competent


def test_three_classes_one_of_a_single_well():
    rare = fields("C", 120, 7, count=5, wells=1)
    panel = fit_panel([*classes(0, 50), rare], classes(0, 50, 120, seed=1), 255, 0, EPOCHS)
    assert panel.competent == ORACLES
    assert all(each.shape == (3,) for each in panel.ceiling.values())


def test_a_seed_gives_one_panel_and_leaves_the_global_state():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (fit(0, 60, seed=seed, epochs=1, count=12).to_arrays() for seed in (3, 3, 4))
    assert torch.equal(torch.rand(3), expected)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    for part in ("cnn/head.weight", "resnet/head.weight", "forest/threshold"):
        assert one[part].shape != other[part].shape or not np.array_equal(one[part], other[part])


def test_every_oracle_has_wells_of_its_own(monkeypatch):
    from leigh_mlops.models.oracles import oracle_fitting

    drawn, draw_rows = [], oracle_fitting._draw_rows

    def record(given, rng):
        rows = draw_rows(given, rng)
        drawn.append(frozenset(given.wells[rows]))
        return rows

    monkeypatch.setattr(oracle_fitting, "_draw_rows", record)
    fit(0, 60, epochs=1, count=12)
    assert [len(wells) for wells in drawn] == [16] * 3
    assert len(set(drawn)) == 3


def test_validation_fields_do_not_matter_to_the_classifiers():
    ours, theirs = (
        fit_panel(classes(0, 60, count=12), classes(*val, seed=3), 255, 0, 1).to_arrays() for val in ((0, 60), (5, 5))
    )
    assert {name for name in ours if not np.array_equal(ours[name], theirs[name])} == {"panel/ceiling"}


def test_fractions_of_a_count_change_no_verdict(panel):
    raw = draw(30, 0, 50)
    before, after = panel.log_probs(raw), panel.log_probs(raw + np.float32(0.05))
    for name in ORACLES:
        assert (before[name].argmax(1) == after[name].argmax(1)).mean() >= 0.95


def test_the_batch_does_not_matter(panel):
    raw = draw(70, 30, 60)
    every = panel.log_probs(raw)
    for name in ORACLES:
        np.testing.assert_allclose(panel.log_probs(raw[66:67])[name], every[name][66:67], rtol=1e-4, atol=1e-6)
    assert panel.log_probs(raw[:0])["cnn"].shape == (0, 2)


def test_large_images_are_pooled_for_the_networks():
    raw = [draw(4, effect, at, side=224) for at, effect in enumerate((0, 60))]
    given = [ClassFields("AB"[at], lambda rows, at=at: raw[at][rows], np.array(list("abcd"))) for at in range(2)]
    seen = []
    panel = fit_panel(given, given, 255, 0, epochs=1)
    panel.networks["cnn"].register_forward_pre_hook(lambda _, images: seen.append(images[0].shape))
    assert panel.log_probs(raw[0])["cnn"].shape == (4, 2)
    assert seen == [(4, 2, 112, 112)]


def test_arrays_bring_a_panel_back(panel):
    arrays, raw = panel.to_arrays(), draw(5, 20, 70)
    assert all(array.dtype.kind in "iuf" for array in arrays.values())
    loaded, expected = OraclePanel.from_arrays(arrays, ["A", "B"]), panel.log_probs(raw)
    assert all(np.array_equal(each, expected[name]) for name, each in loaded.log_probs(raw).items())
    assert loaded.scale == panel.scale
    assert all(np.array_equal(loaded.ceiling[name], panel.ceiling[name]) for name in ORACLES)


def test_damaged_arrays_are_refused(panel):
    arrays = panel.to_arrays()
    refused = pytest.raises(LeighError, match="again")
    with refused:
        OraclePanel.from_arrays(arrays, ["A", "B", "C"])
    with refused:
        OraclePanel.from_arrays(arrays | {"other": np.zeros(1)}, ["A", "B"])
    with refused:
        OraclePanel.from_arrays({}, ["A", "B"])
    for key, array in arrays.items():
        with refused:
            OraclePanel.from_arrays({name: each for name, each in arrays.items() if name != key}, ["A", "B"])
        for bad in (array[None], array.ravel()[:0], array.astype(str), np.full(array.shape, np.nan)):
            with refused:
                OraclePanel.from_arrays(arrays | {key: bad}, ["A", "B"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("panel/std", 0.0),
        ("panel/full_scale", 0),
        ("panel/image_size", 8),
        ("panel/ceiling", 2.0),
        ("cnn/trunk.1.running_var", -1.0),
    ],
)
def test_values_beyond_their_bounds_are_refused(panel, key, value):
    arrays = panel.to_arrays()
    with pytest.raises(LeighError, match="again"):
        OraclePanel.from_arrays(arrays | {key: np.full_like(arrays[key], value)}, ["A", "B"])


def test_other_images_are_refused(panel):
    for shape in ((1, 3, SIDE, SIDE), (1, 2, 64, 64), (2, SIDE, SIDE)):
        with pytest.raises(LeighError, match="give such images"):
            panel.log_probs(np.zeros(shape, np.float32))
    with pytest.raises(LeighError, match="not finite"):
        panel.log_probs(np.full((1, 2, SIDE, SIDE), np.inf, np.float32))


def test_classes_that_cannot_be_told_apart_are_refused():
    with pytest.raises(LeighError, match="need two classes and got 1"):
        fit_panel(classes(0), classes(0), 255, 0)
    with pytest.raises(ValueError, match="validation"):
        fit_panel(classes(0, 60), classes(0, 60)[::-1], 255, 0)
    with pytest.raises(LeighError, match="no training fields"):
        fields("A", 0, 0, count=0)
    broken = ClassFields("B", lambda rows: np.full((len(rows), 2, SIDE, SIDE), np.nan, np.float32), np.array(["B01"]))
    with pytest.raises(LeighError, match="class B has values that are not finite"):
        fit_panel([*classes(0), broken], [*classes(0), broken], 255, 0)
