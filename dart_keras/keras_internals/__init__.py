"""The private parts of Keras that the package needs, most of them to resize layers inside `fit`.

Nothing else in the package touches any. tests/keras_internals/ notices when one of them changes.
"""

from dart_keras.keras_internals.callbacks import callbacks_beside
from dart_keras.keras_internals.graph_runs import GraphRun, can_be_stepped
from dart_keras.keras_internals.layers import (
    flatten_layers,
    is_looked_up,
    is_reversed,
    nodes_of,
    recorded_shapes,
)
from dart_keras.keras_internals.masks import set_mask
from dart_keras.keras_internals.optimizers import Carry, Replacement, rebuild_optimizer
from dart_keras.keras_internals.owners import add_owner, note_calling_model, owners_of
from dart_keras.keras_internals.sublayers import (
    describes_its_layers,
    replace_sublayers,
    sublayer_at,
    sublayers,
)
from dart_keras.keras_internals.trainer import compiled_loss, read_state_back, retrace
from dart_keras.keras_internals.variables import changing_state, replace_variables
from dart_keras.keras_internals.xla import compiling_with_xla

__all__ = [
    "Carry",
    "GraphRun",
    "Replacement",
    "add_owner",
    "callbacks_beside",
    "can_be_stepped",
    "changing_state",
    "compiled_loss",
    "compiling_with_xla",
    "describes_its_layers",
    "flatten_layers",
    "is_looked_up",
    "is_reversed",
    "nodes_of",
    "note_calling_model",
    "owners_of",
    "read_state_back",
    "rebuild_optimizer",
    "recorded_shapes",
    "replace_sublayers",
    "replace_variables",
    "retrace",
    "set_mask",
    "sublayer_at",
    "sublayers",
]
