import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train.lookup.lookup_plan import expected_distinct


@pytest.mark.parametrize(
    ("count", "vocabulary"), [(4096, 30_522), (100, 100), (10, 10), (3000, 50), (64, 10**6)]
)
def test_expected_distinct_is_the_mean_of_both_kinds_of_batches(count, vocabulary):
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, vocabulary + 1)
    kinds = [np.full(vocabulary, 1 / vocabulary), shares / shares.sum()]
    counted = [len(np.unique(rng.choice(vocabulary, count, p=p))) for p in kinds for _ in range(20)]
    assert expected_distinct(count, vocabulary) == pytest.approx(np.mean(counted), rel=0.05)


@given(st.integers(1, 10**6), st.integers(1, 2**25))
def test_expected_distinct_is_in_range(count, vocabulary):
    assert 1 <= expected_distinct(count, vocabulary) <= min(count, vocabulary)
