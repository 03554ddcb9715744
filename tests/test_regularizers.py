import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.regularizers import GroupLasso, LogDet, NuclearNorm

ALL = [NuclearNorm, LogDet, GroupLasso]


def both_unfoldings(core):
    sides = []
    if core.shape[0] > 1:
        sides.append(core.reshape(core.shape[0], -1).T)
    if core.shape[-1] > 1:
        sides.append(core.reshape(-1, core.shape[-1]))
    return sides


def nuclear_norm(core):
    values = [np.linalg.svd(side, compute_uv=False) for side in both_unfoldings(core)]
    return sum(np.sum(s) / np.sqrt(np.sum(s**2)) for s in values)


def log_det(core):
    total = 0.0
    for side in both_unfoldings(core):
        gram = side.T @ side
        r = len(gram)
        _, value = np.linalg.slogdet(np.eye(r) + gram / (1e-3 * np.trace(gram) / r))
        total += value / np.log(1 + 1e3)
    return total


def group_lasso(core):
    return sum(
        np.sum(np.linalg.norm(side, axis=0)) / np.linalg.norm(side)
        for side in both_unfoldings(core)
    )


PAIRS = [(NuclearNorm, nuclear_norm), (LogDet, log_det), (GroupLasso, group_lasso)]
CORES = st.builds(
    lambda left, n, m, right, seed: np.random.default_rng(seed).normal(size=(left, n, m, right)),
    st.integers(2, 5),
    st.integers(2, 4),
    st.integers(2, 4),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)


def gradient(regularizer, core):
    variable = tf.Variable(core)
    with tf.GradientTape() as tape:
        penalty = regularizer(variable)
    return tape.gradient(penalty, variable).numpy()


def rank_one(shape=(4, 3, 3, 4)):
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=size) for size in shape]
    return np.einsum("a,b,c,d->abcd", *vectors)


@pytest.mark.parametrize(("regularizer", "by_numpy"), PAIRS)
@given(core=CORES)
def test_value_matches_numpy(regularizer, by_numpy, core):
    # The square root is smoothed near zero, by at most 1e-3 for each singular value.
    slack = 1e-3 * (core.shape[0] + core.shape[-1])
    assert float(regularizer(1.0)(core)) == pytest.approx(by_numpy(core), abs=slack)


@pytest.mark.parametrize("regularizer", ALL)
def test_bonds_of_rank_one_have_no_penalty(regularizer):
    core = np.random.default_rng(0).normal(size=(1, 3, 4, 1))
    assert float(regularizer(1.0)(core)) == 0
    both = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    left_only = both.transpose(0, 1, 3, 2).reshape(3, 4, 8, 1)
    right_only = both.reshape(1, 12, 4, 2)
    separately = float(regularizer(1.0)(left_only)) + float(regularizer(1.0)(right_only))
    assert float(regularizer(1.0)(both)) == pytest.approx(separately, rel=1e-6)


SPECTRA = {
    "equal": np.ones(32),
    "linear": np.linspace(1, 0.1, 32),
    "decaying": np.geomspace(1, 0.06, 32),
    "gap": np.r_[np.ones(4), np.full(28, 1e-9)],
    "rank one": np.r_[1.0, np.zeros(31)],
}


