import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.callbacks.triple_importance import TripleImportance, budget_at
from tests.adapters.methods.one_layer import adapted_dense, with_random_weights

RNG = np.random.default_rng(0)


def made(count):
    pairs = [adapted_dense(adapters.AdaLoRA(rank=4, target_rank=2)) for _ in range(count)]
    found = [adapter for _, adapter in pairs]
    for adapter in found:
        with_random_weights(adapter)
    return found


def test_importance_is_that_of_the_paper():
    [adapter] = made(1)
    importance = TripleImportance([adapter])
    weights = [ops.convert_to_numpy(each).astype("float64") for each in importance.variables]
    steps = [[RNG.normal(size=each.shape) for each in weights] for _ in range(3)]
    for gradients in steps:
        importance.update(list(map(ops.convert_to_tensor, gradients)))
    scores = []
    for k, weight in enumerate(weights):
        mean = deviation = 0.0
        for gradients in steps:
            sensitivity = np.abs(weight * gradients[k])
            mean = 0.85 * mean + 0.15 * sensitivity
            deviation = 0.85 * deviation + 0.15 * np.abs(sensitivity - mean)
        scores.append(mean * deviation)
    a, e, b = scores
    expected = [e[i] + a[i].mean() + b[:, i].mean() for i in range(4)]
    np.testing.assert_allclose(importance.of_triples()[0], expected, rtol=1e-5)


def test_the_most_important_triples_of_all_layers_are_kept():
    importance = TripleImportance(made(2))
    importance.of_triples = lambda: [np.array([1.0, 5, 0, 3]), np.array([9.0, 8, 2, 7])]
    kept = importance.most_important(5)
    assert [list(each) for each in kept] == [[False, True, False, True], [True, True, False, True]]


@pytest.mark.parametrize("budget", [0, 1, 7, 8])
def test_as_many_are_kept_as_the_budget_says(budget):
    # All are as important as the others.
    assert sum(map(sum, TripleImportance(made(2)).most_important(budget))) == budget


def test_the_budget_falls_along_a_cubic():
    budgets = [budget_at(step, 20, 70, 144, 96) for step in range(101)]
    assert budgets[:21] == [144] * 21
    assert budgets[70:] == [96] * 31
    assert budgets[45] == int(96 + 48 * 0.5**3)
    assert budgets == sorted(budgets, reverse=True)
