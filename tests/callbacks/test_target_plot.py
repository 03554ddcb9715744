import numpy as np
import pytest

from dart_keras.callbacks.target_plot import draw_targets

pytest.importorskip("matplotlib", reason="drawing needs matplotlib")

SIZES = {"TT cores": [900, 300, 300], "model": [1000, 400, 400]}
LOSSES = {"validation": [0.9, np.nan, 0.5], "training": [0.8, 0.7, 0.4]}


def draw(sizes=SIZES, losses=LOSSES, target=None, limit=None, cuts=(), path=None):
    epochs = range(len(sizes["TT cores"]))
    return draw_targets(epochs, sizes, "parameters", losses, "loss", target, limit, cuts, path)


def lines_of(axes, style):
    return [line for line in axes.lines if line.get_linestyle() == style]


def keys_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_panel_has_its_curves_and_units():
    size, loss = draw().axes
    assert (size.get_yscale(), size.get_ylabel()) == ("log", "parameters")
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert keys_of(size) == list(SIZES)
    assert keys_of(loss) == list(LOSSES)
    assert list(lines_of(size, "-")[0].get_xdata()) == [1, 2, 3]
    # An epoch without validation has no point.
    assert list(lines_of(loss, "-")[0].get_xdata()) == [1, 3]


@pytest.mark.parametrize("target", [10, 350, 10**6])
def test_curves_and_targets_are_inside_the_axes(target):
    for axes, line in zip(draw(target=target, limit=target).axes, (target, target), strict=True):
        low, high = axes.get_ylim()
        assert low < line < high
        # Labels of the two kinds of ticks would cover each other.
        assert not len(axes.get_yticks(minor=True))
        for curve in lines_of(axes, "-"):
            assert low < min(curve.get_ydata())
            assert max(curve.get_ydata()) < high


def test_targets_and_cuts_have_lines_and_keys():
    size, loss = draw(target=30_000, limit=0.61234, cuts=[1, 2]).axes
    assert keys_of(size) == ["truncation", *SIZES, "target 30,000"]
    assert keys_of(loss) == [*LOSSES, "limit 0.6123"]
    for axes in (size, loss):
        assert [list(line.get_xdata()) for line in lines_of(axes, ":")] == [[1.5] * 2, [2.5] * 2]
    assert list(lines_of(size, "--")[0].get_ydata()) == [30_000] * 2
    assert not lines_of(draw().axes[0], "--")


@pytest.mark.parametrize(
    "losses",
    [[np.nan] * 3, [np.inf, 1.0, np.nan], [-1.0, -2.0, -3.0], [0.0] * 3],
    ids=["nan", "infinite", "negative", "zero"],
)
def test_any_loss_is_drawn(losses, tmp_path):
    figure = draw(losses={"validation": losses}, cuts=[1], path=tmp_path / "targets.png")
    assert (tmp_path / "targets.png").stat().st_size > 0
    assert len(figure.axes) == 2


def test_one_epoch_is_drawn():
    size, _ = draw({"TT cores": [100]}, {"validation": [1.0]}).axes
    assert len(lines_of(size, "-")) == 1
