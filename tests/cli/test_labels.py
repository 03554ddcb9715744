import numpy as np
import pytest

from dart_keras.cli.labels import accuracy, load_labels

SCORES = np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("output", "labels", "share"),
    [
        (SCORES, [1, 1], 0.5),
        (SCORES, [[1], [0]], 1.0),
        (SCORES, [[0, 1, 0], [0, 1, 0]], 0.5),
        (SCORES[None], [[1, 2]], 0.5),
        # Two classes: shares of the second, or logits.
        ([[0.2], [0.7]], [0, 1], 1.0),
        ([0.2, 0.7], [[1], [1]], 0.5),
        ([[-3.0], [0.2]], [0, 1], 1.0),
    ],
)
def test_shares(output, labels, share):
    output = np.array(output)
    assert accuracy(output, np.array(labels), output) == share


def test_integers_are_classes_and_the_reference_says_what_shares_are():
    assert accuracy(np.array([7, 8]), np.array([7, 9]), np.array([7, 8])) == 0.5
    # A file may go a little beyond them.
    assert accuracy(np.array([[0.4], [1.01]]), np.array([0, 1]), np.array([[0.4], [1.0]])) == 1


@pytest.mark.parametrize("labels", [[1, 3], [-1, 0], [0.5, 1], [[1, 0], [0, 1]]])
def test_labels_of_something_else_are_refused(labels):
    with pytest.raises(ValueError, match=r"from 0 to 2, or one-hot\. Received: an array of shape"):
        accuracy(SCORES, np.array(labels), SCORES)


def test_files(tmp_path):
    one, two, other = (tmp_path / name for name in ("one.npy", "two.npz", "other.npz"))
    labels = np.array([0, 1, 1])
    np.save(one, labels)
    np.savez(two, first=labels, second=labels)
    np.savez(other, first=labels, third=labels)
    assert list(load_labels(one, ["only"], 3)) == ["only"]
    assert list(load_labels(two, ["first", "second", "third"], 3)) == ["first", "second"]
    for path, names, rows, message in [
        (one, ["first", "second"], 3, r"for each of the outputs \['first', 'second'\].*one array"),
        (other, ["first", "second"], 3, r"Received: .* with \['first', 'third'\]"),
        (one, ["only"], 4, r"for each of the 4 rows\. Received: .*\(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_labels(path, names, rows)
