"""Every way to look up rows of a train, for the tests."""

from dart_keras.devices import find_device
from dart_keras.tensor_train.lookup import lookup_plans

# Modes and ranks of a table of 30,522 rows of width 768.
BERT = ((175, 175), (24, 32), (1, 16, 1))


def all_plans(count, train, *, training=True, dynamic_shapes=True):
    """All plans on this machine for so many ids and a train of given modes and ranks."""
    return list(
        lookup_plans(
            count,
            *train,
            training=training,
            device=find_device("cpu"),
            dynamic_shapes=dynamic_shapes,
        )
    )
