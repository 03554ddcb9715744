"""Reading files that may be damaged."""

import math
from typing import Any

from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.runtimes.executable import Executable
from dart_keras.deployment.runtimes.litert import LITERT_NAME
from dart_keras.deployment.runtimes.time_limit import TimeLimit

_IDENTIFIER = b"TFL3"
_DTYPES = ("float32", "int8", "int16", "int32", "int64", "uint8", "bool")


def open_file(content: bytes, seconds: float) -> Executable:
    """Read a file of which nothing is known, so that it can be run without danger.

    Args:
        content: The file, damaged or not.
        seconds: The most that a runtime may take for it.

    Returns:
        What runs the file in processes of their own; the inputs and outputs go by their places.

    Raises:
        ValueError: If this is no `.tflite` file, or what it says of itself makes no sense.
        RefusedError: If it takes longer to load it.

    Example:
        >>> open_file(b"too short", seconds=10)
        Traceback (most recent call last):
            ...
        ValueError: Expected TFL3 in the bytes 4 to 7. Received: b'shor'
    """
    if content[4:8] != _IDENTIFIER:
        raise ValueError(
            f"Expected {_IDENTIFIER.decode()} in the bytes 4 to 7. Received: {content[4:8]!r}"
        )
    # First in another process: the code of the schema, which trusts in every offset, may go through
    # gigabytes of what is not there.
    limit = TimeLimit(LITERT_NAME, seconds)
    loaded = child_process.ask("litert_loader.py", {"content": content}, limit)
    if loaded.returncode:
        raise ValueError(
            f"Expected a file that LiteRT can load. Received: {child_process.reason(loaded)}"
        )
    try:
        inputs, outputs = _interface(content)
    except Exception as error:
        # LiteRT checks less than all; what comes of the rest is of any type.
        raise ValueError(
            "Expected a file that can be read to its end. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    for info in (*inputs, *outputs):
        _check(info)
    return Executable(content, inputs, outputs, seconds)


def _interface(content: bytes) -> tuple[list[TensorInfo], list[TensorInfo]]:
    file = ModelFile(content)
    # To see that they can be read: a refusal names operators.
    _ = file.operators, file.weight_bytes
    names: Any = [[str(place) for place in range(count)] for count in file.interface_sizes]
    return file.inputs(names[0]), file.outputs(names[1])


def _check(info: TensorInfo) -> None:
    if info.dtype not in _DTYPES:
        raise ValueError(f"Expected tensors of one of {_DTYPES}. Received: {info.dtype}")
    if info.scale is not None and not (
        info.dtype.startswith(("int", "uint")) and 0 < info.scale < math.inf
    ):
        raise ValueError(
            "Expected a positive scale, of integers. "
            f"Received: {info.scale} of a tensor of {info.dtype}"
        )
