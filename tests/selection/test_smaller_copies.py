import numpy as np

from dart_keras.selection.smaller_copies import sliced_copy, truncated_copy
from tests.callbacks.problem import X, make_model, ranks_of

RANKS = [(1, 3, 1), (1, 2, 1)]


def test_a_truncated_copy_is_what_truncation_makes():
    model = make_model()
    copy = truncated_copy(model, model.layers, RANKS)
    assert ranks_of(model) == [(1, 8, 1), (1, 8, 1)]
    assert [layer.ranks_fixed for layer in copy.layers] == [True, True]
    for layer, ranks in zip(model.layers, RANKS, strict=True):
        layer.truncate(ranks)
    assert ranks_of(copy) == ranks_of(model)
    for one, other in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sliced_copy_is_the_model_without_its_last_slices():
    model = make_model()
    copy = sliced_copy(model, model.layers, RANKS)
    assert ranks_of(copy) == RANKS
    assert [layer.ranks_fixed for layer in copy.layers] == [True, True]
    assert copy.losses == []
    for layer, (_, rank, _) in zip(model.layers, RANKS, strict=True):
        layer.cores[0].assign(np.where(np.arange(8) < rank, layer.cores[0].numpy(), 0))
    np.testing.assert_allclose(copy(X), model(X), atol=1e-5)
