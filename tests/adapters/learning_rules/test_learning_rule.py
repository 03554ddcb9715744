import keras
import numpy as np
import pytest

from dart_keras import adapters
from dart_keras.adapters.learning_rules.learning_rule import factor_pairs
from dart_keras.callbacks import RankDiscretization
from dart_keras.selection import Selection
from tests.adapters.learning_rules.problems import IDS, X, Y, dense_model, lora_in, table_model

RULES = [adapters.LoRAPlus, adapters.LoRAPro]
each_rule = pytest.mark.parametrize("rule", RULES)


class RankTwo(Selection):
    """Rank 2 at every bond."""

    def select(self, model, layers, calibration_data=None):
        return [(1, *(min(2, rank) for rank in layer.ranks[1:-1]), 1) for layer in layers]


def compiled(rule, optimizer, model=None, **settings):
    model = model or dense_model()
    settings = {"jit_compile": False, **settings}
    model.compile(rule.for_model(model, optimizer), "mse", **settings)
    return model


def fit(model, *callbacks, epochs=1, x=X):
    history = model.fit(
        x, Y, epochs=epochs, batch_size=8, verbose=0, shuffle=False, callbacks=list(callbacks)
    )
    return history.history["loss"]


def test_two_cores_that_are_matrices_are_a_pair():
    model = dense_model()
    first, second = lora_in(model).update.cores
    assert [tuple(map(id, pair)) for pair in factor_pairs(model.trainable_variables)] == [
        (id(first), id(second))
    ]


def test_more_cores_or_other_modes_are_no_pair():
    layer = dense_model().layers[1].adapters["other"].update
    assert len(layer.cores) == 3
    assert factor_pairs(layer.cores) == []
    tt = adapters.TTLoRA(rank=1, input_modes=(12,), output_modes=(5, 2))
    rank_one = lora_in(dense_model(tt)).update
    assert [tuple(core.shape) for core in rank_one.cores][:2] == [(1, 12, 1, 1), (1, 1, 5, 1)]
    assert factor_pairs(rank_one.cores) == []
    assert len(factor_pairs(rank_one.cores[:2])) == 1


@each_rule
@pytest.mark.parametrize(
    ("optimizer", "compilation"),
    [
        ("sgd", {"run_eagerly": True}),
        ("lion", {"run_eagerly": True}),
        ("adamw", {"jit_compile": True}),
    ],
    ids=["sgd", "lion", "adamw, compiled"],
)
def test_trains(rule, optimizer, compilation):
    optimizer = keras.optimizers.get(optimizer)
    optimizer.learning_rate = 0.01
    model = compiled(rule, optimizer, **compilation)
    start = [variable.numpy() for variable in model.trainable_variables]
    losses = fit(model, epochs=5)
    assert losses[-1] < losses[0]
    trained = zip(start, model.trainable_variables, strict=True)
    assert not any(np.array_equal(before, after) for before, after in trained)


@each_rule
def test_trains_a_table(rule):
    model = compiled(rule, keras.optimizers.Adam(0.01), table_model())
    start = [core.numpy() for core in lora_in(model).update.cores]
    losses = fit(model, epochs=8, x=IDS)
    assert losses[-1] < losses[0]
    cores = zip(start, lora_in(model).update.cores, strict=True)
    assert not any(np.array_equal(before, after) for before, after in cores)


@each_rule
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_other_variables_learn_as_with_the_inner_optimizer(rule, name):
    ruled, plain = dense_model(), dense_model()
    plain.set_weights(ruled.get_weights())
    rng = np.random.default_rng(3)
    shapes = [variable.shape for variable in plain.trainable_variables]
    grads = [[rng.normal(size=shape).astype("float32") for shape in shapes] for _ in range(3)]
    inner = keras.optimizers.get(name)
    for model, optimizer in (
        (ruled, rule.for_model(ruled, keras.optimizers.get(name))),
        (plain, inner),
    ):
        for step in grads:
            optimizer.apply(list(map(keras.ops.convert_to_tensor, step)), model.trainable_variables)
    pairs = list(zip(ruled.trainable_variables, plain.trainable_variables, strict=True))
    assert len(pairs) == 7
    for mine, theirs in pairs[2:]:
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(pairs[1][0], pairs[1][1])


