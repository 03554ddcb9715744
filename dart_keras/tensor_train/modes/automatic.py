"""Default modes of a layer."""

from collections.abc import Sequence

from dart_keras.tensor_train.modes.candidates import all_mode_pairs, mode_tuples, preference
from dart_keras.tensor_train.modes.checks import check_modes, check_same_length
from dart_keras.tensor_train.modes.factorization import balanced_modes


def automatic_modes(input_dim: int, output_dim: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the two modes a side with the fewest parameters per rank, the most balanced of these.

    Two modes (n1, n2) and (m1, m2) have n1 m1 + n2 m2 parameters for each rank. If both dimensions
    have balanced factors, these are the best. If one of them is a large prime, the best modes are
    (N, 1) and (1, M), a low-rank factorization. `suggest_modes` finds the same modes for two cores
    of rank 1 without padding.

    Args:
        input_dim: Number of rows N of the matrix.
        output_dim: Number of columns M of the matrix.

    Returns:
        Input modes and output modes.

    Example:
        >>> automatic_modes(784, 1024)
        ((28, 28), (32, 32))
        >>> automatic_modes(787, 1024)
        ((787, 1), (1, 1024))
    """
    inputs, outputs = all_mode_pairs((input_dim,), (output_dim,), cores=2)
    costs = (inputs * outputs).sum(axis=0)
    cheapest = costs == costs.min()
    (n1, n2), (m1, m2) = min(
        mode_tuples(inputs[:, cheapest], outputs[:, cheapest]),
        key=lambda shape: preference(shape, input_dim, output_dim),
    )
    return (n1, n2), (m1, m2)


def complete_modes(
    input_dim: int,
    output_dim: int,
    input_modes: Sequence[int] | None,
    output_modes: Sequence[int] | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the modes of both sides: given modes are checked, missing ones are chosen.

    Args:
        input_dim: Number of rows N of the matrix.
        output_dim: Number of columns M of the matrix.
        input_modes: Modes of the rows, or `None` to choose them.
        output_modes: Modes of the columns, or `None` to choose them.

    Returns:
        Input modes and output modes, of equal length.

    Raises:
        ValueError: If modes are not positive integers, their product is below the dimension or at
            least twice the dimension, or the two sides have different lengths.

    Example:
        >>> complete_modes(784, 1024, (7, 7, 16), None)
        ((7, 7, 16), (8, 8, 16))
    """
    if input_modes is None and output_modes is None:
        return automatic_modes(input_dim, output_dim)
    if input_modes is None:
        outputs = check_modes("output_modes", output_modes or (), output_dim)
        return balanced_modes(input_dim, len(outputs)), outputs
    inputs = check_modes("input_modes", input_modes, input_dim)
    if output_modes is None:
        return inputs, balanced_modes(output_dim, len(inputs))
    outputs = check_modes("output_modes", output_modes, output_dim)
    check_same_length(inputs, outputs)
    return inputs, outputs
