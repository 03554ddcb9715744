"""Plans to look up rows, for the tests."""

from dart_keras.devices import find_device
from dart_keras.tensor_train.lookup import lookup_plans

# Modes and ranks of a table of 30,522 rows of width 768.
BERT = ((175, 175), (24, 32), (1, 16, 1))


def all_plans(count, shape, *, training=True, dynamic_shapes=True):
    """Return all plans on the CPU for a number of ids and a TT matrix of given modes and ranks."""
    return list(
        lookup_plans(
            count,
            *shape,
            training=training,
            device=find_device("cpu"),
            dynamic_shapes=dynamic_shapes,
        )
    )
