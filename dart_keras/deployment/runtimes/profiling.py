import pickle
from collections.abc import Sequence
from dataclasses import dataclass

from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.runtimes.executable import LITERT_KERNELS
from dart_keras.deployment.runtimes.litert import KERNELS
from dart_keras.deployment.runtimes.result import Examples
from dart_keras.deployment.runtimes.time_limit import TimeLimit
from dart_keras.devices import RUNTIMES
from dart_keras.utils.argument_checks import is_integer
from dart_keras.utils.table import Table, Tabular


@dataclass(frozen=True)
class RuntimeCost:
    """What a file takes on one runtime of this computer, in a process that does nothing else.

    Attributes:
        runtime: `"litert"` (with XNNPACK), `"litert-builtin"` (without) or `"tflm"`.
        load_microseconds: From the file's bytes to an interpreter with its tensors in place.
        first_microseconds: The first inference, in which some kernels set themselves up.
        median_microseconds: The median of those after it.
        peak_memory_bytes: The most memory that the process held meanwhile, beyond what it held
            before loading, with the runtime imported and the file read; None where the system
            does not tell (anywhere but on Linux).
        arena_bytes: For TFLM, the arena that is part of it; None for LiteRT.
    """

    runtime: str
    load_microseconds: float
    first_microseconds: float
    median_microseconds: float
    peak_memory_bytes: int | None
    arena_bytes: int | None


@dataclass(frozen=True, repr=False)
class Measurements(Tabular):
    """A table of what a file takes that prints itself.

    Attributes:
        runtimes: One row for each runtime.
    """

    runtimes: Sequence[RuntimeCost]

    def as_table(self) -> Table:
        """Return one row for each runtime."""
        return Table(
            ("runtime", "load", "first", "median", "peak memory", "arena"),
            "lrrrrr",
            [
                (
                    cost.runtime,
                    f"{cost.load_microseconds:,.1f} us",
                    f"{cost.first_microseconds:,.1f} us",
                    f"{cost.median_microseconds:,.1f} us",
                    *(
                        "" if size is None else f"{size:,} bytes"
                        for size in (cost.peak_memory_bytes, cost.arena_bytes)
                    ),
                )
                for cost in self.runtimes
            ],
        )


def measure(
    content: bytes,
    runtimes: Sequence[str],
    examples: Examples,
    arena_size: int | None,
    runs: int,
) -> Measurements:
    """Measure a file on LiteRT, with XNNPACK and without, and on TFLM if it is for that.

    Args:
        content: The file.
        runtimes: Those of its target.
        examples: Rows to give it.
        arena_size: Bytes of TFLM's working memory.
        runs: How many inferences to time.

    Raises:
        ValueError: If `runs` is not a positive integer.
        ConversionError: If the file does not run.
    """
    if not is_integer(runs) or runs < 1:
        raise ValueError(f"Expected `runs` to be a positive integer. Received: runs={runs!r}")
    every = dict.fromkeys(("litert", "litert-builtin", *runtimes))
    costs = [_cost(content, runtime, examples, arena_size, runs) for runtime in every]
    return Measurements(tuple(costs))


def _cost(
    content: bytes,
    runtime: str,
    examples: Examples,
    arena_size: int | None,
    runs: int,
) -> RuntimeCost:
    # None for TFLM, which has one set of kernels.
    kernels = LITERT_KERNELS.get(runtime)
    interpreter = RUNTIMES[runtime if kernels is None else "litert"]
    interpreter.require()
    arena_size = arena_size if interpreter.has_arena else None
    request = {
        "content": content,
        "inputs": examples.inputs,
        "kernels": kernels and KERNELS[kernels],
        "arena_size": arena_size,
        "runs": runs,
    }
    limit = TimeLimit.of_file(runtime, content, runs + 1)
    done = child_process.ask("profiling_worker.py", request, limit)
    if done.returncode:
        raise ConversionError(f"{runtime} cannot run the file: {child_process.reason(done)}")
    load, first, median, memory = pickle.loads(done.stdout)
    return RuntimeCost(runtime, 1e6 * load, 1e6 * first, 1e6 * median, memory, arena_size)
