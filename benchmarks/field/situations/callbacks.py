"""Training with `RankDiscretization` that does not do what its user thinks."""

import warnings

import keras
import numpy as np

import dart_keras as dk
from benchmarks.field.models import fit, rows, tt_model
from benchmarks.field.situation import situation

Cut = dk.callbacks.RankDiscretization
Threshold = dk.selection.Threshold


@situation("cuts with a threshold that removes nothing", warned="remove|nothing|no rank")
def removes_nothing(folder):
    fit(tt_model(), Cut(Threshold(1e-9), epoch=1))


@situation("cuts so much that all ranks are 1", warned="rank.* 1")
def all_ranks_one(folder):
    fit(tt_model(), Cut(Threshold(0.999), epoch=1))


@situation("fits with a strength that is too small to change a rank", warned="strength")
def strength_without_effect(folder):
    fit(tt_model(strength=1e-7), Cut(Threshold(1e-6), epoch=2))


@situation("fits with a strength that leaves nothing of the loss's own", warned="strength|loss")
def strength_that_ruins(folder):
    fit(tt_model(strength=1000.0), Cut(Threshold(0.1), epoch=2), epochs=4)


@situation("cuts after the last epoch", warned="epoch")
def cut_after_the_last_epoch(folder):
    fit(tt_model(), Cut(Threshold(0.5), epoch=3), epochs=3)


@situation("adds a second callback for layers whose ranks are final", warned="final")
def second_callback(folder):
    fit(tt_model(), Cut(Threshold(0.5), epoch=1), Cut(Threshold(0.9), epoch=2))


@situation("lists the callback after the CSVLogger", warned="before|after|order")
def after_the_logger(folder):
    log = keras.callbacks.CSVLogger(folder / "log.csv")
    fit(tt_model(), log, Cut(Threshold(0.5), epoch=1))


@situation("lets EarlyStopping end the training before the cut", warned="cut|truncat")
def stopped_before_the_cut(folder):
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=0)
    fit(tt_model(), stop, Cut(Threshold(0.5), epoch=5), epochs=6)


@situation("gives a budget that cannot be reached, for a cut six epochs later", refused="tt")
def impossible_budget(folder):
    seen = []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    try:
        fit(tt_model(), count, Cut(dk.budgets.Parameters(3), epoch=6), epochs=7)
    finally:
        assert not seen, "it was found after training"


@situation("plots the loss of a regularized model to see whether it learns")
def penalty_in_the_logs(folder):
    history = fit(tt_model(strength=0.1), Cut(Threshold(0.1), epoch=2)).history
    assert "rank_penalty" in history, sorted(history)
    total = np.add(history["rank_penalty"], history["data_loss"])
    assert np.allclose(total, history["loss"], rtol=1e-3), history


@situation("freezes a TT layer and trains the rest with the callback")
def frozen_layer(folder):
    inputs = keras.Input((16,))
    frozen = dk.layers.TTDense(16, ranks=4, name="frozen", trainable=False)
    outputs = dk.layers.TTDense(16, ranks=4, name="trained")(frozen(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    fit(model, Cut(Threshold(0.9), epoch=1))
    assert max(frozen.ranks) == 4, f"cut to {frozen.ranks}"


@situation("fits on a single batch that is NaN, then cuts", refused="finite")
def nan_training(folder):
    model = tt_model()
    x = np.full((8, 16), np.nan, "float32")
    model.fit(x, x, epochs=3, verbose=0, callbacks=[Cut(Threshold(0.5), epoch=1)])


def _gumbel(policy):
    keras.config.set_dtype_policy(policy)
    model = tt_model()
    fit(model, Cut(dk.selection.GumbelSoftmax(), epoch=2))
    assert np.isfinite(model.predict(rows(4, 16), verbose=0)).all()


@situation("learns ranks by Gumbel-Softmax in float16")
def gumbel_float16(folder):
    _gumbel("float16")


@situation("learns ranks by Gumbel-Softmax in bfloat16")
def gumbel_bfloat16(folder):
    _gumbel("bfloat16")


@situation("learns ranks by Gumbel-Softmax in mixed float16")
def gumbel_mixed_float16(folder):
    _gumbel("mixed_float16")


@situation("learns ranks by Gumbel-Softmax in mixed bfloat16")
def gumbel_mixed_bfloat16(folder):
    _gumbel("mixed_bfloat16")


@situation("has layers of one name in two nested models, and reads `cuts`")
def layers_of_one_name(folder):
    def block():
        return keras.Sequential(
            [keras.Input((16,)), dk.layers.TTDense(16, ranks=4, name="projection")]
        )

    model = keras.Sequential([keras.Input((16,)), block(), block()])
    model.compile("adam", "mse")
    cut = Cut(Threshold(0.5), epoch=1)
    fit(model, cut)
    assert len(cut.cuts[0]["ranks_after"]) == 2, cut.cuts[0]


@situation("fits the model that the demo recommends, and is not told that it is slow")
def no_warning_without_need(folder):
    from examples.fashion_mnist.experiment import tt_model as recommended

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*slower")
        model = recommended()
        model.compile("adam", "mse")
        model.fit(rows(128, 784), rows(128, 10), batch_size=64, verbose=0)


@situation("builds a TT layer that is larger than the dense one", warned="parameters in its cores")
def larger_than_dense(folder):
    model = keras.Sequential([keras.Input((16,)), dk.layers.TTDense(16, ranks=64)])
    model.compile("adam", "mse")
    fit(model)
