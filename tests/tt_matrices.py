"""Random TT matrices, and simple reference computations, for the tests."""

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix


@st.composite
def mode_pairs(draw, max_cores=4, max_mode=4, max_size=2000):
    """Draw modes of both sides, of equal length, for a matrix of at most `max_size` elements."""
    length = draw(st.integers(1, max_cores))
    modes = st.lists(st.integers(1, max_mode), min_size=length, max_size=length)
    pairs = st.tuples(modes, modes)
    inputs, outputs = draw(pairs.filter(lambda pair: math.prod(pair[0] + pair[1]) <= max_size))
    return tuple(inputs), tuple(outputs)


@st.composite
def tt_matrices(draw, max_rank=6, **limits):
    """Draw a TTMatrix of random modes, random ranks and normally distributed cores."""
    inputs, outputs = draw(mode_pairs(**limits))
    inner = st.integers(1, max_rank)
    ranks = (1, *(draw(inner) for _ in inputs[1:]), 1)
    return random_tt_matrix(inputs, outputs, ranks, seed=draw(st.integers(0, 2**32 - 1)))


def random_tt_matrix(inputs, outputs, ranks, seed=0):
    rng = np.random.default_rng(seed)
    shapes = zip(ranks, inputs, outputs, ranks[1:], strict=False)
    return TTMatrix(tuple(rng.normal(size=shape) for shape in shapes))


def entry_by_entry(cores):
    """Return the matrix by its definition: one product of small matrices for every entry."""
    row_indices = list(itertools.product(*(range(core.shape[1]) for core in cores)))
    column_indices = list(itertools.product(*(range(core.shape[2]) for core in cores)))
    dense = np.empty((len(row_indices), len(column_indices)))
    for a, row in enumerate(row_indices):
        for b, column in enumerate(column_indices):
            product = np.ones((1, 1))
            for core, i, j in zip(cores, row, column, strict=True):
                product = product @ core[:, i, j, :]
            dense[a, b] = product[0, 0]
    return dense


def unfoldings(matrix, inputs, outputs):
    """Return the unfolding of the matrix at every bond."""
    d = len(inputs)
    tensor = np.asarray(matrix).reshape(*inputs, *outputs)
    tensor = tensor.transpose([axis for k in range(d) for axis in (k, d + k)])
    return [tensor.reshape(math.prod(inputs[:k]) * math.prod(outputs[:k]), -1) for k in range(1, d)]