@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("regularizer", [NuclearNorm, LogDet])
def test_float32_is_close_to_the_exact_singular_values(regularizer, name, xla):
    rng = np.random.default_rng(0)
    s = SPECTRA[name] / np.linalg.norm(SPECTRA[name])
    left, right = (np.linalg.qr(rng.normal(size=(size, 32)))[0] for size in (64, 32))
    core = ((left * s) @ right.T).reshape(1, 8, 8, 32)
    if regularizer is NuclearNorm:
        value, slopes = np.sum(s), np.where(s > 0.02, 1, 0)
    else:
        value = np.sum(np.log(1 + 32e3 * s**2)) / np.log(1e3 + 1)
        slopes = 2 * s / (s**2 + 1e-3 / 32) / np.log(1e3 + 1)
    # The norm is 1, and the gradient has no part along the core.
    scale = np.linalg.norm(slopes)
    slopes = slopes - np.sum(slopes * s) * s
    variable, by_singular_values = tf.Variable(core.astype("float32")), regularizer(1.0)

    @tf.function(jit_compile=xla)
    def value_and_gradient():
        with tf.GradientTape() as tape:
            penalty = by_singular_values(variable)
        return penalty, tape.gradient(penalty, variable)

    found_value, found = value_and_gradient()
    assert float(found_value) == pytest.approx(value, rel=1e-3)
    found = left.T @ found.numpy().reshape(64, 32) @ right
    # Directions that are rounding errors have any sign, and a slope of at most 1.
    known = s > 0.02
    error = np.linalg.norm(np.diag(found)[known] - slopes[known])
    assert error <= 1e-3 * scale
    assert np.linalg.norm(found, 2) <= 1.01 * max(np.max(np.abs(slopes)), 1)


@pytest.mark.parametrize("regularizer", ALL)
def test_weights_that_are_no_numbers_show_up_in_the_loss(regularizer):
    assert np.isnan(float(regularizer(1.0)(np.full((2, 2, 2, 2), np.nan, "float32"))))


@pytest.mark.parametrize("regularizer", ALL)
def test_gradient_matches_finite_differences(regularizer):
    rng = np.random.default_rng(0)
    core, direction = rng.normal(size=(3, 2, 3, 4)), rng.normal(size=(3, 2, 3, 4))
    penalty, step = regularizer(0.7), 1e-5
    difference = float(penalty(core + step * direction)) - float(penalty(core - step * direction))
    slope = np.sum(gradient(penalty, core) * direction)
    # The penalty is float64, but the strength is float32.
    assert slope == pytest.approx(difference / (2 * step), rel=1e-5)


@pytest.mark.parametrize("regularizer", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "core",
    [np.zeros((4, 3, 3, 4)), rank_one(), np.eye(16).reshape(4, 4, 4, 4), 1e-12 * rank_one()],
    ids=["zero", "rank-deficient", "equal singular values", "tiny"],
)
def test_gradient_is_finite_for_zero_or_equal_singular_values(regularizer, dtype, core):
    found = gradient(regularizer(1.0), core.astype(dtype))
    assert np.all(np.isfinite(found))
    assert np.isfinite(float(regularizer(1.0)(core.astype(dtype))))


@pytest.mark.parametrize("regularizer", ALL)
@given(core=CORES, scale=st.floats(1e-3, 1e3))
def test_penalty_does_not_depend_on_the_scale(regularizer, core, scale):
    penalty = regularizer(1.0)
    assert float(penalty(scale * core)) == pytest.approx(float(penalty(core)), rel=1e-6)
    # So the gradient does not shrink all weights.
    found = gradient(penalty, core)
    assert abs(np.sum(found * core)) <= 1e-6 * (1 + np.linalg.norm(found) * np.linalg.norm(core))


@pytest.mark.parametrize("regularizer", ALL)
def test_lower_rank_has_a_smaller_penalty(regularizer):
    full = np.random.default_rng(0).normal(size=(4, 3, 3, 4))
    assert float(regularizer(1.0)(rank_one())) < 0.8 * float(regularizer(1.0)(full))


@pytest.mark.parametrize("regularizer", [NuclearNorm, LogDet])
def test_penalty_does_not_depend_on_a_rotation_of_the_bond(regularizer):
    rng = np.random.default_rng(0)
    core = rng.normal(size=(1, 4, 4, 5))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    rotated = np.tensordot(core, rotation, 1)
    assert float(regularizer(1.0)(rotated)) == pytest.approx(
        float(regularizer(1.0)(core)), rel=1e-6
    )


@pytest.mark.parametrize("regularizer", ALL)
def test_gradient_descent_on_the_penalty_lowers_the_rank(regularizer):
    core = np.random.default_rng(0).normal(size=(1, 4, 4, 4))
    variable = tf.Variable(core / np.linalg.norm(core))
    penalty = regularizer(1.0)
    for _ in range(100):
        with tf.GradientTape() as tape:
            value = penalty(variable)
        variable.assign_sub(0.02 * tape.gradient(value, variable))
    s = np.linalg.svd(variable.numpy().reshape(16, 4), compute_uv=False)
    assert s[1] < 0.1 * s[0]


