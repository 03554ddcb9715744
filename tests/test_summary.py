import keras
import pytest

import dart_keras as dk


def test_counts_add_up_in_nested_models_with_shared_layers(capsys):
    shared = dk.layers.TTDense(16, ranks=2)
    inner = keras.Sequential([keras.Input((16,)), shared, keras.layers.Dense(16)])
    inputs = keras.Input((16,))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inner(shared(inputs))))
    costs = dk.summary(model)
    assert costs.parameters == model.count_params()
    assert str(costs) in capsys.readouterr().out
    [row] = [row for row in costs.layers if row.type == "TTDense"]
    assert row.parameters == shared.count_params()
    assert row.dense_parameters == 16 * 16 + 16


def test_shows_the_ranks_after_a_cut():
    model = keras.Sequential([keras.Input((16,)), dk.layers.TTDense(16, ranks=4)])
    before = dk.summary(model).parameters
    model.layers[0].truncate(2)
    costs = dk.summary(model)
    assert costs.layers[0].ranks == (1, 2, 1)
    assert costs.parameters < before


def test_a_dense_twin_has_no_padding():
    model = keras.Sequential([keras.Input((7,)), dk.layers.TTDense(5, 2, (2, 4), (3, 2))])
    [row] = dk.summary(model).layers
    assert row.dense_parameters == 7 * 5 + 5
    assert row.modes == "2x4/3x2"


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="built model"):
        dk.summary(keras.Sequential([dk.layers.TTDense(16)]))
