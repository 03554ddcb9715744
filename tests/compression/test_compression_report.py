import dataclasses
import json
import warnings

import keras
import numpy as np
import pytest

from dart_keras.budgets import Parameters, RelativeError
from dart_keras.compression import Agreement, CompressionReport, LayerReport, compress
from tests.compression import models


def layer(name, factorization, ranks, reason=None, errors=(0.25, 0.5), **numbers):
    numbers = {"parameters_before": 12_000, "parameters_after": 3_400, **numbers}
    return LayerReport(
        name,
        factorization,
        ranks,
        reason,
        bytes_before=48_000,
        bytes_after=13_600,
        multiply_adds_before=numbers.pop("products_before", 7_000_000),
        multiply_adds_after=numbers.pop("products_after", 2_000_000),
        error=errors[0],
        end_error=errors[1],
        **numbers,
    )


@pytest.fixture
def report():
    rows = (
        layer("encoder/attention/query", "low rank", (1, 7, 1)),
        layer("stem", "convolutions", (None, 4), errors=(0.125, None)),
        layer("head", "dense", (), "it is a test", errors=(0.0, 0.75)),
        layer("norm", "", (), "of type Norm", products_before=None, products_after=None),
    )
    measured = {"flash_bytes": 43_210, "arena_bytes": 9_876}
    return CompressionReport(
        model="small one",
        layers=rows,
        parameters_before=50_000,
        parameters_after=15_000,
        bytes_before=200_000,
        bytes_after=60_000,
        multiply_adds_before=21_000_800,
        multiply_adds_after=6_000_800,
        end_error=0.0625,
        measured=measured,
    )


@pytest.fixture(scope="module")
def made():
    model, batch = models.build("residual_block")
    return compress(model, Parameters(700), batch)[1]


def test_it_prints_each_layer_with_its_figures(report):
    lines = str(report).splitlines()
    assert lines[0] == "Model 'small one'"
    assert lines[1].split() == ["parameters", "bytes", "multiply-adds"]
    assert lines[2].split() == [
        *("layer", "factorization", "ranks"),
        *("before", "after") * 3,
        *("error", "model", "output", "error"),
    ]
    query, stem, head, norm = lines[4:8]
    assert query.split() == [
        "encoder/attention/query", "low", "rank", "1-7-1", "12,000", "3,400", "48,000", "13,600",
        "7,000,000", "2,000,000", "25.00%", "50.00%",
    ]  # fmt: skip
    assert " *-4 " in stem
    assert stem.endswith("12.50%")
    # Layers that stay have nothing lost to tell of.
    assert "%" not in head + norm
    assert "7,000,000" not in norm
    [whole] = [line for line in lines if line.startswith("whole model")]
    assert whole.split() == [
        "whole", "model", "50,000", "15,000", "200,000", "60,000", "21,000,800", "6,000,800",
        "6.25%",
    ]  # fmt: skip


def test_it_prints_what_a_file_takes_and_why_layers_stay(report):
    tail = str(report).splitlines()[-5:]
    assert tail == [
        "multiply-adds outside of these layers: 800",
        "flash bytes: 43,210",
        "arena bytes: 9,876",
        "head stays: it is a test",
        "norm stays: of type Norm",
    ]


def test_it_prints_how_far_it_agrees_with_the_original(report):
    [unknown] = [line for line in str(report).splitlines() if "agreement" in line]
    assert "unknown" in unknown
    assert "Nobody knows how good this model is" in unknown
    output = {"name": "y", "max_abs_error": 2.0, "sqnr_db": 3.4, "argmax_agreement": 0.27}
    known = dataclasses.replace(report, agreement=Agreement(1000, (output,)))
    assert "unknown" not in str(known)
    assert (
        "agreement with the original on 1,000 calibration rows: y: largest error 2, 3.4 dB, "
        "27.0% of the rows with the same argmax"
    ) in str(known).splitlines()
    agreement = {"rows": 1000, "outputs": [output], "are_chosen": False}
    assert known.as_dict()["agreement"] == agreement
    assert report.as_dict()["agreement"] is None


