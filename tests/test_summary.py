import re

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


def test_a_dense_equivalent_has_no_padding():
    model = keras.Sequential([keras.Input((7,)), dk.layers.TTDense(5, 2, (2, 4), (3, 2))])
    [row] = dk.summary(model).layers
    assert row.dense_parameters == 7 * 5 + 5
    assert row.modes == "2x4/3x2"


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="built model"):
        dk.summary(keras.Sequential([dk.layers.TTDense(16)]))


def make_model():
    layers = [dk.layers.TTDense(1024, ranks=4, name="hidden"), keras.layers.Dense(10)]
    name = "a_name_that_is_much_longer_than_those_of_most_layers_and_than_a_terminal_is_wide"
    return keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10, name=name)])


def test_nothing_is_wrapped_or_coloured_in_a_pipe(capsys):
    costs = dk.summary(make_model())
    out = capsys.readouterr().out
    assert out == f"{costs}\n"
    assert max(map(len, out.splitlines())) > 120


def test_numbers_and_types_are_coloured_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    costs = dk.summary(make_model())
    out = capsys.readouterr().out
    for cell in ("1-4-1", "28x28/32x32", "8,192", "98.1"):
        assert f"\x1b[38;5;34m{cell}\x1b[0m" in out
    assert "\x1b[38;5;33mTTDense\x1b[0m" in out
    assert re.sub(r"\x1b\[[\d;]*m", "", out) == f"{costs}\n"


def test_the_record_is_short_where_the_table_was_just_printed():
    costs = dk.summary(make_model())
    parameters = f"{costs.parameters:,}"
    assert parameters in repr(costs)
    assert "\n" not in repr(costs)
    assert f'white-space: pre">{parameters}<' in costs.as_table().to_html()
