from collections.abc import Sequence

import numpy as np

from dart_keras.deployment.c_source.literals import c_type, in_lines, literal
from dart_keras.deployment.runtimes.result import Examples


def examples_header(examples: Examples) -> str:
    """Return `examples.h`: declarations of the recorded rows, and functions that visit them.

    Args:
        examples: The rows, of the file's inputs and outputs in its order.
    """
    declarations = [
        f"extern const {kind}{index}::Type k{kind}{index}Examples[kExamples][{kind}{index}::kSize];"
        for kind, arrays in _kinds(examples)
        for index in range(len(arrays))
    ]
    return f"""\
#pragma once

#include <cstddef>

#include "tensors.h"

namespace dart_keras {{

// Rows as the model takes them, and what TensorFlow Lite Micro gave for them.
constexpr std::size_t kExamples = {len(examples.inputs[0])};
{chr(10).join(declarations)}

{_visitor("Input", "inputs", examples.inputs)}
{_visitor("Output", "outputs", examples.outputs)}
}}  // namespace dart_keras
"""


def examples_source(examples: Examples) -> str:
    """Return `examples.cc`: the definitions of the arrays in `examples.h`.

    Args:
        examples: As for `examples_header`.
    """
    arrays = [
        _definition(f"{kind}{index}", array)
        for kind, arrays in _kinds(examples)
        for index, array in enumerate(arrays)
    ]
    return f"""\
#include "examples.h"

namespace dart_keras {{

{chr(10).join(arrays)}
}}  // namespace dart_keras
"""


def _kinds(examples: Examples) -> list[tuple[str, list[np.ndarray]]]:
    return [("Input", examples.inputs), ("Output", examples.outputs)]


def _definition(tensor: str, array: np.ndarray) -> str:
    rows = [
        in_lines([literal(value) for value in row.ravel()], before="    {", after="},")
        for row in array
    ]
    return f"""\
const {c_type(array.dtype)} k{tensor}Examples[kExamples][{tensor}::kSize] = {{
{chr(10).join(rows)}
}};
"""


def _visitor(kind: str, plural: str, arrays: Sequence[np.ndarray]) -> str:
    calls = "\n".join(
        f"  visit(std::size_t{{{index}}}, k{kind}{index}Examples[example]);"
        for index in range(len(arrays))
    )
    return f"""\
// Calls visit(index, array of its elements) for each of the {plural} of one example.
template <typename Visit>
void Visit{kind}s(std::size_t example, Visit visit) {{
{calls}
}}
"""
