import keras
import numpy as np
import pytest
from keras import optimizers

from dart_keras.layers import TTDense
from dart_keras.layers.rank_gates import RankGates
from dart_keras.private_apis import VariableReplacement, rebuild_optimizer

X = np.random.default_rng(0).normal(size=(8, 12)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")

OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.01),
    "sgd-momentum": lambda: optimizers.SGD(0.01, momentum=0.9),
    "sgd-nesterov-clipped": lambda: optimizers.SGD(
        0.01, momentum=0.9, nesterov=True, global_clipnorm=1.0
    ),
    "adam": lambda: optimizers.Adam(0.01),
    "adam-amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.01),
    "adamax": lambda: optimizers.Adamax(0.01),
    "adagrad": lambda: optimizers.Adagrad(0.01),
    "adadelta": lambda: optimizers.Adadelta(0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.9),
    "lion": lambda: optimizers.Lion(0.001),
    "lamb": lambda: optimizers.Lamb(0.01),
    "ftrl": lambda: optimizers.Ftrl(0.01),
    "adafactor": lambda: optimizers.Adafactor(0.01),
    "nadam": lambda: optimizers.Nadam(0.01),
    "muon": lambda: optimizers.Muon(0.001),
    "loss-scale": lambda: optimizers.LossScaleOptimizer(
        optimizers.Adam(0.01), initial_scale=64.0, dynamic_growth_steps=3
    ),
    "ema": lambda: optimizers.SGD(0.01, momentum=0.9, use_ema=True, ema_overwrite_frequency=5),
    "accumulation": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "schedule": lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)),
    "loss-scale-with-all": lambda: optimizers.LossScaleOptimizer(
        optimizers.AdamW(0.01, use_ema=True, gradient_accumulation_steps=2)
    ),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def model_with(optimizer, low_rank=False, **layer_arguments):
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(16, activation="tanh", name="first"),
            TTDense(16, 6, (4, 4), (4, 4), name="middle", **layer_arguments),
            keras.layers.Dense(3, name="last"),
        ]
    )
    if low_rank:
        pad_to_low_rank(model.get_layer("middle"))
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


def pad_to_low_rank(layer, rank=3):
    """Keep `rank` slices of the bond and turn them into all the others, by an orthogonal matrix."""
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))
    keep = np.diag([1.0] * rank + [0.0] * (6 - rank))
    first, second = (keras.ops.convert_to_numpy(core) for core in layer.cores)
    layer.cores[0].assign(np.tensordot(first, keep @ turn, 1))
    layer.cores[1].assign(np.tensordot(turn.T @ keep, second, 1))


def train(model, steps=4):
    losses = []
    for _ in range(steps):
        # Older versions of Keras return the mean over all steps since then.
        model.reset_metrics()
        losses.append(float(model.train_on_batch(X, Y)))
    return losses


def state(optimizer):
    """Whether it belongs to a core, the path and the value of every variable, in their order."""
    return [("core_" in v.path, v.path, keras.ops.convert_to_numpy(v)) for v in optimizer.variables]


def innermost(optimizer):
    inner = getattr(optimizer, "inner_optimizer", None)
    return optimizer if inner is None else innermost(inner)


@every_optimizer
def test_only_the_state_of_the_cut_cores_changes(name):
    model = model_with(OPTIMIZERS[name]())
    train(model)
    optimizer, before = model.optimizer, state(model.optimizer)
    config = optimizer.get_config()
    model.get_layer("middle").truncate(2)
    after = state(model.optimizer)
    assert model.optimizer is optimizer
    assert optimizer.get_config() == config
    for (of_core, path, old), (still_of_core, _, new) in zip(before, after, strict=True):
        assert of_core == still_of_core, path
        if not of_core:
            np.testing.assert_array_equal(new, old, err_msg=path)
    # Of the shapes that Keras itself gives an optimizer of the model as it is now.
    fresh = OPTIMIZERS[name]()
    fresh.build(model.trainable_variables)
    shapes = [value.shape for *_, value in after]
    assert shapes == [value.shape for *_, value in state(fresh)]
    if name != "sgd":
        assert shapes != [value.shape for *_, value in before]


@every_optimizer
def test_state_of_the_cut_cores_is_carried_over(name):
    # The cut discards nothing, so nothing that training moved may begin again at zero.
    model = model_with(OPTIMIZERS[name](), low_rank=True)
    train(model)
    before = state(model.optimizer)
    model.get_layer("middle").truncate(5)
    for (of_core, path, old), (_, _, new) in zip(before, state(model.optimizer), strict=True):
        if of_core:
            assert np.all(np.isfinite(new)), path
            assert np.any(new != 0) == np.any(old != 0), path


