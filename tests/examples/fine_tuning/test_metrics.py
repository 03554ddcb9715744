import numpy as np
import pytest
from scipy import stats

from examples.fine_tuning import metrics

LABELS = np.array([1, 1, 0, 0, 1, 0, 0, 1], "int32")
PREDICTED = np.array([1, 0, 0, 1, 1, 0, 0, 0])


def logits(classes):
    return np.eye(2)[classes] - 0.3


def test_accuracy_and_f1():
    assert metrics.accuracy(LABELS, logits(PREDICTED)) == 5 / 8
    # Two of three predicted ones are right, and two of four are found.
    assert metrics.f1(LABELS, logits(PREDICTED)) == pytest.approx(2 * 2 / (3 + 4))


def test_matthews_correlation_by_its_definition():
    right, wrong, missed, zeros = 2, 1, 2, 3
    expected = (right * zeros - wrong * missed) / np.sqrt(
        (right + wrong) * (right + missed) * (zeros + wrong) * (zeros + missed)
    )
    assert metrics.matthews(LABELS, logits(PREDICTED)) == pytest.approx(expected)
    assert metrics.matthews(LABELS, logits(0 * PREDICTED)) == 0
    assert metrics.matthews(LABELS, logits(1 - LABELS)) == pytest.approx(-1)


def test_spearman_with_equal_values():
    rng = np.random.default_rng(0)
    labels, outputs = rng.integers(5, size=40).astype("float32"), rng.integers(9, size=(40, 1))
    expected = stats.spearmanr(labels, outputs[:, 0]).statistic
    assert metrics.spearman(labels, outputs) == pytest.approx(expected)
    assert metrics.spearman(labels, 0 * outputs) == 0
    assert metrics.spearman(labels, np.exp(labels)[:, None]) == pytest.approx(1)
