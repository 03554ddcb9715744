import numpy as np
import pytest

from dart_keras.callbacks import RankDiscretization, RankMonitor
from dart_keras.selection import Threshold
from tests.callbacks.problem import X, Y, make_model


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


def test_a_monitor_says_what_it_has_seen():
    monitor = RankMonitor()
    assert repr(monitor) == "RankMonitor(0 bonds, 0 epochs)"
    model = make_model()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor])
    bonds = len(monitor.singular_values)
    assert repr(monitor) == f"RankMonitor({bonds} bonds, 2 epochs)"
