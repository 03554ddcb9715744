"""A builder of FlatBuffers that writes equal vectors, tables and strings once."""

import functools
from typing import Any

import numpy as np

# What the schema of `.tflite` files asks of every constant's place; its Python code forgets it.
_ALIGNMENT = 16


@functools.cache
def deduplicating_builder() -> type:
    """Return the class of the builder, a `flatbuffers.Builder`.

    Its attribute `padding` tells what was left empty so that something begins where it must: for
    each gap, the place of its first byte, counted from the end of the file, and its length.
    """
    import flatbuffers  # type: ignore[import-untyped]

    class Builder(flatbuffers.Builder):
        """Writes what was written before as a reference to it, as the format allows."""

        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.padding: list[tuple[int, int]] = []
            self._written: dict[Any, int] = {}
            self._fields: list[tuple[Any, ...]] = []

        def Pad(self, n: int) -> None:  # noqa: N802
            super().Pad(n)
            if n > 0:
                self.padding.append((self.Offset(), n))

        def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802
            # Vectors of single bytes are constants.
            return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
            key = (x.dtype.str, x.tobytes())
            if key not in self._written:
                self._written[key] = super().CreateNumpyVector(x)
            return self._written[key]

        def CreateString(self, s: Any, *arguments: Any, **options: Any) -> int:  # noqa: N802
            if s not in self._written:
                self._written[s] = super().CreateString(s, *arguments, **options)
            return self._written[s]

        def StartObject(self, numfields: int) -> None:  # noqa: N802
            super().StartObject(numfields)
            self._fields = []

        def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:  # noqa: N802
            super().PrependSlot(flags, o, x, d)
            if x != d:
                self._fields.append((flags, o, x))

        def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802
            super().PrependUOffsetTRelativeSlot(o, x, d)
            if x != d:
                self._fields.append((o, x))

        def EndObject(self) -> int:  # noqa: N802
            key = tuple(self._fields)
            if key not in self._written:
                self._written[key] = super().EndObject()
            else:
                # The fields are in the file already: they are taken back.
                self.nested, self.current_vtable = False, None
                self.head = len(self.Bytes) - self.objectEnd
                self.padding = [pad for pad in self.padding if pad[0] <= self.objectEnd]
            return self._written[key]

    return Builder
