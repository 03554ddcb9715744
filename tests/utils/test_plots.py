import sys

import pytest

from dart_keras.utils.plots import color_map, require_matplotlib, set_scale, styled_figure


def test_without_matplotlib_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        pytest.raises(ImportError, match=r'pip install "dart-keras\[plots\]"'),
        styled_figure(2, 1, None),
    ):
        pass


def test_one_that_cannot_be_imported_is_known_before_anything_is_drawn(tmp_path, monkeypatch):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('of another NumPy')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    with pytest.raises(ImportError, match=r'pip install "dart-keras\[plots\]"'):
        require_matplotlib()


@pytest.fixture
def _matplotlib():
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")


@pytest.mark.usefixtures("_matplotlib")
def test_a_figure_is_saved_if_there_is_a_path(tmp_path):
    with styled_figure(2, 1, tmp_path / "figure.svg") as figure:
        figure.subplots().set_title("Drawn")
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    with styled_figure(2, 1, None):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


@pytest.mark.usefixtures("_matplotlib")
def test_the_style_is_for_the_figure_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with styled_figure(2, 1, None) as figure:
        assert not figure.subplots().spines["top"].get_visible()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.usefixtures("_matplotlib")
def test_a_notebook_gets_a_picture_and_pyplot_is_not_needed():
    loaded = "matplotlib.pyplot" in sys.modules
    with styled_figure(2, 1, None) as figure:
        figure.subplots()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == loaded


@pytest.mark.usefixtures("_matplotlib")
def test_all_colours_can_be_seen_on_white_and_differ_in_grey():
    greys = [0.3 * r + 0.6 * g + 0.1 * b for r, g, b, _ in map(color_map(), range(0, 256, 16))]
    assert max(greys) < 0.75
    assert greys == sorted(greys)


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([1000, 80_000], "log", {"1k", "10k", "50k"}),
        ([1000, 80_000_000], "log", {"1k", "1M", "10M"}),
        ([40_000, 50_000], "linear", {"40k", "45k", "50k"}),
        ([0.7, 0.9], "linear", {"0.7", "0.8", "0.9"}),
        ([7, 7], "linear", {"7"}),
    ],
)
def test_scales_have_room_and_few_ticks(values, scale, labels):
    with styled_figure(4, 3, None) as figure:
        axes = figure.subplots()
        set_scale(axes, "x", values)
        figure.draw_without_rendering()
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low < min(values)
    assert max(values) < high
    ticks = [t.get_text() for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert labels <= set(ticks)
    assert len(ticks) <= 8