def test_a_destroyed_model_is_warned_of_and_a_good_one_is_not():
    hidden = keras.layers.Dense(32, activation="relu")
    model = keras.Sequential([keras.Input((32,)), hidden, keras.layers.Dense(8)])
    batch = np.random.default_rng(0).normal(size=(300, 32)).astype("float32")
    with pytest.warns(UserWarning, match=r"argmax .*dB.*a larger budget than Param") as caught:
        _, destroyed = compress(model, Parameters(250), batch)
    [warning] = [each for each in caught if "what the original does" in str(each.message)]
    assert warning.filename == __file__
    assert destroyed.agreement.shortfalls()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        _, good = compress(model, RelativeError(0.05), batch)
    assert good.agreement.shortfalls() == []


def test_nothing_is_printed_of_what_is_not_known(report):
    rows = [
        dataclasses.replace(row, multiply_adds_before=None, multiply_adds_after=None)
        for row in report.layers
    ]
    known = dataclasses.replace(
        report,
        layers=tuple(rows),
        multiply_adds_before=None,
        multiply_adds_after=None,
        end_error=None,
        measured={},
        uncounted=("norm (Norm)",),
    )
    text = str(known)
    assert "None" not in text
    assert "\nmultiply-adds that cannot be counted: norm (Norm)\n" in text
    assert "flash" not in text
    [whole] = [line for line in text.splitlines() if line.startswith("whole model")]
    assert whole.split()[2:] == ["50,000", "15,000", "200,000", "60,000"]
    broken = dataclasses.replace(report, end_error=float("nan"))
    assert "nan" not in str(broken)


def test_the_columns_are_aligned(made):
    lines = str(made).splitlines()
    end = 3 + len(made.layers) + 2
    ruled = [line for line in lines[: end + 1] if set(line) == {"-"}]
    assert len(ruled) == 2
    width = len(ruled[0])
    assert all(len(line) <= width for line in lines[1 : end + 1])
    for row, line in zip(made.layers, lines[4:], strict=False):
        column = lines[2].index("before") + len("before")
        assert line[:column].endswith(f" {row.parameters_before:,}")


def test_a_printed_report_names_every_layer(made):
    lines = str(made).splitlines()
    for row in made.layers:
        assert len([line for line in lines if line.split()[0] == row.name]) == 1 + bool(row.reason)


def test_all_of_it_is_in_what_json_holds(report, made):
    for each in (report, made):
        read = each.as_dict()
        assert json.loads(json.dumps(read)) == read
        assert {field.name for field in dataclasses.fields(each)} == set(read)
        for row, kept in zip(each.layers, read["layers"], strict=True):
            assert kept == {**dataclasses.asdict(row), "ranks": list(row.ranks)}
        assert read["end_error"] == each.end_error


def test_a_plot_has_the_figures_of_every_layer(report, made, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    for each in (report, made):
        figure = each.plot(tmp_path / "report.png")
        assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
        sizes, errors = figure.axes
        names = [label.get_text() for label in sizes.get_yticklabels()]
        assert names == [row.name for row in each.layers]
        written = [text.get_text() for text in sizes.texts]
        assert written == [
            f"{row.parameters_before:,} → {row.parameters_after:,}"
            if row.parameters_before != row.parameters_after
            else f"{row.parameters_before:,}"
            for row in each.layers
        ]
        shown = {text.get_text() for text in errors.texts}
        for row in each.layers:
            assert row.reason is not None or f"{row.error:.1%}" in shown
        assert f"{each.parameters_after:,}" in figure.get_suptitle()
    assert made.plot() is not figure


def test_layers_that_stay_have_no_errors_in_a_plot(report):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    _, errors = report.plot().axes
    # Of the head and of the normalization nothing is lost.
    assert {int(text.xy[1]) for text in errors.texts} == {0, 1}


def test_a_plot_without_data_shows_no_model_output_errors(report, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    rows = tuple(dataclasses.replace(row, end_error=None) for row in report.layers)
    known = dataclasses.replace(report, layers=rows, end_error=None)
    figure = known.plot(tmp_path / "report.svg")
    assert not figure.axes[1].lines
    [legend] = figure.legends
    keys = [text.get_text() for text in legend.get_texts()]
    assert keys == ["before", "after", "error of the layer's outputs"]
    assert "<svg" in (tmp_path / "report.svg").read_text()


def test_a_report_cannot_be_changed(report):
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.parameters_after = 0
