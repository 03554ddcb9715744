import warnings

import keras
import pytest

from dart_keras.callbacks import RankDiscretization, RankMonitor
from dart_keras.selection import Threshold
from tests.callbacks.problem import X, Y, make_model


def complaints(*callbacks):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_model().fit(X, Y, batch_size=128, epochs=2, verbose=0, callbacks=list(callbacks))
    return [text for each in caught if "come before" in (text := str(each.message))]


def readers(folder):
    return [
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.EarlyStopping("data_loss", mode="min", patience=9),
        keras.callbacks.ModelCheckpoint(
            folder / "best.keras", "second_effective_rank_1", mode="min"
        ),
        keras.callbacks.BackupAndRestore(folder / "backup"),
        keras.callbacks.EarlyStopping("loss", patience=9),
    ]


def test_callbacks_that_read_logs_before_are_named_once(tmp_path):
    [text] = complaints(*readers(tmp_path), RankDiscretization(Threshold(0.5), epoch=1))
    assert "RankDiscretization expected" in text
    assert "Received: CSVLogger, EarlyStopping before it" in text
    [text] = complaints(*readers(tmp_path), RankMonitor())
    assert "Received: CSVLogger, ModelCheckpoint before it" in text


def test_they_may_come_after_it(tmp_path):
    cut = RankDiscretization(Threshold(0.5), epoch=1)
    assert complaints(cut, RankMonitor(), *readers(tmp_path)) == []


@pytest.mark.parametrize("logger", [keras.callbacks.History, keras.callbacks.ProgbarLogger])
def test_keras_own_loggers_count_where_they_are_given(logger):
    [text] = complaints(logger(), RankDiscretization(Threshold(0.5), epoch=1))
    assert logger.__name__ in text
