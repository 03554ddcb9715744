import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import Parameters
from dart_keras.compression import candidates, compress, sensitivity
from tests.compression import models
from tests.compression.helpers import assert_close, outputs
from tests.compression.planting import plant_rank_one

ROWS = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")


def dense_model():
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((16,)),
        layers.Dense(24, "tanh", name="first"),
        layers.LayerNormalization(name="norm"),
        layers.Dense(24, "relu", name="second"),
        layers.Dense(12, name="third"),
    ]
    return keras.Sequential(stack, name="three")


@pytest.fixture(scope="module")
def measured():
    model = dense_model()
    return model, sensitivity(model, ROWS)


def test_a_table_has_each_layer_in_factorizations_of_more_and_more_parameters(measured):
    _, table = measured
    assert table.model == "three"
    assert table.parameters == {"first": 408, "second": 600, "third": 300}
    assert [row.name for row in table.rows] == sorted(row.name for row in table.rows)
    for name, parameters in table.parameters.items():
        sizes = [row.factorization.parameters for row in table.of(name)]
        assert len(sizes) >= 2
        assert sizes == sorted(set(sizes))
        assert sizes[-1] <= parameters / 2
        assert {row.name for row in table.of(name)} == {name}
    assert sum(len(table.of(name)) for name in table.parameters) == len(table.rows)


def test_errors_grow_as_ranks_fall(measured):
    _, table = measured
    for name in table.parameters:
        rows = table.of(name)
        assert all(row.error > 0 for row in rows)
        assert rows[0].error > rows[-1].error
        assert rows[0].end_error > rows[-1].end_error


def test_measuring_leaves_the_model_as_it_is_and_gives_the_same_twice(measured):
    _, table = measured
    model = dense_model()
    weights, before = model.get_weights(), outputs(model, ROWS)
    assert sensitivity(model, ROWS) == table
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert_close(outputs(model, ROWS), before, 0)


@pytest.mark.parametrize("name", ["einsums", "normalized_convolutions", "only_an_embedding"])
def test_factorizations_that_hold_all_of_a_layer_lose_nothing(name):
    model, batch = models.build(name)
    plant_rank_one(model)
    table = sensitivity(model, batch)
    assert list(table.parameters) == [path for path, _, reason in candidates(model) if not reason]
    assert table.rows
    assert max(row.error for row in table.rows) < 1e-3
    assert max(row.end_error for row in table.rows) < 1e-4


@pytest.mark.parametrize(
    "name", ["residual_block", "masked_attention", "several_inputs_and_outputs"]
)
def test_compressing_one_layer_loses_what_the_table_says(name):
    model, batch = models.build(name)
    path = next(path for path, _, reason in candidates(model) if reason is None)
    table = sensitivity(model, batch, layers=path)
    assert list(table.parameters) == [path]
    row = min(table.rows, key=lambda row: row.end_error)
    limit = model.count_params() - table.parameters[path] + row.factorization.parameters
    _, report = compress(model, Parameters(limit), batch, layers=path, sensitivity=table)
    [ours] = [each for each in report.layers if each.name == path]
    assert (ours.factorization, ours.ranks) == (row.factorization.kind, row.factorization.ranks)
    np.testing.assert_allclose(ours.error, row.error, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(report.end_error, row.end_error, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("with_data", [True, False])
def test_compression_gives_out_the_budget_by_the_table(measured, with_data):
    model, table = measured
    data = ROWS if with_data else None
    for free in table.parameters:
        # As if one layer did not matter, and every loss of another did.
        rows = [
            dataclasses.replace(row, end_error=1e-6 if row.name == free else 1 + row.end_error)
            for row in table.rows
        ]
        edited = dataclasses.replace(table, rows=tuple(rows))
        smallest = table.of(free)[0].factorization.parameters
        limit = model.count_params() - table.parameters[free] + smallest
        small, report = compress(model, Parameters(limit), data, sensitivity=edited)
        assert small.count_params() == limit
        assert [
            row.name for row in report.layers if row.parameters_after < row.parameters_before
        ] == [free]


def test_it_prints_a_line_for_each_measurement(measured):
    _, table = measured
    title, groups, header, rule, *lines = str(table).splitlines()
    assert table.model in title
    assert groups.strip() == "parameters"
    assert header.split()[:5] == ["layer", "factorization", "ranks", "before", "after"]
    assert len({len(line) for line in (header, rule, *lines)}) == 1
    for line, row in zip(lines, table.rows, strict=True):
        assert line.split()[0] == row.name
        assert row.factorization.kind in line
        assert "-".join(map(str, row.factorization.ranks)) in line
        assert f"{row.error:.2%}" in line
        assert line.endswith(f"{row.end_error:.2%}")


def test_convolutions_print_a_star_for_a_side_that_is_whole():
    model, batch = models.build("strided_convolutions")
    table = sensitivity(model, batch)
    ranks = {row.factorization.ranks for row in table.rows}
    assert any(None in each for each in ranks)
    assert "None" not in str(table)
    json.dumps(table.as_dict())


def test_all_of_it_is_in_what_json_holds(measured):
    _, table = measured
    read = json.loads(json.dumps(table.as_dict()))
    assert (read["model"], read["parameters"]) == (table.model, table.parameters)
    for ours, row in zip(read["rows"], table.rows, strict=True):
        assert {name: ours[name] for name in ("name", "error", "end_error")} == {
            "name": row.name,
            "error": row.error,
            "end_error": row.end_error,
        }
        assert ours["factorization"]["kind"] == row.factorization.kind
        assert ours["factorization"]["ranks"] == list(row.factorization.ranks)
        assert ours["factorization"]["parameters"] == row.factorization.parameters


def test_a_plot_has_a_row_for_each_layer(measured, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    _, table = measured
    figure = table.plot(tmp_path / "table.png")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == list(table.parameters)
    # The largest factorization of each layer is the best that keeps half of the parameters.
    column = [text.get_text() for text in figure.axes[0].texts if text.get_position()[0] == 0.5]
    for name, text in zip(table.parameters, column, strict=True):
        least = min(row.end_error for row in table.of(name))
        assert text == (f"{least:.1%}" if least < 0.1 else f"{least:.0%}")
    table.plot(tmp_path / "table.svg")
    assert "<svg" in (tmp_path / "table.svg").read_text()
    assert table.plot() is not figure


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (keras.Sequential([layers.Dense(3)]), ROWS),
        (None, ROWS),
        (keras.Sequential([keras.Input((16,)), layers.ReLU()]), ROWS),
        (keras.Sequential([keras.Input((16,)), layers.Dense(3)]), None),
        (keras.Sequential([keras.Input((16,)), layers.Dense(3)]), ROWS[:0]),
        (keras.Sequential([keras.Input((16,)), layers.Dense(3)]), ROWS[:, :3]),
        (keras.Sequential([keras.Input((16,)), layers.Dense(3)]), ROWS * np.nan),
    ],
)
def test_what_cannot_be_measured_is_refused(model, data):
    with pytest.raises(ValueError, match=r"^Expected (.|\n)*Received"):
        sensitivity(model, data)


def test_it_reports_its_progress(progress_lines):
    table = sensitivity(dense_model(), ROWS)
    rows = len(table.rows)
    assert progress_lines()["measuring layers"].startswith(f"{rows} of {rows} done in ")
