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


def test_plot_writes_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    monitor = RankMonitor()
    with pytest.raises(ValueError, match="none yet"):
        monitor.plot(tmp_path / "none.png")
    make_model().fit(X, Y, epochs=2, verbose=0, callbacks=[monitor])
    monitor.plot(tmp_path / "values.png")
    assert (tmp_path / "values.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("bonds", "shape"), [(2, (1, 2)), (4, (1, 4)), (5, (2, 3)), (16, (4, 4))])
def test_bonds_are_drawn_in_columns(tmp_path, bonds, shape):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    from matplotlib.image import imread

    monitor = RankMonitor()
    monitor.epochs = [0, 1]
    values = np.array([2.0, 1.0])
    monitor.singular_values = {f"layer_{i}/1": [values, values[:1]] for i in range(bonds)}
    monitor.plot(tmp_path / "values.png")
    columns, rows = shape
    assert imread(tmp_path / "values.png").shape[:2] == (120 * 3 * rows, 120 * 6 * columns)
