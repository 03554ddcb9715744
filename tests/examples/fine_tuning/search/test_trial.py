import dataclasses

import numpy as np
import pytest
from keras import ops

from examples.fine_tuning.search.trial import TrialTraining, trained_parameters
from examples.fine_tuning.tasks import load_rows
from tests.examples.fine_tuning.toy import toy_settings


@pytest.fixture(scope="module")
def rows(data):
    return load_rows("sst2", data, "train")


def settings_with(preset, **changes):
    usual = {"rank": 2, "alpha": 4.0, "layers": ("value",), "learning_rate": 0.02, "epochs": 2}
    modes = {"input_modes": (4, 4), "output_modes": (4, 4)}
    return toy_settings(preset, **{**usual, **modes, **changes})


def test_a_tenth_of_the_training_rows_judges(preset, rows):
    training = TrialTraining.split(settings_with(preset), rows)
    parts = training.training, training.held_out
    assert [len(each.labels) for each in parts] == [144, 16]
    together = sorted(sentence for each in parts for sentence in each.sentences[0])
    assert together == sorted(rows.sentences[0])
    limited = TrialTraining.split(settings_with(preset, limit=120), rows)
    assert [len(limited.training.labels), len(limited.held_out.labels)] == [108, 12]
    with pytest.raises(ValueError, match=r"at least 100 training rows.* Received: 90"):
        TrialTraining.split(settings_with(preset, limit=90), rows)
    with pytest.raises(ValueError, match="for batches of 150"):
        TrialTraining.split(settings_with(preset, batch=150), rows)


def test_a_trial_goes_on_as_if_it_had_not_stopped(preset, rows, tmp_path):
    settings = settings_with(preset)
    training = TrialTraining.split(settings, rows)
    whole = training.model(settings)
    start = [np.array(ops.convert_to_numpy(each)) for each in whole.trainable_variables]
    training.fit(settings, whole, 0, 2, [], verbose=0)

    stopped = training.model(settings)
    training.fit(settings, stopped, 0, 1, [], verbose=0)
    path = tmp_path / "trial.weights.h5"
    stopped.save_weights(path)
    # The pretrained weights are not in the file.
    assert path.stat().st_size < 4 * stopped.count_params()
    resumed = training.model(dataclasses.replace(settings, seed=1))
    resumed.load_weights(path)
    assert int(resumed.optimizer.iterations) == 144 // 8
    training.fit(settings, resumed, 1, 2, [], verbose=0)

    assert int(resumed.optimizer.iterations) == 2 * (144 // 8)
    for before, expected, found in zip(
        start, whole.trainable_variables, resumed.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.max(np.abs(before - found)) > 1e-3
    assert training.score(settings, resumed) == training.score(settings, whole)
    # Four factors of rank 2, in two layers, and a head of two logits.
    assert trained_parameters(whole) == 2 * (8 + 16 + 16 + 8) + 2 * 17
