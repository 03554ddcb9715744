import keras
import numpy as np
import pytest

from dart_keras import adapters
from tests.adapters.learning_rules.problems import dense_model, lora_in, table_model

RNG = np.random.default_rng(0)


def steps_of(model, optimizer, steps=3):
    """The changes of all variables by some steps with the same gradients for every optimizer."""
    rng = np.random.default_rng(3)
    variables = model.trainable_variables
    before = [variable.numpy() for variable in variables]
    for _ in range(steps):
        grads = [rng.normal(size=variable.shape).astype("float32") for variable in variables]
        optimizer.apply(list(map(keras.ops.convert_to_tensor, grads)), variables)
    return [variable.numpy() - old for variable, old in zip(variables, before, strict=True)]


@pytest.mark.parametrize(
    "inner",
    [
        lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        lambda rate: keras.optimizers.Adam(rate, clipnorm=0.5),
        lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.5),
        lambda rate: keras.optimizers.Lion(rate),
        lambda rate: keras.optimizers.Adam(rate, gradient_accumulation_steps=3),
    ],
)
def test_b_learns_as_with_a_higher_learning_rate(inner):
    model = dense_model()
    start = model.get_weights()
    plain = steps_of(model, inner(0.001))
    model.set_weights(start)
    fast = steps_of(model, inner(0.006))
    model.set_weights(start)
    ruled = steps_of(model, adapters.LoRAPlus.for_model(model, inner(0.001), ratio=6))
    expected = [plain[0], fast[1], *plain[2:]]
    for mine, theirs in zip(ruled, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-7)


def test_one_step_of_gradient_descent():
    model = dense_model()
    first, second = (core.numpy() for core in lora_in(model).update.cores)
    optimizer = adapters.LoRAPlus.for_model(model, keras.optimizers.SGD(0.1))
    variables = model.trainable_variables
    grads = [RNG.normal(size=variable.shape).astype("float32") for variable in variables]
    optimizer.apply(list(map(keras.ops.convert_to_tensor, grads)), variables)
    np.testing.assert_allclose(variables[0], first - 0.1 * grads[0], rtol=1e-5)
    np.testing.assert_allclose(variables[1], second - 1.6 * grads[1], rtol=1e-4, atol=1e-7)


def test_of_a_table_the_matrix_of_zeros_learns_faster():
    model = table_model()
    cores = lora_in(model).update.cores
    [zero] = [place for place, core in enumerate(cores) if not np.any(core.numpy())]
    optimizer = adapters.LoRAPlus.for_model(model, keras.optimizers.Adam(0.01))
    changes = steps_of(model, optimizer, 1)
    np.testing.assert_allclose(np.abs(changes[zero]), 0.16, rtol=1e-3)
    np.testing.assert_allclose(np.abs(changes[1 - zero]), 0.01, rtol=1e-3)


def test_a_first_matrix_of_zeros_learns_faster():
    model = dense_model()
    cores = lora_in(model).update.cores
    cores[0].assign(np.zeros(cores[0].shape))
    optimizer = adapters.LoRAPlus.for_model(model, keras.optimizers.Adam(0.01))
    np.testing.assert_allclose(np.abs(steps_of(model, optimizer, 1)[0]), 0.16, rtol=1e-3)


@pytest.mark.parametrize("ratio", [0, -1.0, None, "16"])
def test_ratio_is_above_zero(ratio):
    with pytest.raises(ValueError, match="Expected `ratio` above 0"):
        adapters.LoRAPlus.for_model(dense_model(), "adam", ratio=ratio)
