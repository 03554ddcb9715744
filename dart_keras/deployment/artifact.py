import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dart_keras.calibration_data import InputSpec, read_arrays
from dart_keras.deployment import c_source
from dart_keras.deployment.flatbuffer.size_breakdown import FileParts
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.deployment.runtimes.executable import LITERT_KERNELS, Executable
from dart_keras.deployment.runtimes.profiling import Measurements, measure
from dart_keras.deployment.runtimes.result import Examples
from dart_keras.deployment.tracing.function import Exported
from dart_keras.deployment.validation.operator_errors import OperatorErrors, operator_errors
from dart_keras.deployment.validation.output_errors import check, compare
from dart_keras.deployment.validation.precision import LEAST_SQNR_DB
from dart_keras.devices import find_device
from dart_keras.utils.atomic_write import write_files
from dart_keras.utils.output_agreement import in_words
from dart_keras.utils.representation import call_repr, preformatted_html


@dataclass(frozen=True, repr=False)
class Artifact:
    """A model as a file for a device, which has run on that device's runtimes.

    `dart_keras.deployment.convert` makes it. It can be copied and pickled, without the Keras model.

    Attributes:
        content: The bytes of the `.tflite` file.
        target: The device's name, a key of `dart_keras.devices.DEVICES`.
        quantization: `"float32"`, `"dynamic"`, `"int8"` or `"int16x8"`.
        weight_scales: `"per-channel"`, `"per-tensor"`, or `"mixed"` where some weights have a
            scale for each channel and others a single one; None for float weights.
        operators: Names of the builtin operators in the file, sorted.
        arena_size: Bytes of the smallest arena in which TensorFlow Lite Micro's interpreter
            ran the file on this computer; None for devices without an arena.
        inputs: The file's inputs, in the Keras model's order.
        outputs: The file's outputs, in the Keras model's order.
        report: Sizes, operators, timings and the distance to Keras, as JSON can hold them.
        examples: At most 4 of the rows that were compared, with what the file gave for them, to
            test a device with.
    """

    content: bytes
    target: str
    quantization: str
    weight_scales: str | None
    operators: list[str]
    arena_size: int | None
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    report: dict[str, Any]
    examples: Examples = field(compare=False)
    _reference: Exported = field(compare=False)
    _named: bytes = field(compare=False)

    @property
    def size(self) -> int:
        """Bytes of the `.tflite` file."""
        return len(self.content)

    def predict(self, x: Any, runtime: str = "litert") -> np.ndarray | list[np.ndarray]:
        """Run the file on one of its target's runtimes.

        Args:
            x: Real values, or ids for integer inputs, of shape (rows, *input shape), any
                number of rows. With several inputs, a tuple of arrays in the model's order or
                a dict by input name.
            runtime: `"litert"`, or for microcontrollers also `"tflm"`. To compare,
                `"litert-builtin"` is LiteRT without XNNPACK, and `"litert-reference"` LiteRT
                with its reference kernels.

        Returns:
            The output, dequantized to float32, of shape (rows, *output shape), or a list of
            them if there are several. Integer outputs stay integers.

        Raises:
            ValueError: If the target has no such runtime, or `x` does not fit the inputs.
        """
        runtimes = list(dict.fromkeys((*find_device(self.target).runtimes, *LITERT_KERNELS)))
        if runtime not in runtimes:
            raise ValueError(
                f"Expected `runtime` to be one of {runtimes} for target {self.target!r}. "
                f"Received: runtime={runtime!r}"
            )
        outputs = self._run(self._collected(x, "x"), runtime)
        return outputs[0] if len(outputs) == 1 else outputs

    def verify(self, calibration_data: Any) -> dict[str, list[dict[str, Any]]]:
        """Compare the file with the Keras model on rows of data, on each of the target's runtimes.

        The Keras model is the one that was converted, with the weights that it had then.

        Args:
            calibration_data: Rows, in any form that `convert` takes. All of them are used, or the
                first 65,536 of data that do not tell that they end.

        Returns:
            For each runtime, the distance of each output as in the report.

        Raises:
            ConversionError: If an output is not finite, of the file or of the Keras model, or so
                far off that `convert` would have refused it.
        """
        arrays = self._collected(calibration_data, "calibration_data")
        expected = self._reference(arrays)
        names = [info.name for info in self.outputs]
        results = {}
        for runtime in find_device(self.target).runtimes:
            results[runtime] = compare(expected, self._run(arrays, runtime), names)
            # The file may have been taken at less.
            least = min(LEAST_SQNR_DB, self.report["min_sqnr_db"] or LEAST_SQNR_DB)
            check(results[runtime], self.quantization, runtime, least)
        return results

    def measure(self, runs: int = 50) -> Measurements:
        """Measure what the file takes on LiteRT, with XNNPACK and without, and on TFLM.

        Each runtime gets a process of its own, so that this takes a second or so. It is given the
        rows of `examples`.

        Args:
            runs: How many inferences to time.

        Returns:
            A table of load times, times of the first and of the median inference and memory, which
            prints itself.

        Raises:
            ValueError: If `runs` is not a positive integer.

        Example:
            >>> import keras, numpy as np
            >>> from dart_keras.deployment import convert
            >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
            >>> costs = convert(model).measure()
            >>> [cost.runtime for cost in costs.runtimes]
            ['litert', 'litert-builtin']
            >>> print(costs)
            runtime         load ...
        """
        return measure(
            self.content, find_device(self.target).runtimes, self.examples, self.arena_size, runs
        )

    def operator_errors(self, calibration_data: Any) -> OperatorErrors:
        """Say where a quantized file loses its precision, operator by operator.

        Compare the integer output of every operator on LiteRT with that of the same operator in
        the float32 file of the model. Two errors are given: the one accumulated since the input,
        and the one that the operator adds itself. The second is found by running the float
        operator on the dequantized inputs of the quantized one.

        Args:
            calibration_data: Rows, in any form that `convert` takes. All of them are used, or the
                first 65,536 of data that do not tell that they end.

        Returns:
            The operators in their order, with `.worst`, the one that adds most; it prints itself.

        Raises:
            ValueError: If the file is not quantized as `"int8"` or `"int16x8"`, or the
                data do not fit the inputs.

        Example:
            >>> import keras, numpy as np
            >>> import dart_keras as dk
            >>> rows = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
            >>> layer = dk.layers.TTDense(64, ranks=4, name="hidden")
            >>> model = keras.Sequential([keras.Input((64,)), layer], name="small")
            >>> artifact = dk.deployment.convert(
            ...     model, quantization="int8", calibration_data=rows
            ... )
            >>> errors = artifact.operator_errors(rows)
            >>> print(errors)
            Model 'small', int8: signal-to-noise ratio in dB of each operator's output
            ...
            >>> errors.worst.operator, errors.worst.step
            ('FULLY_CONNECTED', ...)
        """
        if self.quantization not in ("int8", "int16x8"):
            raise ValueError(
                "Expected a file with quantization='int8' or 'int16x8', whose operators work on "
                f"integers. Received: quantization={self.quantization!r}"
            )
        rows = self._collected(calibration_data, "calibration_data")
        operators = operator_errors(self._named, self._reference, rows)
        return OperatorErrors(self.report["model"], self.quantization, operators)

    def save(self, folder: str | Path) -> None:
        """Write the file, its report and, for a microcontroller, its C++ source.

        Either all files are written or none, also when this is interrupted, fails, or runs in two
        processes at once: `model.tflite`, `report.json` and `examples.npz` (the examples, as
        `inputs/NAME` and `outputs/NAME`); for a microcontroller also `model.h` and `model.cc` (the
        file as an array and the arena size), `op_resolver.h` (the registration of the operators),
        `tensors.h` (types, shapes and quantization of the inputs and outputs), `examples.h` and
        `examples.cc` (the examples as arrays). `SHA256SUMS` lists their hashes, so that files of
        two artifacts are not taken for one.

        Args:
            folder: Where to write; made if it does not exist. Files of an artifact that was saved
                there before and that this one has not are removed, unless they were changed.

        Raises:
            OSError: If the folder cannot be written to.
        """
        files = {
            "model.tflite": self.content,
            "report.json": (json.dumps(self.report, indent=2, allow_nan=False) + "\n").encode(),
            "examples.npz": self.examples.as_npz(self.inputs, self.outputs),
        }
        if self.arena_size is not None:
            files |= c_source.files(
                self.content,
                self.arena_size,
                self.operators,
                self.inputs,
                self.outputs,
                self.examples,
            )
        write_files(Path(folder), files, manifest=True)

    def __repr__(self) -> str:
        scales = {} if self.weight_scales is None else {"weight_scales": self.weight_scales}
        arena = {} if self.arena_size is None else {"arena_size": self.arena_size}
        known = {"target": self.target, "quantization": self.quantization, **scales}
        return call_repr(self, **known, size=self.size, **arena)

    def _repr_html_(self) -> str:
        return preformatted_html(str(self))

    def __str__(self) -> str:
        scales = "" if self.weight_scales is None else f", {self.weight_scales} scales"
        lines = [
            f"{self.report['model']} for {self.target}, {self.quantization}{scales}",
            f"  file       {self.size:,} bytes",
            f"             {FileParts(**self.report['file_parts'])}",
        ]
        if (refused := self.report["refused"]) is not None:
            lines.append(f"  {refused['quantization']:9}  refused on {refused['runtime']}")
            lines += [f"    {in_words(result)}" for result in refused["outputs"]]
        if self.arena_size is not None:
            lines.append(f"  arena      {self.arena_size:,} bytes")
        counts = (f"{count} {name}" for name, count in self.report["operators"].items())
        lines.append(f"  operators  {', '.join(counts)}")
        for runtime, results in self.report["runtimes"].items():
            lines.append(f"  {runtime}  {results['microseconds']:,.1f} microseconds")
            lines += [f"    {in_words(result)}" for result in results["outputs"]]
        return "\n".join(lines)

    def _run(self, arrays: list[np.ndarray], runtime: str) -> list[np.ndarray]:
        file = Executable(self.content, self.inputs, self.outputs)
        return file.run(runtime, arrays, self.arena_size).outputs

    def _collected(self, data: Any, name: str) -> list[np.ndarray]:
        specs = [
            InputSpec(info.name, info.shape[1:], "int32" if _holds_ids(info) else "float32")
            for info in self.inputs
        ]
        structure = self._reference.signature.structure
        return read_arrays(data, specs, structure=structure, name=name)


def _holds_ids(info: TensorInfo) -> bool:
    return info.scale is None and info.dtype.startswith("int")
