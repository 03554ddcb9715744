import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.transformer.table import BandedTable, band_ends


@given(vocabulary=st.integers(1, 10**6), first=st.integers(1, 1000))
def test_bands_cover_every_word_once(vocabulary, first):
    ends = band_ends(vocabulary, first)
    assert ends[-1] == vocabulary
    assert sorted(set(ends)) == ends
    assert all(end == first * 4**i for i, end in enumerate(ends[:-1]))


@settings(max_examples=10, deadline=None)
@given(ends=st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True).map(sorted))
def test_lookup_and_logits_match_the_whole_table(ends):
    table = BandedTable(ends, 6, 3, 0.1)
    words = keras.ops.arange(ends[-1])
    rows = keras.ops.convert_to_numpy(table(words))
    dense = np.concatenate([band.to_dense() for _, _, band in table._bands])
    np.testing.assert_allclose(rows, dense, atol=1e-6)
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    logits = keras.ops.convert_to_numpy(table(x, reverse=True))
    np.testing.assert_allclose(logits, x @ dense.T, atol=1e-5)


def test_word_has_gradients_only_in_its_band():
    tf = pytest.importorskip("tensorflow")
    table = BandedTable([4, 10], 6, 2, 0.1)
    table(np.array([0]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(table(np.array([5, 7])))
    first, second = (band.cores[0] for _, _, band in table._bands)
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, [first.value, second.value])]
    assert not np.any(gradients[0])
    assert np.flatnonzero(np.any(gradients[1].numpy()[0, :, 0], axis=-1)).tolist() == [1, 3]
