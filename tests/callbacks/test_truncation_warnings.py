import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from dart_keras.budgets import Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.callbacks.truncation_warnings import TruncationWarnings
from dart_keras.selection import GumbelSoftmax, Threshold
from tests.callbacks.problem import X, Y, make_model, ranks_of

README = Path(__file__).parents[2] / "README.md"
CUT = Threshold(0.7)
# Ranks have fallen after three epochs with the model of `good_model`.
GOOD = Threshold(0.3)


def good_model():
    return make_model(keras.optimizers.Adam(1e-2), strength=0.3)


def said(run, *arguments, **others):
    """What `RankDiscretization` warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(*arguments, **others)
    return [
        text for each in caught if (text := str(each.message)).startswith("RankDiscretization ")
    ]


def fit(model, *callbacks, epochs=3, **arguments):
    model.fit(X, Y, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments)


def test_good_settings_raise_no_warning():
    model = good_model()
    assert said(fit, model, RankDiscretization(GOOD, epoch=3), epochs=5) == []
    assert all(1 < max(ranks) < 8 for ranks in ranks_of(model))


def test_a_cut_that_removes_nothing():
    [text] = said(fit, make_model(), RankDiscretization(Threshold(1e-6), epoch=2))
    assert "removed nothing" in text
    assert "increase the strength" in text
    # Nothing drives the ranks, so that no strength is to blame.
    [text] = said(
        fit, make_model_without_regularizer(), RankDiscretization(Threshold(1e-6), epoch=2)
    )
    assert "a larger `delta`" in text
    assert "strength" not in text


def make_model_without_regularizer():
    model = make_model()
    for layer in model.layers:
        layer.rank_regularizer = None
        for core in layer.cores:
            core.regularizer = None
    return model


def test_a_step_of_several_may_remove_nothing():
    model = good_model()
    cut = RankDiscretization(Parameters(700), epoch=(3, 4))
    assert said(fit, model, cut, epochs=5) == []
    assert cut.cuts[0]["ranks_after"] == cut.cuts[1]["ranks_after"]


def test_rank_one_everywhere():
    texts = said(fit, make_model(), RankDiscretization(Threshold(0.99), epoch=(1, 2)))
    assert sum("rank 1 at every bond" in text for text in texts) == 1


def test_a_strength_that_changes_nothing():
    texts = said(fit, make_model(strength=1e-9), RankDiscretization(Parameters(600), epoch=2))
    assert sum("nothing had weakened" in text for text in texts) == 1
    assert any("increase the strength" in text for text in texts)


def test_a_strength_that_ruins_the_loss():
    model = make_model(keras.optimizers.Adam(1e-2), strength=30.0)
    texts = said(fit, model, RankDiscretization(Threshold(1e-3), epoch=4), epochs=5)
    [text] = [text for text in texts if "learned nothing" in text]
    assert "Lower the strength" in text


def test_a_cut_that_ruins_the_loss():
    model = make_model(keras.optimizers.Adam(1e-2), strength=1e-3)
    texts = said(fit, model, RankDiscretization(Parameters(300), epoch=8), epochs=9)
    [text] = [text for text in texts if "what the model needs" in text]
    assert "a larger budget" in text


def test_a_cut_after_the_last_epoch_is_told_before_the_first():
    epochs = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))

    class Expecting(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.texts = [str(each.message) for each in caught]

    expecting = Expecting()
    model = make_model()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, RankDiscretization(CUT, epoch=3), count, expecting)
    late = [str(each.message) for each in caught if "after the last epoch" in str(each.message)]
    assert len(late) == 1
    assert late[0] in expecting.texts
    assert all(layer.ranks_fixed for layer in model.layers)


def test_ranks_that_converge_with_the_last_epoch_are_told_after_it():
    model = make_model()
    model.optimizer.learning_rate = 0.0
    texts = said(fit, model, RankDiscretization(CUT, when="converged"), epochs=3)
    assert sum("after the last epoch, 3" in text for text in texts) == 1


def test_an_epoch_beyond_the_training_is_told_once():
    [text] = said(fit, make_model(), RankDiscretization(CUT, epoch=9))
    assert "no final cut: it is to come after 9 epochs, and `fit` has 3" in text


def test_early_stopping_before_the_cut_is_named():
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    [text] = said(fit, make_model(), RankDiscretization(CUT, epoch=6), stopping, epochs=9)
    assert "EarlyStopping stopped the training after 2 epochs" in text
    assert "`start_from_epoch`" in text


@pytest.mark.parametrize("together", [True, False])
def test_a_second_callback_finds_final_ranks(together):
    model = good_model()
    first, second = (RankDiscretization(GOOD, epoch=epoch) for epoch in (3, 4))
    if together:
        texts = said(fit, model, first, second, epochs=5)
    else:
        fit(model, first, epochs=4)
        texts = said(fit, model, second, epochs=5)
    [text] = texts
    assert "nothing to cut" in text
    assert second.cuts == []


def test_a_resumed_run_may_find_final_ranks(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 4:
                raise KeyboardInterrupt

    def run(*more):
        backup = keras.callbacks.BackupAndRestore(tmp_path)
        fit(good_model(), RankDiscretization(GOOD, epoch=3), backup, *more, epochs=5)

    with pytest.raises(KeyboardInterrupt):
        run(Stop())
    assert said(run) == []


@pytest.mark.parametrize("include", [True, False])
def test_frozen_layers_are_cut_if_asked_for(include):
    model = make_model()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    before = model.layers[0].get_weights()
    texts = said(fit, model, RankDiscretization(CUT, epoch=2, include_frozen=include))
    ours = [text for text in texts if "frozen" in text]
    assert (max(model.layers[0].ranks) < 8) == include
    assert max(model.layers[1].ranks) < 8
    if include:
        assert ours == []
    else:
        [text] = ours
        assert "['first']" in text
        assert "include_frozen=True" in text
        for kept, own in zip(model.layers[0].get_weights(), before, strict=True):
            np.testing.assert_array_equal(kept, own)
        assert not model.layers[0].ranks_fixed


def test_a_budget_is_for_the_layers_that_are_not_frozen():
    model = make_model()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    fit(model, RankDiscretization(Parameters(200), epoch=1))
    assert sum(np.size(core) for core in model.layers[1].cores) <= 200


def test_gates_leave_frozen_layers_alone():
    model = make_model()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    fit(model, RankDiscretization(GumbelSoftmax(seed=0), epoch=1), epochs=1)
    assert model.layers[0].rank_gates is None
    assert [layer.ranks_fixed for layer in model.layers] == [False, True]


def test_the_readme_raises_no_warning():
    first = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "RankDiscretization(" in first[1]
    assert said(exec, first[1], {}) == []


def test_warnings_point_at_the_line_that_calls_fit():
    model = make_model()
    with pytest.warns(UserWarning, match="^RankDiscretization has removed nothing") as caught:
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[RankDiscretization(Threshold(1e-6), 2)])
    [warning] = [w for w in caught if str(w.message).startswith("RankDiscretization")]
    assert warning.filename == __file__


@pytest.mark.parametrize("restores", [False, True], ids=["last", "restored"])
def test_a_loss_above_the_limit_is_told_unless_the_best_epoch_is_restored(restores):
    stopping = keras.callbacks.EarlyStopping(restore_best_weights=restores)
    judge = TruncationWarnings(Threshold(0.1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        judge.compare_loss(1.0, 1.0, [stopping])
        judge.compare_loss(1.1, None, [stopping])
        judge.compare_loss(1.1, 1.0, [stopping])
    told = [str(each.message) for each in caught]
    assert len(told) == (not restores)
    assert all("at 1 or below, and the last epoch ended with 1.1" in text for text in told)
