import numpy as np
import pytest

from dart_keras.budgets import MultiplyAdds, Parameters
from dart_keras.callbacks import RankDiscretization, RankMonitor
from dart_keras.selection import Threshold
from tests.callbacks.problem import X, Y, make_model


def horizontal_lines(axes):
    return [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]


def test_records_the_singular_values_of_every_bond():
    model = make_model()
    monitor = RankMonitor()
    history = model.fit(
        X,
        Y,
        epochs=3,
        verbose=0,
        callbacks=[monitor, RankDiscretization(Threshold(0.5), epoch=2)],
    ).history
    values = monitor.singular_values["first/1"]
    rank = model.layers[0].ranks[1]
    assert [len(v) for v in values] == [8, 8, rank]
    np.testing.assert_allclose(values[-1], model.layers[0].bond_singular_values()[0])
    assert rank >= history["first_effective_rank_1"][-1] >= 1


def test_nan_weights_are_recorded_as_nan():
    model = make_model()
    model.fit(X, Y * np.nan, epochs=1, verbose=0, callbacks=[monitor := RankMonitor()])
    assert np.all(np.isnan(monitor.singular_values["first/1"][0]))


def test_there_is_nothing_to_plot_before_an_epoch(tmp_path):
    monitor = RankMonitor()
    with pytest.raises(ValueError, match="call `fit` for at least one epoch first"):
        monitor.plot(tmp_path / "none.png")
    with pytest.raises(ValueError, match="call `fit` for at least one epoch first"):
        monitor.plot_targets(tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_plot_writes_a_picture_and_returns_it(tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    monitor = RankMonitor()
    model = make_model()
    cut = RankDiscretization(Threshold(0.5), epoch=1)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor, cut])
    figure = monitor.plot(tmp_path / "values.png", threshold=0.5)
    assert (tmp_path / "values.png").read_bytes().startswith(b"\x89PNG")
    [axes] = [axes for axes in figure.axes if axes.get_title("left").startswith("first, bond 1")]
    assert "8\u00a0→" in axes.get_title("left")
    assert monitor.plot() is not figure
    # A threshold limits neither size nor loss.
    for axes in monitor.plot_targets().axes:
        assert not horizontal_lines(axes)


def test_a_monitor_says_what_it_has_seen():
    monitor = RankMonitor()
    assert repr(monitor) == "RankMonitor(0 bonds, 0 epochs)"
    model = make_model()
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor]).history
    assert monitor.history["loss"] == history["loss"]
    assert np.all(np.isnan(monitor.history["val_loss"]))
    bonds = len(monitor.singular_values)
    assert repr(monitor) == f"RankMonitor({bonds} bonds, 2 epochs)"


def test_size_and_loss_are_recorded_in_any_order_of_the_callbacks(tmp_path):
    before, after = RankMonitor(), RankMonitor()
    cut = RankDiscretization(Parameters(800), epoch=1)
    model = make_model()
    history = model.fit(
        X, Y, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[before, cut, after]
    ).history
    recorded = before.history
    assert recorded == after.history
    assert recorded["loss"] == history["data_loss"]
    assert recorded["val_loss"] == history["val_data_loss"]
    assert recorded["model_parameters"] == history["parameters"]
    # All weights but the biases.
    assert recorded["parameters"] == [size - 64 - 32 for size in history["parameters"]]

    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    size, loss = before.plot_targets(tmp_path / "targets.png").axes
    assert (tmp_path / "targets.png").read_bytes().startswith(b"\x89PNG")
    assert size.get_ylabel() == "parameters"
    assert loss.get_ylabel() == "loss without rank penalty"
    assert horizontal_lines(size) == [800]
    for axes in (size, loss):
        [mark] = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert mark.get_xdata()[0] == 1.5


def test_layers_that_are_not_truncated_do_not_count():
    model = make_model()
    first, second = model.layers
    second.trainable = False
    monitor, cut = RankMonitor(), RankDiscretization(MultiplyAdds(10_000), epoch=1)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor, cut])
    assert monitor.history["parameters"][-1] == first.count_params() - 64
    assert monitor.history["multiply_adds"][-1] == first.multiply_adds(first.ranks) <= 10_000

    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    size, _ = monitor.plot_targets().axes
    assert size.get_ylabel() == "multiply-adds for one row"
    assert horizontal_lines(size) == [10_000]
