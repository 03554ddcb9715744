import numpy as np
import pytest

from dart_keras.tensor_train import suggest_modes
from dart_keras.tensor_train.modes import suggestion


def test_table_has_suggestion_dense_layer_and_front():
    found = suggest_modes(784, 1024, ranks=4, max_cores=2)
    lines = str(found).splitlines()
    assert repr(found) == str(found)
    assert lines[0] == "Modes for 784 x 1024 on cpu, chosen for the least parameters"
    assert lines[1].split()[:4] == ["modes", "ranks", "parameters", "multiply-adds"]
    assert lines[3].split()[:4] == ["suggested", "28x28/32x32", "1-4-1", "7,168"]
    assert lines[4].split()[:4] == ["dense", "784/1024", "1-1", "802,816"]
    assert lines[5].startswith("front")
    assert len(lines) == 5 + len(found.front)


def test_point_prints_its_costs_and_has_a_short_repr():
    point = suggest_modes(784, 1024, ranks=4, max_cores=2).dense
    assert str(point).splitlines()[2].split()[:3] == ["784/1024", "1-1", "802,816"]
    assert repr(point).startswith("ModePoint(input_modes=(784,), ")
    assert "802,816" in point._repr_html_()


def test_long_front_is_shortened_in_the_table(monkeypatch):
    monkeypatch.setattr(suggestion, "SHOWN", 2)
    found = suggest_modes(96, 96)
    assert len(found.front) > 3
    assert str(found).endswith(f"\nand {len(found.front) - 2} more points of the front")


def test_errors_have_their_own_column():
    matrix = np.random.default_rng(0).normal(size=(8, 8))
    found = suggest_modes(8, 8, ranks=2, max_cores=2, matrix=matrix)
    assert str(found).splitlines()[1].endswith("error")
    assert str(found).splitlines()[3].endswith(f"{found.error:.4f}")
    assert found.dense.error == 0


@pytest.mark.parametrize("matrix", [None, np.random.default_rng(0).normal(size=(16, 12))])
def test_plot_has_every_cost_against_the_parameters(tmp_path, matrix):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    found = suggest_modes(16, 12, ranks=2, matrix=matrix)
    figure = found.plot(tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    titles = [axis.get_title("left") for axis in figure.axes]
    assert titles[:3] == ["multiply-adds", "microseconds", "arena bytes"]
    assert titles[3:] == ([] if matrix is None else ["error"])
    assert "16 \u00d7 12 on cpu" in figure.get_suptitle()
    assert found.plot() is not figure


def test_plot_shows_every_point_and_marks_the_suggested_one():
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    found = suggest_modes(784, 1024, ranks=4)
    figure = found.plot()
    for k, axes in enumerate(figure.axes, start=1):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        shown = {tuple(xy) for points in axes.collections for xy in points.get_offsets().tolist()}
        for point in (found, *found.front):
            x, y = point.costs[0], point.costs[k]
            assert (x, y) in shown
            assert left < x < right
            assert bottom < y < top
    [legend] = figure.legends
    keys = [text.get_text() for text in legend.get_texts()]
    assert keys[0].startswith("suggested: 7\u00d74")
    assert keys[1] == "dense layer, 802,816 parameters"
    assert keys[2:] == ["2 cores", "3 cores", "4 cores"]
