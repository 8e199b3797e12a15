import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, load_model, save_model
from leigh_mlops.models.learner_head import LEARNERS, build_learner


def blobs(classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(60) % classes
    means = np.random.default_rng(9).normal(size=(classes, 5))
    # In float32, as a network's features are.
    return (means[labels] + generator.normal(size=(60, 5))).astype(np.float32).astype(np.float64), labels


def logits(kind: str, classes: int, train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    head = build_learner(kind, 5, classes)
    assert np.ptp(head(torch.from_numpy(test).float()).numpy(), axis=1).max() == 0
    head.fit(train, labels, seed=3)
    return head(torch.from_numpy(test).float()).numpy()


@pytest.mark.parametrize("classes", [2, 3])
def test_heads_answer_as_the_learners_of_scikit_learn(classes: int) -> None:
    (train, labels), (test, _) = blobs(classes), blobs(classes, seed=1)
    scaler = StandardScaler().fit(train)
    scaled, scaled_test = scaler.transform(train), scaler.transform(test)
    logistic = LogisticRegression(max_iter=10_000).fit(scaled, labels)
    found = torch.from_numpy(logits("logistic", classes, train, labels, test)).softmax(1)
    np.testing.assert_allclose(found, logistic.predict_proba(scaled_test), atol=1e-5)
    svm = LinearSVC(C=0.01, max_iter=10_000, random_state=3).fit(scaled, labels)
    margins = logits("svm", classes, train, labels, test)
    own = margins[:, 1] - margins[:, 0] if classes == 2 else margins
    np.testing.assert_allclose(own, svm.decision_function(scaled_test), atol=1e-5)
    forest = RandomForestClassifier(100, min_samples_leaf=2, max_depth=16, max_leaf_nodes=128, random_state=3)
    expected = 0.999 * forest.fit(train, labels).predict_proba(test) + 0.001 / classes
    np.testing.assert_allclose(np.exp(logits("forest", classes, train, labels, test)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_class_without_fields_is_unlikely(kind: str) -> None:
    train, labels = blobs(2)
    found = torch.from_numpy(logits(kind, 3, train, 2 * labels, train)).softmax(1)
    assert found.argmax(1).unique().tolist() == [0, 2]
    assert found[:, 1].max() < 0.001
    alone = torch.from_numpy(logits(kind, 3, train, 0 * labels + 1, train))
    assert alone.argmax(1).unique().tolist() == [1]


@pytest.mark.parametrize("kind", LEARNERS)
def test_balanced_classes_weigh_the_same_however_rare_one_is(kind: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 20])
    train, test = rng.normal(size=(220, 5)) + labels[:, None], rng.normal(size=(500, 5)) + 1

    def found(balanced: bool) -> float:
        head = build_learner(kind, 5, 2)
        head.fit(train, labels, seed=3, balanced=balanced)
        return float((head(torch.from_numpy(test).float()).argmax(1) == 1).double().mean())

    assert found(False) < 0.8
    assert found(True) > found(False) + 0.05


def test_a_forest_is_stored_as_arrays_and_damage_is_refused(tmp_path) -> None:
    def build() -> torch.nn.Module:
        torch.manual_seed(0)
        return build_model(
            "backbone", classes=["DS", "WT"], image_size=32, channels=2, backbone="shufflenet_v2_x0_5", head="forest"
        ).eval()

    model, images = build(), torch.randn(12, 2, 32, 32)
    features = model.encode(images).detach().double().numpy()
    model.learner().fit(features, np.arange(12) % 2, seed=0)
    save_model(model, tmp_path)
    assert not torch.equal(build()(images), model(images))
    assert torch.equal(load_model(tmp_path)(images), model(images))
    model.head.feature[0, 0] = 5000
    save_model(model, tmp_path)
    with pytest.raises(LeighError, match="a feature beyond 1023; train the model again"):
        load_model(tmp_path)
