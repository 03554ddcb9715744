import keras
import numpy as np

import dart_keras as dk
from examples.language_model.dropout import DropoutAfterCut


def test_the_rate_changes_with_the_cut():
    model = keras.Sequential(
        [keras.Input((8,)), dk.layers.TTDense(8, ranks=4), keras.layers.Dropout(0.5)]
    )
    # Nothing moves, so that all that changes from step to step is what dropout leaves out.
    model.compile(keras.optimizers.SGD(0.0), "mse")
    cut = dk.callbacks.RankDiscretization(dk.selection.Energy(1e-6), epoch=1)
    losses = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: losses.append(logs["loss"])
    )
    callbacks = [cut, DropoutAfterCut(0.0, cut), record]
    data = keras.ops.ones((4, 8))
    model.fit(data, data, batch_size=1, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    assert len(set(losses[:4])) > 1
    # Logs are means over the epoch so far.
    np.testing.assert_allclose(losses[4:], losses[4], rtol=1e-5)
    assert model.layers[-1].rate == 0
