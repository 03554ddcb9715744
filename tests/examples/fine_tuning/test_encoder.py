import keras
import numpy as np
import pytest

from examples.fine_tuning.encoder import build_classifier, encode
from examples.fine_tuning.settings import METHODS, Settings
from examples.fine_tuning.tasks import Rows
from examples.fine_tuning.training import model_to_train
from tests.examples.fine_tuning.toy import toy_settings

PAIRS = Rows((["good film", "bad"], ["a film", "one"]), np.zeros(2, "int32"))


def test_pairs_become_tokens(preset):
    tokens = encode(preset, PAIRS, 10)
    assert {each.dtype.name for each in tokens.values()} == {"int32"}
    # [CLS] good film [SEP] a film [SEP]
    assert tokens["token_ids"][0].tolist() == [2, 5, 12, 3, 11, 12, 3, 0, 0, 0]
    assert tokens["padding_mask"].sum(axis=1).tolist() == [7, 5]
    assert tokens["segment_ids"].sum(axis=1).tolist() == [3, 2]
    assert encode(preset, PAIRS, 6)["padding_mask"].sum(axis=1).tolist() == [6, 5]


def test_padding_does_not_count(preset):
    model = build_classifier(preset, 2)
    short, long = (np.asarray(model(encode(preset, PAIRS, length))) for length in (7, 16))
    np.testing.assert_allclose(short, long, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_begins_with_the_outputs_of_the_encoder(method, preset):
    tokens = encode(preset, PAIRS, 8)
    keras.utils.set_random_seed(0)
    expected = np.asarray(build_classifier(preset, 2)(tokens))
    keras.utils.set_random_seed(0)
    rank = None if method in ("BitFit", "LoRETTAAdp") else 4
    model = model_to_train(toy_settings(preset, method=method, rank=rank))
    np.testing.assert_allclose(np.asarray(model(tokens)), expected, atol=1e-5)
    assert model.trainable_variables


def test_settings_reach_the_method(preset):
    assert toy_settings(preset, rank=3, alpha=5.0).adapter_method().alpha == 5
    assert toy_settings(preset, method="VeRA", rank=3, seed=7).adapter_method().seed == 7
    pruned = toy_settings(preset, method="AdaLoRA", rank=3)
    assert (pruned.adapter_method().rank, pruned.adapter_method().target_rank) == (5, 3)
    assert Settings.from_json(pruned.to_json()) == pruned
