import math

import numpy as np
import pytest

from dart_keras.compression.sensitivity_plot import draw_heat_map

pytest.importorskip("matplotlib", reason="drawing needs matplotlib")

ERRORS = {"first": [0.002, 0.05, math.nan], "second": [0.2, math.nan, math.nan]}


def drawn(errors, **options):
    figure = draw_heat_map("title", errors, ["1/2", "1/4", "1/8"], "share", None)
    return figure.axes


def test_every_error_is_written_in_its_cell():
    axes, _ = drawn(ERRORS)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0.5, 0.5): "0.2%", (1.5, 0.5): "5.0%", (0.5, 1.5): "20%"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]


def test_a_column_without_errors_is_left_out():
    axes, _ = drawn(ERRORS)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1/2", "1/4"]


def test_the_errors_use_all_colours():
    axes, _ = drawn(ERRORS)
    [image] = axes.collections
    assert image.norm.vmin == 0.002
    assert image.norm.vmax == 0.2


def test_text_can_be_read_on_its_cell():
    axes, _ = drawn({"x": [0.001, 0.03, 1.0]})
    [image] = axes.collections
    for text, error in zip(axes.texts, [0.001, 0.03, 1.0], strict=True):
        cell = np.array(image.to_rgba([error])[0][:3])
        ink = 1.0 if text.get_color() == "white" else 0.15
        assert abs(cell @ [0.3, 0.6, 0.1] - ink) > 0.3


@pytest.mark.parametrize("errors", [{"x": [0.0, 0.0, 0.0]}, {"x": [0.1, math.nan, math.nan]}])
def test_errors_that_are_all_the_same_are_drawn(errors, tmp_path):
    draw_heat_map("title", errors, ["1/2", "1/4", "1/8"], "share", tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 0