@each_rule
def test_a_file_has_the_state(rule, tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 4, 0.9)
    model = compiled(rule, keras.optimizers.AdamW(schedule, weight_decay=0.1))
    fit(model, epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is rule
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert int(loaded.optimizer.iterations) == 6
    states = zip(model.optimizer.variables, loaded.optimizer.variables, strict=True)
    for mine, theirs in states:
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(fit(loaded, epochs=3), fit(model, epochs=3), rtol=1e-5)


@each_rule
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_cut_in_the_middle_of_fit(rule, wrapped, tmp_path):
    model = dense_model()
    optimizer = rule.for_model(model, keras.optimizers.Adam(0.01))
    held = keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer
    model.compile(held, "mse", jit_compile=False)
    losses = fit(model, RankDiscretization(RankTwo(), epoch=1), epochs=6)
    update = lora_in(model).update
    assert update.ranks == (1, 2, 1)
    assert model.optimizer is held
    assert int(held.iterations) == 18
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[1]
    [pair] = optimizer.pairs
    assert [id(pair.first), id(pair.second)] == [id(core) for core in update.cores]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(fit(loaded, epochs=2), fit(model, epochs=2), rtol=1e-4)


@each_rule
def test_a_cut_that_loses_nothing_keeps_the_state_of_others(rule):
    model = compiled(rule, keras.optimizers.Adam(0.01))
    fit(model)
    before = {variable.path: variable.numpy() for variable in model.optimizer.variables}
    lora_in(model).update.truncate(2)
    after = {variable.path: variable.numpy() for variable in model.optimizer.variables}
    assert before.keys() == after.keys()
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    # Of LoRA-Pro the moments are those of the whole matrix.
    assert len(changed) == (4 if rule is adapters.LoRAPlus else 0)
    assert np.all(np.isfinite(fit(model, epochs=2)))


@each_rule
def test_the_learning_rate_is_that_of_the_inner_optimizer(rule):
    model = compiled(rule, keras.optimizers.SGD(0.1))
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    fit(model)
    assert float(model.optimizer.inner_optimizer.learning_rate) == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@each_rule
def test_what_has_no_gradient_stays(rule):
    model = dense_model()
    optimizer = rule.for_model(model, keras.optimizers.SGD(0.1))
    variables = model.trainable_variables
    before = [variable.numpy() for variable in variables]
    grads = [keras.ops.ones(variable.shape) for variable in variables]
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([grads[0], None, *grads[2:-1], None], variables)
    # A pair is learned as a pair, or by the inner optimizer.
    changed = [not np.array_equal(*each) for each in zip(before, variables, strict=True)]
    assert changed[1:] == [False, True, True, True, True, False]
    optimizer.apply(grads[:2], variables[:2])
    assert not np.array_equal(before[1], variables[1])


@each_rule
def test_works_without_state(rule):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("Keras has no stateless_apply on TensorFlow")
    model = dense_model()
    optimizer = rule.for_model(model, keras.optimizers.AdamW(0.01))
    optimizer.build(model.trainable_variables)
    values = [variable.value for variable in model.trainable_variables]
    grads = [keras.ops.ones(variable.shape) for variable in model.trainable_variables]
    state = [variable.value for variable in optimizer.variables]
    new, new_state = optimizer.stateless_apply(state, grads, values)
    for variable, value in zip(model.trainable_variables, values, strict=True):
        np.testing.assert_array_equal(variable, value)
    optimizer.apply(grads)
    for variable, value in zip(model.trainable_variables, new, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-6)
    for variable, value in zip(optimizer.variables, new_state, strict=True):
        np.testing.assert_allclose(variable, value, rtol=1e-6)


@each_rule
def test_a_model_without_lora_is_refused(rule):
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(10, name="one")])
    with pytest.raises(ValueError, match=r"Expected a model of which LoRA.*with none"):
        rule.for_model(base)
    model = adapters.adapt(base, adapters.VeRA(rank=4), ["one"])
    with pytest.raises(ValueError, match=r"Expected a model of which LoRA.*with none"):
        rule.for_model(model)


@each_rule
def test_variables_of_another_model_are_refused(rule):
    optimizer = rule.for_model(dense_model(), "adam")
    with pytest.raises(ValueError, match=r"the 1 pairs of .*Received: variables with 0"):
        optimizer.build(dense_model().trainable_variables[2:])


@each_rule
@pytest.mark.parametrize("wrapped", [False, True])
def test_moving_averages_are_refused(rule, wrapped):
    inner = keras.optimizers.Adam(use_ema=True)
    inner = keras.optimizers.LossScaleOptimizer(inner) if wrapped else inner
    with pytest.raises(ValueError, match="Expected an optimizer without moving averages"):
        rule.for_model(dense_model(), inner)
