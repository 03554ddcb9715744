"""A new layer and a new device are one file: nothing else in the package names those that exist."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dart_keras as dk
from dart_keras.devices import DEVICES
from dart_keras.layers.replacement import REPLACEMENTS

PACKAGE = Path(dk.__file__).parent
LAYERS = sorted({layer.__name__ for layer in REPLACEMENTS.values()})


def files_with(matches) -> set[str]:
    """The files of the package with a piece of code, not of text, that matches."""
    return {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(map(matches, _code(ast.parse(path.read_text()))))
    }


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return (node for node in ast.walk(tree) if id(node) not in texts)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_named_in_its_own_file_alone(layer):
    def names(node):
        return layer in (
            getattr(node, "id", None),
            getattr(node, "attr", None),
            *(each.name for each in getattr(node, "names", ()) if isinstance(each, ast.alias)),
        ) or (isinstance(node, ast.ClassDef) and node.name == layer)

    own = {"TTDense": "tt_dense", "TTEinsumDense": "tt_einsum_dense", "TTEmbedding": "tt_embedding"}
    # Adapters are made of TT layers: each kind of kernel has the one that can be added to it.
    others = {path for path in files_with(names) if not path.startswith("adapters/")}
    assert others == {f"layers/{own[layer]}.py", "layers/__init__.py"}


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_asks_for_the_name_of_a_device(device):
    def asks(node):
        kinds = (ast.Compare, ast.MatchValue, ast.Tuple, ast.List, ast.Set, ast.Dict)
        return isinstance(node, kinds) and any(map(is_its_name, ast.iter_child_nodes(node)))

    def is_its_name(node):
        return isinstance(node, ast.Constant) and node.value == device

    # Elsewhere it may be the default of an argument, but nothing is compared with it or looked up.
    assert files_with(asks) == set()
    assert "devices.py" in files_with(is_its_name)


def test_the_worked_example_is_one_record():
    assert files_with(lambda node: getattr(node, "value", None) == "esp32") == {"devices.py"}
