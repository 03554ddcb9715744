import math

import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.adapters.methods.random_matrices import seeded_rows
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)


def expected_change(values, modes, ranks, seed, summed):
    """Of two modes of the rows and two of the columns, not cut to the kernel's size."""
    rows = ranks[0] * ranks[1]
    core = ops.convert_to_numpy(seeded_rows(seed, "core", rows, ranks[2] * ranks[3]))
    core = core.reshape(ranks) * math.sqrt(2 / summed / math.prod(ranks))
    factors = [
        np.diag(values[f"vector_{index}"])
        @ ops.convert_to_numpy(seeded_rows(seed, f"factor {index}", ranks[index], modes[index]))
        for index in range(4)
    ]
    tensor = np.einsum("abcd,ai,bj,ck,dl->ijkl", core, *factors)
    return tensor.reshape(modes[0] * modes[1], modes[2] * modes[3])


@pytest.mark.parametrize(
    ("rows", "columns", "rank", "modes", "ranks"),
    [
        (12, 8, 32, (3, 4, 2, 4), (3, 4, 2, 4)),
        (8, 12, 32, (2, 4, 3, 4), (2, 4, 3, 4)),
        (12, 8, 3, (3, 4, 2, 4), (3, 3, 2, 3)),
    ],
)
def test_adds_the_network(rows, columns, rank, modes, ranks):
    layer, adapter = adapted_dense(adapters.TeRA(rank=rank, seed=5), rows, columns)
    values = with_random_weights(adapter)
    expected = expected_change(values, modes, ranks, 5, summed=rows)
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-4)
    assert count_trained(layer) == sum(ranks)


def test_adds_it_to_a_table_with_a_padded_size():
    method = adapters.TeRA(seed=5, input_modes=(5, 7), output_modes=(2, 4))
    layer, adapter = adapted_table(method, 31, 8)
    values = with_random_weights(adapter)
    expected = expected_change(values, (5, 7, 2, 4), (5, 7, 2, 4), 5, summed=1)[:31]
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-4)


def test_pads_columns():
    method = adapters.TeRA(seed=5, input_modes=(3, 4), output_modes=(3, 3))
    layer, adapter = adapted_dense(method)
    values = with_random_weights(adapter)
    expected = expected_change(values, (3, 4, 3, 3), (3, 4, 3, 3), 5, summed=12)[:, :8]
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-4)


def test_any_number_of_modes_can_be_given():
    method = adapters.TeRA(input_modes=(2, 2, 3), output_modes=(8,))
    layer, adapter = adapted_dense(method)
    with_random_weights(adapter)
    assert count_trained(layer) == 2 + 2 + 3 + 8
    assert np.linalg.matrix_rank(change_of(layer)) == 8


def test_one_vector_starts_at_0():
    _, adapter = adapted_dense(adapters.TeRA())
    starts = [float(ops.mean(vector)) for vector in adapter.vectors]
    assert starts == [1, 1, 1, 0]


def test_can_have_full_rank():
    layer, adapter = adapted_dense(adapters.TeRA(), 36, 25)
    with_random_weights(adapter)
    assert count_trained(layer) == 6 + 6 + 5 + 5
    assert np.linalg.matrix_rank(change_of(layer)) == 25


def test_refuses_modes_that_are_too_small():
    with pytest.raises(ValueError, match="Layer 'hidden': Expected `input_modes`"):
        adapted_dense(adapters.TeRA(input_modes=(2, 2)))


def test_refuses_modes_that_are_no_positive_integers():
    with pytest.raises(ValueError, match="`output_modes`"):
        adapters.TeRA(output_modes=(2, 0))
