"""The devices that models are made for: one record for each.

The contraction planner, the mode search, the converter, quantization-aware training, budgets and
the command line read these records and nothing else. So a new device is one more of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dart_keras.utils.optional_imports import require

__all__ = ["DEVICES", "CostModel", "Device", "Runtime", "find_device", "register"]

# The values of `quantization` in `dart_keras.deployment.convert`.
QUANTIZATIONS = ("float32", "dynamic", "int8", "int16x8")


@dataclass(frozen=True)
class CostModel:
    """Constants of a rough model of the time that operations take.

    It ranks plans; it is no forecast. A product of matrices takes time for its arithmetic, which is
    slower where a side of a matrix is short, and for its traffic with memory.

    Attributes:
        operator: Microseconds that any operation takes, however small.
        stack: Microseconds that a product of stacks of matrices takes beyond this.
        move: Microseconds that moving the axes of an array takes beyond this.
        arithmetic: Multiply-adds a microsecond in a product of large matrices.
        short_rows: Rows of the left matrix at which a product runs at half that speed.
        short_inner: The same for the length of the sums.
        short_columns: The same for the columns of the right matrix.
        memory: Elements a microsecond that are read or written in order.
        transposing: Elements a microsecond whose axes are moved.
        stacks: Whether products of stacks of matrices run well.
    """

    operator: float
    stack: float
    move: float
    arithmetic: float
    short_rows: float
    short_inner: float
    short_columns: float
    memory: float
    transposing: float
    stacks: bool = True

    def product(self, rows: Any, inner: Any, columns: Any, count: Any = 1) -> Any:
        """Return the microseconds of `count` products of matrices.

        Args:
            rows: Rows of each left matrix. This and the other sizes may be arrays, for many
                products at once.
            inner: Columns of each left matrix, which are the rows of the right one.
            columns: Columns of each right matrix.
            count: How many such products there are.
        """
        arithmetic = (rows + self.short_rows) * (inner + self.short_inner)
        arithmetic = arithmetic * (columns + self.short_columns) / self.arithmetic
        traffic = (rows * inner + inner * columns + rows * columns) / self.memory
        return self.operator + count * (arithmetic + traffic)

    def transpose(self, elements: Any) -> Any:
        """Return the microseconds of moving the axes of an array.

        Args:
            elements: The elements of the array.
        """
        return self.operator + self.move + elements / self.transposing


@dataclass(frozen=True)
class Runtime:
    """An interpreter of `.tflite` files.

    Attributes:
        package: The Python package that runs it on this computer.
        module: The module that the package installs.
        has_arena: Whether all that it computes lies in one block of memory of a fixed size.
    """

    package: str
    module: str
    has_arena: bool

    def require(self) -> None:
        """Check that the package is installed.

        Raises:
            ImportError: If it is not.
        """
        require(self.module, self.package)


RUNTIMES = {
    "litert": Runtime("ai-edge-litert", "ai_edge_litert", has_arena=False),
    "tflm": Runtime("tflite-micro", "tflite_micro", has_arena=True),
}


@dataclass(frozen=True)
class Device:
    """What the library knows of a kind of device.

    Attributes:
        name: The value of `target` that means it.
        description: What it is, in one line.
        costs: How long operations take on it.
        bytes_per_element: Bytes that an element of an activation takes there.
        runtimes: The interpreters that every file for it must run on, keys of `RUNTIMES`, the
            device's own one last. Empty if it runs no `.tflite` files.
        quantizations: The quantization schemes that it runs.
        unsupported: For every other scheme, why it cannot run it.
        scale_tolerance: How many decibels of the signal-to-noise ratio it may cost to give weights
            a single scale in place of one for each channel.
    """

    name: str
    description: str
    costs: CostModel
    bytes_per_element: int
    runtimes: tuple[str, ...] = ()
    quantizations: tuple[str, ...] = ()
    # Two devices that differ in it alone are planned for alike.
    unsupported: Mapping[str, str] = field(default_factory=dict, hash=False)
    scale_tolerance: float = 0.5

    def __post_init__(self) -> None:
        # Plans are cached by the device, so lists will not do.
        for name in ("runtimes", "quantizations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def runs_files(self) -> bool:
        """Whether it runs `.tflite` files: one row at a time, with cores that are constants."""
        return bool(self.runtimes)

    @property
    def has_arena(self) -> bool:
        """Whether one of its runtimes computes in an arena of a fixed size."""
        return any(RUNTIMES[runtime].has_arena for runtime in self.runtimes)

    def check_quantization(self, quantization: str) -> None:
        """Check that the device runs files of a quantization scheme.

        Args:
            quantization: The scheme, such as `"int8"`.

        Raises:
            ValueError: If there is no such scheme, or the device does not run it.
        """
        if quantization not in QUANTIZATIONS:
            raise ValueError(
                f"Expected `quantization` to be one of {QUANTIZATIONS}. "
                f"Received: quantization={quantization!r}"
            )
        if quantization not in self.quantizations:
            raise ValueError(
                f"{self.unsupported[quantization]}. Expected `quantization` to be one of "
                f"{self.quantizations} for target={self.name!r}. "
                f"Received: quantization={quantization!r}"
            )


_MICROCONTROLLER = Device(
    "microcontroller",
    "any chip with TensorFlow Lite Micro's reference kernels",
    # These kernels on an x86 processor.
    CostModel(0.1, 0.0, 0.0, 2_000.0, 0.1, 3.0, 0.1, 10_000.0, 2_800.0, stacks=False),
    bytes_per_element=1,
    runtimes=("litert", "tflm"),
    quantizations=("float32", "int8", "int16x8"),
    unsupported={
        "dynamic": "TensorFlow Lite Micro has no kernels that multiply float activations by int8 "
        "weights"
    },
    # Here a scale takes twelve bytes of the arena, too, which is what such devices have least of.
    scale_tolerance=1.5,
)

DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device(
            "cpu",
            "the computer that trains, with Keras",
            # Fitted by benchmarks/calibration.py.
            CostModel(10.0, 30.0, 23.0, 125_000.0, 6.0, 10.0, 8.0, 72_000.0, 3_100.0),
            bytes_per_element=4,
            unsupported=dict.fromkeys(QUANTIZATIONS, "It runs Keras models, not `.tflite` files"),
        ),
        Device(
            "raspberry-pi",
            "a single-board computer with LiteRT",
            # LiteRT on one thread of an x86 processor, int8 and float32 files.
            CostModel(0.1, 0.0, 0.0, 300_000.0, 2.0, 16.0, 8.0, 200_000.0, 10_000.0, stacks=False),
            # Its files need not be quantized.
            bytes_per_element=4,
            runtimes=("litert",),
            quantizations=QUANTIZATIONS,
        ),
        _MICROCONTROLLER,
        # Not measured on the chip. esp-nn replaces int8 kernels by faster ones; the other schemes
        # run on the reference kernels, whose constants stand here for all of them.
        replace(
            _MICROCONTROLLER,
            name="esp32",
            description="an ESP32-S3 with TensorFlow Lite Micro and the int8 kernels of esp-nn",
        ),
    )
}
"""The devices by their names. `register` adds one."""


def find_device(name: str) -> Device:
    """Return the device of a name.

    Args:
        name: The value of an argument `target`.

    Raises:
        ValueError: If there is no such device.

    Example:
        >>> find_device("microcontroller").has_arena
        True
    """
    return _find(name, tuple(DEVICES))


def find_file_device(name: str, quantization: str) -> Device:
    """Return the device of a name that runs files of a quantization scheme.

    Args:
        name: The value of an argument `target`.
        quantization: The scheme, such as `"int8"`.

    Raises:
        ValueError: If there is no such device, or it does not run files of this scheme.

    Example:
        >>> find_file_device("raspberry-pi", "int8").runtimes
        ('litert',)
    """
    device = _find(name, tuple(device.name for device in DEVICES.values() if device.runs_files))
    device.check_quantization(quantization)
    return device


def _find(name: str, names: tuple[str, ...]) -> Device:
    if name not in names:
        raise ValueError(
            f"Expected `target` to be one of {names}, or a device that "
            f"`dart_keras.devices.register` has added. Received: target={name!r}"
        )
    return DEVICES[name]


def register(device: Device) -> None:
    """Add a device, so that every argument `target` takes its name.

    Args:
        device: The device.

    Raises:
        ValueError: If another device has this name, a runtime is unknown, a quantization scheme is
            neither run nor explained, or the record contradicts itself.

    Example:
        >>> from dataclasses import replace
        >>> board = replace(DEVICES["microcontroller"], name="board", description="our board")
        >>> register(board)
        >>> find_device("board") is DEVICES.pop("board")
        True
    """
    if device.name in DEVICES and DEVICES[device.name] != device:
        raise ValueError(
            f"Expected a new name for a device. Received: {device.name!r}, which is "
            f"{DEVICES[device.name].description}"
        )
    if unknown := [name for name in device.runtimes if name not in RUNTIMES]:
        raise ValueError(f"Expected runtimes among {tuple(RUNTIMES)}. Received: {unknown}")
    if device.runs_files != bool(device.quantizations) or device.bytes_per_element < 1:
        raise ValueError(
            "Expected runtimes with quantization schemes, or neither of them, and "
            f"`bytes_per_element` of at least 1. Received: {device}"
        )
    explained = sorted([*device.quantizations, *device.unsupported])
    if explained != sorted(QUANTIZATIONS):
        raise ValueError(
            f"Expected each of {QUANTIZATIONS} either in `quantizations` or in `unsupported`. "
            f"Received: {explained}"
        )
    DEVICES[device.name] = device


def __dir__() -> list[str]:
    return __all__
