"""Loads a model with LiteRT, which looks through the whole file, and does no more."""

from ai_edge_litert.interpreter import Interpreter


def answer(content: bytes) -> None:
    """Raise a ValueError if a vector or table of the file is not where the file says it is."""
    Interpreter(model_content=content, num_threads=1)
