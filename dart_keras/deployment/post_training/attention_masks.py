"""Masks before a softmax, in ranges that leave steps for the scores.

A mask adds -1e4 or -1e9 to the scores of hidden positions, or replaces them by it.
Integers whose range holds that value have a single step for all visible scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.serialization import load_schema, operator_name, pack
from dart_keras.deployment.post_training.activation_ranges import tensors_on

# The step of a softmax's output in integers, which the runtimes fix.
_STEPS = {"int8": 1 / 256, "int16": 1 / 32768}
_MASKS = ("ADD", "SELECT", "SELECT_V2")


def clip_masks(model: Any, integers: str, arrays: Sequence[np.ndarray]) -> None:
    """End the ranges of masked scores where the softmax becomes zero, and clip the masks there.

    Scores far below the largest of their row all become zero, no matter how far below they are.
    The range ends where all scores of a row together would make up half a step of the output.
    Masks that are not constants are left alone.

    Args:
        model: The `ModelT` of a file in float, whose tensors carry the smallest and the largest
            value that they took; changed in place.
        integers: The dtype that the activations will have.
        arrays: The rows on which these were measured, one array for each input in the file's order.
    """
    masked = _masked_scores(model)
    if not masked:
        return
    tensors = model.subgraphs[0].tensors
    largest = dict.fromkeys((each.output for each in masked), math.inf)
    for place, values in tensors_on(pack(model), list(largest), arrays):
        largest[place] = min(largest[place], float(values.max(axis=-1).min()))
    for each in masked:
        output, scores = tensors[each.output], tensors[each.scores]
        # Zero has an integer of its own in every range.
        low = min(0.0, largest[each.output] - math.log(2 * output.shape[-1] / _STEPS[integers]))
        if low > output.quantization.min[0]:
            output.quantization.min = np.array([low], "float32")
            is_sum = operator_name(model, each.operator) == "ADD"
            _cut_off(model, each, low - float(scores.quantization.max[0]) if is_sum else low)


@dataclass(frozen=True)
class _Masked:
    """An operator that puts a constant over scores for softmaxes alone; its tensors, by index."""

    operator: Any
    scores: int
    mask: int
    output: int


def _masked_scores(model: Any) -> list[_Masked]:
    graph = model.subgraphs[0]
    users: dict[int, set[str]] = {int(output): {"output"} for output in graph.outputs}
    for operator in graph.operators:
        for index in operator.inputs:
            users.setdefault(int(index), set()).add(operator_name(model, operator))
    found = []
    for operator in graph.operators:
        output = int(operator.outputs[0])
        if operator_name(model, operator) in _MASKS and users.get(output) == {"SOFTMAX"}:
            # In front of them a SELECT has its condition.
            first, second = (int(index) for index in operator.inputs[-2:])
            for scores, mask in ((first, second), (second, first)):
                if _constant(model, mask) is not None and _constant(model, scores) is None:
                    found.append(_Masked(operator, scores, mask, output))
    return found


def _constant(model: Any, tensor: int) -> Any:
    data = model.buffers[model.subgraphs[0].tensors[tensor].buffer].data
    return None if data is None or not len(data) else data


def _cut_off(model: Any, masked: _Masked, least: float) -> None:
    # In a tensor of its own: other layers may have the same mask, and other scores.
    schema, tensors = load_schema(), model.subgraphs[0].tensors
    mask, copied = tensors[masked.mask], schema.TensorT()
    copied.shape, copied.type = mask.shape, mask.type
    copied.name = mask.name + f"/{masked.output}".encode()
    values = np.maximum(_constant(model, masked.mask).view("float32"), np.float32(least))
    copied.buffer = len(model.buffers)
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = values.view("uint8")
    inputs = [len(tensors) if i == masked.mask else int(i) for i in masked.operator.inputs]
    masked.operator.inputs = np.array(inputs, "int32")
    tensors.append(copied)
