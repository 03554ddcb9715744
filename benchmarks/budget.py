"""Parameter budget of a TT layer that is compared with a dense layer."""

from benchmarks.grid import DIMENSIONS, split
from dart_keras.tensor_train import balanced_modes, complete_ranks, count_parameters

# The speed requirements hold for these dimensions.
LARGE = tuple(dimensions for dimensions in DIMENSIONS if split(dimensions)[0] >= 1024)
SHRINK_FACTOR = 8


def parameter_budget(inputs: int, units: int, rank: int) -> int:
    """Return the parameters of a TT matrix with two balanced modes a side, at most dense / 8.

    Example:
        >>> parameter_budget(1024, 1024, 4), parameter_budget(1024, 1024, 100)
        (8192, 131072)
    """
    modes = balanced_modes(inputs, 2), balanced_modes(units, 2)
    parameters = count_parameters(*modes, complete_ranks(rank, *modes))
    return min(parameters, inputs * units // SHRINK_FACTOR)