@every_optimizer
def test_training_goes_on(name):
    model = model_with(OPTIMIZERS[name]())
    train(model, 3)
    model.get_layer("middle").truncate(4)
    layer = model.get_layer("middle")
    weights = [core.numpy() for core in layer.cores]
    optimizer = innermost(model.optimizer)
    steps = int(optimizer._iterations)
    losses = train(model, 6)
    assert np.all(np.isfinite(losses))
    assert int(optimizer._iterations) == steps + 6
    assert all(np.any(core.numpy() != w) for core, w in zip(layer.cores, weights, strict=True))
    shapes = [tuple(v.shape) for v in model.optimizer._trainable_variables]
    assert shapes == [tuple(v.shape) for v in model.trainable_variables]


@every_optimizer
def test_state_survives_a_file_after_a_cut(name, tmp_path):
    model = model_with(OPTIMIZERS[name]())
    train(model)
    model.get_layer("middle").truncate(2)
    train(model, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    # Names of optimizers may differ, the order of the variables does not.
    pairs = zip(model.optimizer.variables, loaded.optimizer.variables, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    np.testing.assert_allclose(train(loaded, 3), train(model, 3), rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_takes_the_steps_that_it_would_have_taken_uncut(momentum, tmp_path):
    model = model_with(optimizers.SGD(0.05, momentum=momentum), low_rank=True)
    train(model)
    model.save(tmp_path / "model.keras")
    uncut = keras.models.load_model(tmp_path / "model.keras")
    uncut.run_eagerly = True
    assert model.get_layer("middle").truncate(3) < 1e-5
    assert uncut.get_layer("middle").ranks == (1, 6, 1)
    np.testing.assert_allclose(train(model, 5), train(uncut, 5), rtol=1e-4)
    np.testing.assert_allclose(
        model.get_layer("middle").to_dense(), uncut.get_layer("middle").to_dense(), atol=1e-4
    )


def test_moments_of_adam_keep_what_orthonormal_maps_keep():
    # With a learning rate of zero the TT matrix keeps rank three exactly.
    model = model_with(optimizers.Adam(0.0), low_rank=True)
    train(model)
    optimizer, layer = model.optimizer, model.get_layer("middle")

    def moments():
        index = [optimizer._get_variable_index(core) for core in layer.cores]
        slots = (optimizer._momentums, optimizer._velocities)
        return [tuple(slot[i].numpy() for slot in slots) for i in index]

    def slopes():
        pairs = zip(moments(), layer.cores, strict=True)
        return [np.sum(momentum * core.numpy()) for (momentum, _), core in pairs]

    before, slopes_before = moments(), slopes()
    layer.truncate(3)
    # The mean gradient along the core itself is a number that does not depend on the basis.
    np.testing.assert_allclose(slopes(), slopes_before, rtol=1e-3)
    for (old_m, old_v), (new_m, new_v) in zip(before, moments(), strict=True):
        assert np.linalg.norm(new_m) == pytest.approx(np.linalg.norm(old_m), rel=1e-3)
        assert np.sum(new_v) == pytest.approx(np.sum(old_v), rel=1e-2)
        bias = (1 - 0.999**4) / (1 - 0.9**4) ** 2  # of the two means, which begin at zero
        assert np.all(new_v >= 0.9 * bias * np.square(new_m) - 1e-12)


def test_exclusion_from_weight_decay_holds_for_the_core_that_comes_after():
    model = model_with(optimizers.SGD(0.1))
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    layer = model.get_layer("middle")
    optimizer.exclude_from_weight_decay(var_list=[layer.cores[0], model.layers[0].bias])
    model.compile(optimizer, "mse", run_eagerly=True)
    train(model, 2)
    layer.truncate(2)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    optimizer.apply([keras.ops.zeros_like(v) for v in model.trainable_variables])
    for variable in model.trainable_variables:
        excluded = variable is layer.cores[0] or variable is model.layers[0].bias
        factor = 1.0 if excluded else 1 - 0.1 * 0.5
        np.testing.assert_allclose(
            variable.numpy(), factor * before[variable.path], rtol=1e-5, atol=1e-8
        )


def test_a_schedule_goes_on_from_where_it_was():
    schedule = optimizers.schedules.PiecewiseConstantDecay([3], [0.1, 0.001])
    model = model_with(optimizers.SGD(schedule))
    train(model, 5)
    model.get_layer("middle").truncate(2)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)


def test_new_variables_start_as_the_optimizer_starts_them():
    model = model_with(optimizers.Adam(0.01))
    train(model)
    before = state(model.optimizer)
    layer = model.get_layer("middle")
    layer.add_rank_gates(RankGates(layer.ranks, (4, 4), (4, 4), 0.1, 1.0))
    rebuild_optimizer(model.optimizer, list(model.trainable_variables), {})
    after = {path: value for _, path, value in state(model.optimizer)}
    for _, path, value in before:
        np.testing.assert_array_equal(after.pop(path), value)
    assert len(after) == 2  # two moments of the logits of one bond
    assert all(np.all(value == 0) for value in after.values())


def test_variables_that_are_frozen_lose_their_state_only():
    model = model_with(optimizers.Adam(0.01))
    train(model)
    before = [entry for entry in state(model.optimizer) if "first" not in entry[1]]
    assert len(before) == len(model.optimizer.variables) - 4
    model.layers[0].trainable = False
    rebuild_optimizer(model.optimizer, list(model.trainable_variables), {})
    for (_, path, old), (_, same_path, new) in zip(before, state(model.optimizer), strict=True):
        assert path == same_path
        np.testing.assert_array_equal(new, old)


def test_state_goes_through_the_carry_of_the_replacement():
    old, kept = keras.Variable(np.ones(4)), keras.Variable(np.ones(2))
    new = keras.Variable(np.ones(3))
    optimizer = optimizers.Adam(0.01)
    optimizer.build([old, kept])
    optimizer.apply([keras.ops.arange(4.0) - 1, keras.ops.ones(2)])
    momentum = optimizer._momentums[0].numpy()
    asked = []

    def carry(value, squared, shape):
        asked.append((squared, shape))
        return value[:3]

    rebuild_optimizer(optimizer, [new, kept], {id(old): VariableReplacement(new, carry)})
    np.testing.assert_array_equal(optimizer._momentums[0].numpy(), momentum[:3])
    assert {shape for _, shape in asked} == {(3,)}
    assert {squared for squared, _ in asked} == {True, False}


def test_a_carry_may_let_the_state_begin_anew():
    old, new = keras.Variable(np.ones(4)), keras.Variable(np.ones(3))
    optimizer = optimizers.Adagrad(0.01, initial_accumulator_value=0.25)
    optimizer.build([old])
    optimizer.apply([keras.ops.ones(4)])
    rebuild_optimizer(optimizer, [new], {id(old): VariableReplacement(new, lambda *_: None)})
    np.testing.assert_array_equal(optimizer._accumulators[0].numpy(), np.full(3, 0.25))


def test_an_optimizer_that_is_not_built_is_left_alone():
    optimizer = optimizers.Adam()
    rebuild_optimizer(optimizer, [keras.Variable(1.0)], {})
    rebuild_optimizer(None, [], {})
    assert not optimizer.built
    assert len(optimizer.variables) == 2


def test_nothing_holds_a_variable_that_is_gone():
    model = model_with(optimizers.Adam(0.01))
    train(model)
    optimizer = model.optimizer
    gone = {id(v) for v in optimizer.variables if "core_" in v.path}
    old = list(optimizer.variables)  # keeps the ids from being used again
    model.get_layer("middle").truncate(2)
    assert len(gone) == 4
    assert not gone & {id(v) for v in optimizer.variables}
    assert len(optimizer.variables) == len(old)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="came with Keras 3.15")
def test_multi_optimizer_keeps_to_its_choice_of_optimizers():
    first, second = keras.optimizers.SGD(0.01, momentum=0.9), keras.optimizers.Adam(1e-3)
    layers = [TTDense(16, ranks=4, name="first"), TTDense(16, ranks=4, name="second")]
    model = keras.Sequential([keras.Input((16,)), *layers])
    choice = keras.optimizers.OptimizerMap(second, {".*first.*": first})
    model.compile(keras.optimizers.MultiOptimizer(choice), "mse")
    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    model.fit(x, x, verbose=0)
    bias = np.array(first.momentums[2])
    layers[0].truncate(2)
    layers[1].truncate(3)
    assert [tuple(m.shape) for m in first.momentums] == [(1, 4, 4, 2), (2, 4, 4, 1), (16,)]
    assert [tuple(m.shape) for m in second._momentums] == [(1, 4, 4, 3), (3, 4, 4, 1), (16,)]
    assert np.array_equal(first.momentums[2], bias)
    model.fit(x, x, verbose=0)
    assert int(first.iterations) == int(second.iterations) == 4
