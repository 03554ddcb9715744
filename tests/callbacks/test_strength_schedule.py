import keras
import numpy as np
import pytest

from dart_keras.callbacks import StrengthSchedule
from tests.callbacks.problem import X, Y, make_model


@pytest.mark.parametrize("jit_compile", [False, True])
def test_schedule_changes_the_compiled_step(jit_compile):
    # Without learning, only the strength changes the loss.
    model = make_model(keras.optimizers.SGD(0.0), strength=0.5, jit_compile=jit_compile)
    history = model.fit(
        X, Y, epochs=3, verbose=0, callbacks=[StrengthSchedule(lambda epoch: [0, 1, 2][epoch])]
    ).history["loss"]
    assert history[1] > history[0]
    np.testing.assert_allclose(history[2] - history[1], history[1] - history[0], rtol=1e-3)


@pytest.mark.parametrize("factor", [-1.0, None, float("nan"), "1"])
def test_bad_factors_are_refused(factor):
    with pytest.raises(ValueError, match="for epoch 0"):
        make_model().fit(X, Y, verbose=0, callbacks=[StrengthSchedule(lambda epoch: factor)])


def test_its_repr_has_the_schedule():
    assert repr(StrengthSchedule(min)) == "StrengthSchedule(schedule=<built-in function min>)"
