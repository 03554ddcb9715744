import keras
import numpy as np
import pytest
import scipy.linalg

from dart_keras import adapters
from tests.adapters.learning_rules.problems import dense_model, lora_in

RNG = np.random.default_rng(0)


def adjusted(a, b, grad_a, grad_b, s):
    """The formulas of the paper, in its notation: W = s B A, A (r, in), B (out, r)."""
    bb, aa = np.linalg.inv(b.T @ b), np.linalg.inv(a @ a.T)
    x = scipy.linalg.solve_sylvester(b.T @ b, a @ a.T, -bb @ grad_a @ a.T / s**2)
    of_b = (np.eye(len(b)) - b @ bb @ b.T) @ grad_b @ aa / s**2 - b @ x
    return bb @ grad_a / s**2 + x @ a, of_b


def paper_steps(a, b, gradients, s, rate, decay, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The paper's algorithm for AdamW, with gradients of A and B."""
    mean, square = 0.0, 0.0
    for t, (grad_a, grad_b) in enumerate(gradients, 1):
        of_a, of_b = adjusted(a, b, grad_a, grad_b, s)
        whole = s * (b @ of_a + of_b @ a)
        mean = beta_1 * mean + (1 - beta_1) * whole
        square = beta_2 * square + (1 - beta_2) * whole**2
        # Keras adds epsilon before it corrects the bias.
        correction = np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        step = correction * mean / (np.sqrt(square) + epsilon)
        of_a, of_b = adjusted(a, b, s * b.T @ step, s * step @ a.T, s)
        kept = np.sqrt(1 - rate * decay)
        a, b = kept * a - rate * of_a, kept * b - rate * of_b
    return a, b


def trained_pair(model):
    """The two matrices, after a start that is not zero."""
    cores = lora_in(model).update.cores
    for core in cores:
        core.assign(RNG.normal(size=core.shape))
    first, second = (core.numpy().astype("float64") for core in cores)
    return first[0, :, 0], second[:, 0, :, 0]


def apply_to(model, optimizer, of_first, of_second):
    variables = model.trainable_variables
    grads = [of_first[None, :, None], of_second[:, None, :, None]]
    grads += [np.zeros(variable.shape) for variable in variables[2:]]
    optimizer.apply([keras.ops.convert_to_tensor(g, "float32") for g in grads], variables)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_are_those_of_the_paper(decay):
    model = dense_model()
    left, right = trained_pair(model)
    inner = keras.optimizers.AdamW(0.01, weight_decay=decay)
    optimizer = adapters.LoRAPro.for_model(model, inner)
    gradients = [(RNG.normal(size=left.shape), RNG.normal(size=right.shape)) for _ in range(4)]
    for of_left, of_right in gradients:
        apply_to(model, optimizer, of_left, of_right)
    transposed = [(of_left.T, of_right.T) for of_left, of_right in gradients]
    a, b = paper_steps(left.T, right.T, transposed, s=1.5, rate=0.01, decay=decay)
    first, second = lora_in(model).update.cores
    np.testing.assert_allclose(first.numpy()[0, :, 0], a.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(second.numpy()[:, 0, :, 0], b.T, rtol=1e-3, atol=1e-4)


def kernel_of(model):
    first, second = (core.numpy().astype("float64") for core in lora_in(model).update.cores)
    return 1.5 * first[0, :, 0] @ second[:, 0, :, 0]


def gradients_of(kernel_gradient, left, right):
    return 1.5 * kernel_gradient @ right.T, 1.5 * left.T @ kernel_gradient


def test_a_small_step_is_full_fine_tunings_as_far_as_the_rank_allows():
    model = dense_model()
    left, right = trained_pair(model)
    whole = RNG.normal(size=(12, 10))
    before = kernel_of(model)
    optimizer = adapters.LoRAPro.for_model(model, keras.optimizers.SGD(1e-3))
    apply_to(model, optimizer, *gradients_of(whole, left, right))
    # The tangent space of the matrices of rank 4.
    columns, rows = np.linalg.qr(left).Q, np.linalg.qr(right.T).Q
    rest = (np.eye(12) - columns @ columns.T) @ whole @ (np.eye(10) - rows @ rows.T)
    expected = -1e-3 * (whole - rest)
    np.testing.assert_allclose(kernel_of(model) - before, expected, atol=3e-5)
    assert np.abs(expected).max() > 1e-3


def test_the_first_step_changes_the_matrix_of_zeros_alone():
    model = dense_model()
    first, second = lora_in(model).update.cores
    left = first.numpy()[0, :, 0].astype("float64")
    whole = RNG.normal(size=(12, 10))
    optimizer = adapters.LoRAPro.for_model(model, keras.optimizers.SGD(0.1))
    apply_to(model, optimizer, *gradients_of(whole, left, np.zeros((4, 10))))
    np.testing.assert_allclose(first.numpy()[0, :, 0], left, atol=1e-6)
    expected = -0.1 / 1.5 * np.linalg.pinv(left) @ whole
    np.testing.assert_allclose(second.numpy()[:, 0, :, 0], expected, rtol=1e-3, atol=1e-6)


def test_directions_that_both_matrices_lack_get_no_step():
    model = dense_model()
    cores = lora_in(model).update.cores
    left, right = RNG.normal(size=(12, 4)), RNG.normal(size=(4, 10))
    left[:, 3] = left[:, 2]
    right[3] = right[2]
    cores[0].assign(left[None, :, None])
    cores[1].assign(right[:, None, :, None])
    optimizer = adapters.LoRAPro.for_model(model, keras.optimizers.SGD(1e-3))
    before = [core.numpy() for core in cores]
    apply_to(model, optimizer, *gradients_of(RNG.normal(size=(12, 10)), left, right))
    for old, core in zip(before, cores, strict=True):
        assert 0 < np.abs(core.numpy() - old).max() < 0.1


def test_moments_are_those_of_the_whole_matrix_and_steps_are_no_state():
    model = dense_model()
    optimizer = adapters.LoRAPro.for_model(model, "adam")
    optimizer.build(model.trainable_variables)
    shapes = [tuple(variable.shape) for variable in optimizer.variables]
    assert shapes.count((12, 10)) == 2
    assert (1, 12, 1, 4) not in shapes


def test_the_weight_of_an_adapter_is_part_of_its_scale():
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(10, name="one")])
    model = adapters.adapt(base, adapters.LoRA(rank=4, alpha=6), ["one"])
    adapters.active(model, {"default": 0.5})
    assert adapters.LoRAPro.for_model(model).facts == (0.75,)


def test_accumulated_gradients_are_refused():
    inner = keras.optimizers.Adam(gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="Expected an optimizer that does not accumulate"):
        adapters.LoRAPro.for_model(dense_model(), inner)
