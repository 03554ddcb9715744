"""Files of other tools, from small untrained networks."""

import json

import keras
import numpy as np
import pytest

from benchmarks.deployment import evaluation, files, peers
from benchmarks.deployment.edge_quantizer import DYNAMIC, STATIC_INT8
from benchmarks.deployment.evaluation import FIRST
from benchmarks.deployment.keras_export import exported
from benchmarks.deployment.markdown import COLUMNS, table
from benchmarks.tables import Results
from dart_keras.layers import TTDense
from examples.fashion_mnist.data import FashionMnist

ROWS = np.random.default_rng(0).random((40, 24)).astype("float32")


def made_model(hidden):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((24,)), hidden, keras.layers.Dense(5)])


@pytest.fixture(autouse=True)
def _runtimes():
    for package in ("ai_edge_litert", "tflite_micro"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def dense():
    return made_model(keras.layers.Dense(30, activation="relu", bias_initializer="normal"))


@pytest.fixture(scope="module")
def tt_model():
    return made_model(TTDense(30, 3, activation="relu", bias_initializer="normal"))


@pytest.fixture(scope="module")
def images(dense):
    # The dense network is right except on the last ten rows.
    labels = dense.predict(ROWS, verbose=0).argmax(-1).astype("int32")
    labels[30:] = (labels[30:] + 1) % 5
    return FashionMnist("random", ROWS, labels, ROWS, labels)


@pytest.mark.parametrize("options", [{}, {"one_row": True}, {"one_row": True, "rows": ROWS}])
@pytest.mark.parametrize("network", ["dense", "tt_model"])
def test_exported_files_match_the_model(network, options, request):
    model = request.getfixturevalue(network)
    file = evaluation.executable(exported(model, **options))
    assert file.inputs[0].dtype == ("int8" if "rows" in options else "float32")
    expected = model.predict(ROWS, verbose=0)
    off = np.abs(file.run("litert", [ROWS]).outputs[0] - expected).max()
    assert off < (0.05 * np.ptp(expected) if "rows" in options else 1e-5)


def test_files_are_evaluated_and_timed_on_both_runtimes(dense, images, monkeypatch):
    monkeypatch.setattr(evaluation, "TFLM_IMAGES", 30)
    contents = {"float32": exported(dense), "int8": exported(dense, True, ROWS)}
    cells = {name: evaluation.evaluate(content, images) for name, content in contents.items()}
    found = cells["float32"]
    assert found["file bytes"] == len(contents["float32"])
    assert found["operators"] == {"FULLY_CONNECTED": 2}
    assert found["LiteRT"] == {"accuracy": 0.75, evaluation.FIRST: 1.0}
    assert found["TFLM"][evaluation.FIRST] == 1.0
    assert found["TFLM"]["arena"] < 10_000
    evaluation.add_latencies(cells, contents, seconds=0.01)
    for cell in cells.values():
        assert all(cell[runtime]["microseconds"] > 0 for runtime in evaluation.RUNTIMES)


def test_edge_quantizer(tt_model, images):
    pytest.importorskip("ai_edge_quantizer", reason="in the extra `benchmarks` alone")
    static, dynamic = (
        evaluation.evaluate(files.edge_file(tt_model, method, ROWS), images)
        for method in (STATIC_INT8, DYNAMIC)
    )
    assert FIRST in static["LiteRT"]
    assert "arena" in static["TFLM"]
    assert FIRST in dynamic["LiteRT"]
    assert "FLOAT32 with filter type: INT8" in dynamic["TFLM"]["refused"]


def test_conversion_names_are_unique(dense, tt_model, images):
    names = [conversion.name for conversion in files.conversions(dense, tt_model, images)]
    assert len(set(names)) == len(names)
    tools = {conversion.tool for conversion in files.conversions(dense, tt_model, images)}
    assert tools == {files.OURS, files.TFMOT, files.EXPORT, files.EDGE}


def test_failed_and_missing_tools_are_named(dense, tt_model, images, monkeypatch, tmp_path, capsys):
    def fail():
        raise TypeError("no such layer")

    chosen = [
        files.Conversion("a", files.DENSE, "float32", lambda: exported(dense)),
        files.Conversion("b", files.TT, "int8", fail),
        files.Conversion("c", files.TT, "int8", fail, ("no_such_package", "numpy")),
    ]
    monkeypatch.setattr(peers, "conversions", lambda *_: chosen)
    path = tmp_path / "peers.json"
    peers.compare(dense, tt_model, images, Results("title", ["tool", "LiteRT"], path))
    content = json.loads(path.read_text())
    first, second = content["cells"]
    assert first["TFLM"]["microseconds"] > 0
    assert second["failed"] == "TypeError: no such layer"
    assert content["summary"]["left out"] == {"c, TT, int8": "not installed: no_such_package"}
    assert "Left out: c, TT, int8: not installed" in capsys.readouterr().err


def test_table_groups_by_network_and_lists_reasons_below():
    def made(tool, network, method):
        named = {"tool": tool, "network": network, "method": method}
        return {**named, "file bytes": 12345, "gzipped bytes": 999}

    cells = [
        {
            **made("a", "dense", "int8"),
            "LiteRT": {"accuracy": 0.8765, FIRST: 0.6, "microseconds": 12.34},
            "TFLM": {FIRST: 0.5, "microseconds": 1234.5, "arena": 4096},
        },
        {
            **made("b", "TT", "dynamic"),
            "LiteRT": {"accuracy": 0.8, FIRST: 0.7, "microseconds": 123.4},
            "TFLM": {"refused": "no kernel."},
        },
        {"tool": "c", "network": "TT", "method": "int8", "failed": "TypeError: x"},
    ]
    lines = table(cells).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert rows[2][0] == "**dense**"
    assert rows[3] == [
        "a, int8",
        "12,345",
        "999",
        "87.65%",
        "60.00%",
        "50.00%",
        "12.3",
        "1,234",
        "4,096",
    ]
    assert rows[5] == ["b, dynamic", "12,345", "999", "80.00%", "70.00%", "refused", "123", "", ""]
    assert rows[6][:2] == ["c, int8", "none"]
    assert lines[-2:] == [
        "- b, TT, dynamic: no kernel.",
        "- c, TT, int8: no file. TypeError: x",
    ]
