"""The data that users give: rows of a model's inputs, in any form that Keras users have them.

The forms are: one array; a list, tuple or dict of one array for each input; single rows; anything
that yields batches or single rows of these, such as a list, a generator, a `tf.data.Dataset`, a
`keras.utils.PyDataset` or torch's `DataLoader`; and functions without arguments that return one of
these, such as the `representative_dataset` of TFLite. Labels in pairs (inputs, labels) are ignored.
"""

from dart_keras.calibration_data.forms import is_whole, made
from dart_keras.calibration_data.row_blocks import rows_in
from dart_keras.calibration_data.row_reader import read_arrays, read_blocks
from dart_keras.calibration_data.specs import InputSpec, identifier, input_specs
from dart_keras.calibration_data.targets import has_targets, labelled_batches
from dart_keras.calibration_data.training_batches import training_batches

__all__ = [
    "InputSpec",
    "has_targets",
    "identifier",
    "input_specs",
    "is_whole",
    "labelled_batches",
    "made",
    "read_arrays",
    "read_blocks",
    "rows_in",
    "training_batches",
]
