import pytest

from dart_keras.compression.report_plot import Row, draw_report

pytest.importorskip("matplotlib", reason="drawing needs matplotlib")


def test_every_point_is_inside_the_axes():
    rows = [Row("a", 1000, 10, 0.31, 0.5), Row("b", 7, 7, None, None), Row("c", 90, 80, 0.0, 0.02)]
    sizes, errors = draw_report("title", rows, 0.02, None).axes
    for axes in (sizes, errors):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for points in axes.collections[-2:]:
            for x, y in points.get_offsets():
                assert left < x < right
                assert top < y < bottom


def test_a_figure_grows_with_its_layers_and_names():
    one = draw_report("title", [Row("a", 9, 3, 0.1, None)], None, None)
    rows = [Row("a_long_name" * 5, 9, 3, 0.1, None)] * 40
    many = draw_report("title", rows, None, None)
    assert many.get_figheight() > one.get_figheight() + 10
    assert many.get_figwidth() > one.get_figwidth() + 2


@pytest.mark.parametrize("error", [None, 0.0])
def test_a_model_in_which_nothing_changed_is_drawn(error, tmp_path):
    draw_report("title", [Row("a", 9, 9, error, error)], error, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 0
