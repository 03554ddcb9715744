"""Training continues smoothly after a truncation: the optimizer does not make the loss jump."""

import keras
import numpy as np
import pytest

import dart_keras as dk
from examples.fashion_mnist.data import load
from examples.fashion_mnist.experiment import tt_model

BATCH = 128
STEPS = 50


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(lambda: keras.optimizers.Adam(1e-3), id="adam"),
        pytest.param(lambda: keras.optimizers.SGD(0.05, momentum=0.9), id="sgd with momentum"),
    ],
)
def test_loss_50_steps_after_truncation_is_not_higher(optimizer):
    images = load()
    x, y = images.train_images[: 100 * BATCH], images.train_labels[: 100 * BATCH]
    model = tt_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss)
    cross_entropy = []

    class Watch(keras.callbacks.Callback):
        def measure(self):
            logits = self.model.predict(x, batch_size=1000, verbose=0)
            cross_entropy.append(float(loss(y, logits)))

        def on_epoch_begin(self, epoch, logs=None):
            # Called after the discretization, so this is the loss of the truncated model.
            if epoch == 3:
                self.measure()

        def on_train_batch_end(self, batch, logs=None):
            if len(cross_entropy) == 1 and batch == STEPS - 1:
                self.measure()

    cut = dk.callbacks.RankDiscretization(dk.budgets.Parameters(12_000), epoch=3)
    model.fit(x, y, batch_size=BATCH, epochs=4, verbose=0, callbacks=[cut, Watch()])
    assert cut.cuts[0]["parameters_after"] < cut.cuts[0]["parameters_before"]
    assert np.isfinite(cross_entropy).all()
    assert cross_entropy[1] <= cross_entropy[0]
