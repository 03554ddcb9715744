"""Private parts of Keras, TensorFlow and flatbuffers that the package needs.

Nothing else in the package touches any. tests/private_apis/ notices when one of them changes.
"""

from dart_keras.private_apis.compiled_steps import (
    forget_compiled_functions,
    note_compiling_function,
)
from dart_keras.private_apis.flatbuffers_builder import deduplicating_builder
from dart_keras.private_apis.keras_callbacks import callbacks_beside
from dart_keras.private_apis.keras_fits import running_fit, warn_in_fit
from dart_keras.private_apis.keras_graph_runs import GraphRun, can_be_stepped
from dart_keras.private_apis.keras_layers import (
    flatten_layers,
    flatten_operations,
    is_looked_up,
    is_reversed,
    mask_of,
    name_without_count,
    nodes_of,
    set_mask,
)
from dart_keras.private_apis.keras_models import (
    add_owner,
    compiled_loss,
    has_compiled_loss,
    input_structure,
    note_calling_model,
    owners_of,
    read_state_back,
    recorded_shapes,
    retrace,
)
from dart_keras.private_apis.keras_optimizers import (
    Carry,
    VariableReplacement,
    known_variables,
    rebuild_optimizer,
)
from dart_keras.private_apis.keras_products import tell_product, telling_products
from dart_keras.private_apis.keras_sublayers import (
    describes_its_layers,
    own_weights,
    replace_sublayers,
    sublayer_at,
    sublayers,
)
from dart_keras.private_apis.keras_variables import (
    changing_state,
    remove_sublayer,
    replace_variables,
    share_variables,
)
from dart_keras.private_apis.keras_weight_files import (
    current_load,
    is_rehearsing,
    rehearse,
)
from dart_keras.private_apis.tensorflow_graphs import add_functions, compiling_with_xla, freeze
from dart_keras.private_apis.tensorflow_lite import (
    measure_ranges,
    quantize,
    set_per_channel,
)

__all__ = [
    "Carry",
    "GraphRun",
    "VariableReplacement",
    "add_functions",
    "add_owner",
    "callbacks_beside",
    "can_be_stepped",
    "changing_state",
    "compiled_loss",
    "compiling_with_xla",
    "current_load",
    "deduplicating_builder",
    "describes_its_layers",
    "flatten_layers",
    "flatten_operations",
    "forget_compiled_functions",
    "freeze",
    "has_compiled_loss",
    "input_structure",
    "is_looked_up",
    "is_rehearsing",
    "is_reversed",
    "known_variables",
    "mask_of",
    "measure_ranges",
    "name_without_count",
    "nodes_of",
    "note_calling_model",
    "note_compiling_function",
    "own_weights",
    "owners_of",
    "quantize",
    "read_state_back",
    "rebuild_optimizer",
    "recorded_shapes",
    "rehearse",
    "remove_sublayer",
    "replace_sublayers",
    "replace_variables",
    "retrace",
    "running_fit",
    "set_mask",
    "set_per_channel",
    "share_variables",
    "sublayer_at",
    "sublayers",
    "tell_product",
    "telling_products",
    "warn_in_fit",
]
