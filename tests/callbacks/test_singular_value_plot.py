import numpy as np
import pytest

from dart_keras.callbacks.singular_value_plot import draw_singular_values

pytest.importorskip("matplotlib", reason="drawing needs matplotlib")

VALUES = [np.array([4.0, 2.0, 0.4]), np.array([4.0, 1.0, 4e-6]), np.array([4.0, 1.0])]


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title("left")]


def curves(axes):
    return [line for line in axes.lines if line.get_linestyle() == "-"]


@pytest.mark.parametrize(
    ("bonds", "shape"), [(1, (1, 1)), (3, (3, 1)), (4, (2, 2)), (9, (3, 3)), (40, (10, 4))]
)
def test_bonds_are_drawn_in_columns(bonds, shape):
    values = {f"layer_{i}/1": VALUES for i in range(bonds)}
    figure = draw_singular_values([0, 1, 2], values, None, None)
    found = panels(figure)
    assert len(found) == bonds
    assert found[0].get_gridspec().get_geometry() == shape


def test_values_are_relative_and_inside_the_axes():
    figure = draw_singular_values([0, 1, 2], {"hidden/1": VALUES}, None, None)
    [axes] = panels(figure)
    assert axes.get_title("left") == "hidden, bond 1: rank\u00a03\u00a0→\u00a02"
    assert [list(line.get_xdata()) for line in curves(axes)] == [[1, 2, 3], [1, 2, 3], [1, 2]]
    np.testing.assert_allclose(curves(axes)[1].get_ydata(), [0.5, 0.25, 0.25])
    low, high = axes.get_ylim()
    for line in curves(axes):
        assert low < min(line.get_ydata())
        assert max(line.get_ydata()) < high


def test_a_place_has_one_colour_in_all_panels():
    values = {"one/1": VALUES, "other/1": [v[:2] for v in VALUES]}
    one, other = panels(draw_singular_values([0, 1, 2], values, None, None))
    colors = [[line.get_color() for line in curves(axes)] for axes in (one, other)]
    assert colors[0][:2] == colors[1]
    assert len(set(colors[0])) == 3


def test_truncation_and_threshold_have_lines_and_keys():
    figure = draw_singular_values([0, 1, 2], {"hidden/1": VALUES}, 0.2, None)
    [axes] = panels(figure)
    [cut] = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert list(cut.get_xdata()) == [2.5, 2.5]
    [threshold] = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert list(threshold.get_ydata()) == [0.2, 0.2]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["threshold 0.2", "truncation"]
    assert not draw_singular_values([0], {"hidden/1": VALUES[:1]}, None, None).legends


@pytest.mark.parametrize(
    "history",
    [[np.array([1.0])], [np.zeros(3)], [np.full(3, np.nan)], [np.ones(3), np.full(3, np.nan)]],
)
def test_rank_one_zeros_and_nan_are_drawn(history, tmp_path):
    draw_singular_values(range(len(history)), {"x/1": history}, None, tmp_path / "values.png")
    assert (tmp_path / "values.png").stat().st_size > 0


def test_a_long_name_is_broken_where_words_end():
    name = "transformer_encoder_0_multi_head_self_attention_query_projection"
    values = {f"{name}/{bond}": VALUES for bond in range(1, 7)}
    for axes in panels(draw_singular_values([0, 1, 2], values, None, None)):
        lines = axes.get_title("left").split("\n")
        assert "".join(lines).startswith(name)
        assert lines[0].endswith("_")
