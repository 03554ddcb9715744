"""Run a file in a process of its own, because a corrupted file can crash it.

Reads `request.json` and `inputs.npz` in a folder, and writes `answer.json`, `outputs.npz` and
`log.txt` there.
"""

import json
import multiprocessing
import os
import resource
import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from errors import RefusedError
from ids import check_ids
from tensors import Tensor, order_arrays, tensor_from_details

_WARM_UPS = 10


def _load(request: dict[str, Any]) -> tuple[Any, float]:
    operators = (
        OpResolverType.AUTO
        if request["xnnpack"]
        else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    start = time.perf_counter()
    interpreter = Interpreter(
        request["model"],
        num_threads=request["threads"],
        experimental_op_resolver_type=operators,
    )
    interpreter.allocate_tensors()
    return interpreter, time.perf_counter() - start


def _interface(interpreter: Any) -> tuple[list[Tensor], list[Tensor], bool]:
    """Return inputs, outputs and whether the file has input names."""
    takes, gives = interpreter.get_input_details(), interpreter.get_output_details()
    if not takes or not gives:
        raise RefusedError(
            "Expected a model with inputs and outputs. "
            f"Received: one with {len(takes)} and {len(gives)}"
        )
    names = {}
    for key in interpreter.get_signature_list():
        details = interpreter.get_signature_runner(key).get_input_details()
        names = {detail["index"]: name for name, detail in details.items()}
    inputs = [
        tensor_from_details(d, names.get(d["index"], f"input_{k}")) for k, d in enumerate(takes)
    ]
    for tensor, detail in zip(inputs, takes, strict=True):
        if len(detail["shape"]) == 0 or detail["shape"][0] != 1:
            raise RefusedError(
                "Expected a model that takes one row at a time. "
                f"Received: {tensor.name} of shape {tuple(map(int, detail['shape']))}"
            )
    return inputs, [tensor_from_details(d, f"output_{k}") for k, d in enumerate(gives)], bool(names)


def _invoke(interpreter: Any, row: list[np.ndarray]) -> float:
    for detail, values in zip(interpreter.get_input_details(), row, strict=True):
        interpreter.set_tensor(detail["index"], values)
    start = time.perf_counter()
    interpreter.invoke()
    return time.perf_counter() - start


def _runs(interpreter: Any, row: list[np.ndarray]) -> bool:
    try:
        _invoke(interpreter, row)
    except (RuntimeError, ValueError):
        return False
    return True


def _run(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Run the rows of `inputs.npz`."""
    interpreter, _ = _load(request)
    inputs, outputs, named = _interface(interpreter)
    as_in_file = request["as_in_file"]
    arrays = _given(folder, inputs, named, as_in_file)
    if not as_in_file:
        arrays = [t.quantized(array) for t, array in zip(inputs, arrays, strict=True)]
    gives = [detail["index"] for detail in interpreter.get_output_details()]
    results, times = [], []
    for number in range(len(arrays[0])):
        row = [array[number : number + 1] for array in arrays]
        try:
            times.append(_invoke(interpreter, row))
        except (RuntimeError, ValueError):
            check_ids(partial(_runs, interpreter), row, inputs, number)
            raise
        results.append([interpreter.get_tensor(index) for index in gives])
    stacked = [np.stack(parts) for parts in zip(*results, strict=True)]
    # Drop the file's own batch dimension of size 1; a scalar has none.
    stacked = [
        array[:, 0] if array.ndim > 1 and array.shape[1] == 1 else array for array in stacked
    ]
    if not as_in_file:
        stacked = [t.dequantized(array) for t, array in zip(outputs, stacked, strict=True)]
    named_outputs = zip(outputs, stacked, strict=True)
    np.savez(folder / "outputs.npz", **{tensor.name: array for tensor, array in named_outputs})
    return {"seconds": times, "outputs": [asdict(tensor) for tensor in outputs]}


def _given(folder: Path, inputs: list[Tensor], named: bool, as_in_file: bool) -> list[np.ndarray]:
    with np.load(folder / "inputs.npz", allow_pickle=False) as file:
        arrays = order_arrays(dict(file), inputs, named)
    for tensor, array in zip(inputs, arrays, strict=True):
        tensor.check(array, as_in_file)
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise RefusedError(f"Expected as many rows for each input. Received: {lengths}")
    return arrays


def _benchmark(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Time inferences on the rows of `inputs.npz`, or on a random one if it has none."""
    interpreter, load = _load(request)
    inputs, _, named = _interface(interpreter)
    with np.load(folder / "inputs.npz", allow_pickle=False) as file:
        is_recorded = bool(file.files)
    arrays = _given(folder, inputs, named, as_in_file=True) if is_recorded else _random(inputs)
    rows = [[array[k : k + 1] for array in arrays] for k in range(len(arrays[0]))]
    try:
        first, *_ = [_invoke(interpreter, rows[k % len(rows)]) for k in range(1 + _WARM_UPS)]
    except (RuntimeError, ValueError) as error:
        if is_recorded:
            raise
        raise RefusedError(
            f"Expected examples.npz, as artifact.save wrote it, beside {request['model']}, which "
            f"fails on a random row. Received: {' '.join(str(error).split())}"
        ) from error
    times = [_invoke(interpreter, rows[k % len(rows)]) for k in range(request["rows"])]
    # Linux reports KiB.
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"load": load, "first": first, "seconds": times, "peak_memory_bytes": peak}


def _random(inputs: list[Tensor]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    # Ids are zero, which is valid for every table, though it may be padding.
    return [
        np.zeros((1, *tensor.shape), tensor.dtype)
        if tensor.takes_ids or tensor.dtype == "bool"
        else tensor.quantized(random.normal(size=(1, *tensor.shape)))
        for tensor in inputs
    ]


def end_with_parent() -> None:
    """Have this process end when the one that started it does, which may be killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def answer(folder: Path) -> None:
    """Answer the request in a folder."""
    end_with_parent()
    # Redirect the output of native code to a log.
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    request = json.loads((folder / "request.json").read_text())
    limit = request["memory_limit"]
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    task = {"run": _run, "benchmark": _benchmark}[request["task"]]
    try:
        found = task(folder, request)
    except RefusedError as error:
        found = {"refusal": str(error)}
    except Exception as error:
        # A corrupted file may raise any type of exception.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        found = {
            "refusal": "Expected a model that the interpreter can run. "
            f"Received: {request['model']}: {reason}"
        }
    (folder / "answer.json").write_text(json.dumps(found))