@pytest.mark.parametrize("regularizer", ALL)
def test_strength_can_be_changed_in_a_compiled_function(regularizer):
    core = tf.constant(np.random.default_rng(0).normal(size=(3, 2, 2, 3)))
    penalty = regularizer(0.5)
    compiled = tf.function(penalty)
    half = float(compiled(core))
    assert half == pytest.approx(0.5 * float(regularizer(1.0)(core)), rel=1e-6)
    penalty.strength.assign(2.0)
    assert float(compiled(core)) == pytest.approx(4 * half, rel=1e-6)
    assert float(regularizer(0)(core)) == 0


@pytest.mark.parametrize("regularizer", ALL)
def test_config(regularizer):
    core = np.random.default_rng(0).normal(size=(3, 2, 2, 3))
    first = regularizer(0.25)
    first.strength.assign(9.0)  # as a schedule does; it is not part of the configuration
    again = keras.regularizers.deserialize(keras.regularizers.serialize(first))
    assert type(again) is regularizer
    assert again.get_config() == {"strength": 0.25}
    assert float(again(core)) == float(regularizer(0.25)(core))


@pytest.mark.parametrize("regularizer", ALL)
@pytest.mark.parametrize("strength", [-1, -1e-9, float("nan"), "0.1", None, True, [0.1]])
def test_invalid_strength_is_refused(regularizer, strength):
    with pytest.raises(ValueError, match="number of at least 0") as error:
        regularizer(strength)
    assert str(error.value).endswith(f"Received: strength={strength!r}")


@pytest.mark.parametrize("regularizer", ALL)
def test_vector_is_refused(regularizer):
    with pytest.raises(ValueError, match=r"at least two axes. Received: shape=\(4,\)"):
        regularizer(1.0)(np.ones(4))


def model_with(regularizer, dtype=None):
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            TTEmbedding(30, 8, ranks=3, rank_regularizer=regularizer(0.2), dtype=dtype),
            keras.layers.GlobalAveragePooling1D(),
            TTDense(4, ranks=2, rank_regularizer=regularizer(0.3), dtype=dtype),
        ]
    )


@pytest.mark.parametrize(("regularizer", "by_numpy"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_penalties_are_in_the_losses_of_the_model(regularizer, by_numpy, dtype):
    model = model_with(regularizer, dtype)
    expected = [
        strength * by_numpy(keras.ops.convert_to_numpy(core).astype("float64"))
        for layer, strength in ((model.layers[0], 0.2), (model.layers[2], 0.3))
        for core in layer.cores
    ]
    assert [float(loss) for loss in model.losses] == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("regularizer", ALL)
def test_training_lowers_the_penalty_under_xla_and_mixed_precision(regularizer):
    model = model_with(regularizer, "mixed_bfloat16")
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=True)
    ids, targets = np.arange(40).reshape(8, 5) % 30, np.zeros((8, 4), "float32")
    before = float(sum(model.losses))
    history = model.fit(ids, targets, epochs=5, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert float(sum(model.losses)) < before


@pytest.mark.parametrize("regularizer", ALL)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_models_in_half_precision_train(regularizer, dtype):
    model = model_with(regularizer, dtype)
    model.compile("sgd", "mse")
    ids, targets = np.arange(40).reshape(8, 5) % 30, np.zeros((8, 4), "float32")
    assert np.isfinite(model.fit(ids, targets, verbose=0).history["loss"][0])


@pytest.mark.parametrize("kind", [NuclearNorm, LogDet, GroupLasso])
def test_its_repr_is_the_call_that_makes_it(kind):
    regularizer = kind(0.25)
    assert repr(regularizer) == f"{kind.__name__}(strength=0.25)"
    # A schedule does not change what it was made with.
    regularizer.strength.assign(0.5)
    assert eval(repr(regularizer)).get_config() == {"strength": 0.25}
