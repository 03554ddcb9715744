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
