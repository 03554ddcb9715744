import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.calibration_data import training_batches

X = np.arange(60, dtype="float32").reshape(20, 3)
Y = X.sum(axis=1)


def batches(x, y=None, batch_size=4, count=3, seed=0):
    return training_batches(x, y, batch_size, count, np.random.default_rng(seed))


def check_pairs(found, rows=4, count=3):
    """Inputs and targets of the same rows."""
    assert len(found) == count
    for x, y in found:
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == (rows, 3)
        np.testing.assert_allclose(y.reshape(-1), x.sum(axis=1))


@pytest.mark.parametrize(
    "convert",
    [np.asarray, tf.constant, keras.ops.convert_to_tensor],
    ids=["numpy", "tensorflow", "keras"],
)
def test_arrays(convert):
    check_pairs(batches(convert(X), convert(Y)))


def test_the_same_generator_gives_the_same_rows_and_another_one_others():
    [(one, _)], [(same, _)], [(other, _)] = (batches(X, Y, count=1, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_no_row_comes_twice_in_a_batch():
    [(x, _)] = batches(X, Y, batch_size=20, count=1)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(("batch_size", "rows"), [(None, 20), (64, 20), (1, 1)])
def test_batches_have_the_size_of_those_of_fit_or_all_rows(batch_size, rows):
    check_pairs(batches(X, Y, batch_size), rows)


def test_several_inputs_and_targets():
    x, y = {"a": X, "b": [X[:, :1], X]}, {"sum": Y, "all": (X, Y)}
    for inputs, targets in batches(x, y):
        assert set(inputs) == {"a", "b"}
        np.testing.assert_array_equal(inputs["a"], inputs["b"][1])
        np.testing.assert_allclose(targets["sum"], inputs["a"].sum(axis=1))
        np.testing.assert_array_equal(targets["all"][0], inputs["a"])


def test_pandas():
    pd = pytest.importorskip("pandas")
    # Its index is not the number of a row.
    frame = pd.DataFrame(X, index=range(100, 120))
    check_pairs(batches(frame, pd.Series(Y, index=frame.index)))


@pytest.mark.parametrize("kind", ["csr_matrix", "coo_matrix", "csr_array"])
def test_sparse_matrices_of_scipy(kind):
    sparse = pytest.importorskip("scipy.sparse")
    check_pairs(batches(getattr(sparse, kind)(X), Y))


@pytest.mark.parametrize(
    "convert", [tf.sparse.from_dense, tf.RaggedTensor.from_tensor], ids=["sparse", "ragged"]
)
def test_no_rows_are_taken_of_sparse_and_ragged_tensors(convert):
    assert batches(convert(X), Y) is None


def test_data_sets_of_tensorflow_can_be_gone_through_afterwards():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    check_pairs(batches(data))
    assert len(list(data)) == 5
    check_pairs(batches(data.repeat(), count=8), count=8)
    # There may be fewer.
    check_pairs(batches(data, count=8), count=5)


def test_sample_weights_are_left_out():
    data = tf.data.Dataset.from_tensor_slices((X, Y, Y)).batch(4)
    check_pairs(batches(data))


class Rows(keras.utils.PyDataset):
    def __init__(self, endless=False):
        super().__init__()
        self.taken = []
        self.endless = endless

    @property
    def num_batches(self):
        return None if self.endless else 5

    def __getitem__(self, index):
        self.taken.append(index)
        rows = slice(4 * (index % 5), 4 * (index % 5) + 4)
        return X[rows], Y[rows]


@pytest.mark.parametrize("endless", [True, False], ids=["endless", "of five"])
def test_a_py_dataset_is_asked_for_single_batches(endless):
    data = Rows(endless)
    check_pairs(batches(data))
    assert len(set(data.taken)) == 3
    check_pairs(batches(Rows(), count=8), count=5)


def test_a_data_loader_of_torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    check_pairs(batches(loader))
    assert len(list(loader)) == 5


def test_what_can_be_gone_through_only_once_is_left_alone():
    generator = ((X[:4], Y[:4]) for _ in range(5))
    assert batches(generator) is None
    assert len(list(generator)) == 5


@pytest.mark.parametrize(
    "x",
    [X, tf.data.Dataset.from_tensor_slices(X).batch(4), [X, X], []],
    ids=["array", "tf.data", "two inputs", "nothing"],
)
def test_without_targets_there_are_no_pairs(x):
    assert batches(x) is None
