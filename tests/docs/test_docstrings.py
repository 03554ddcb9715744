import re
from pathlib import Path
from types import ModuleType

import pytest

import dart_keras

ROOT = Path(__file__).parents[2]
# Methods that Keras calls, and documents.
KERAS = re.compile(
    r"on_(epoch|train|train_batch)_(begin|end)|set_model|build|call|get_config|from_config|compute_\w+|"
    r"(save|load)_own_variables|(get_)?build_(from_)?config"
)


def public_names():
    for name in dart_keras.__all__:
        value = getattr(dart_keras, name)
        if isinstance(value, ModuleType):
            yield from (f"{name}.{each}" for each in value.__all__)
        elif not name.startswith("__"):
            yield name


@pytest.fixture(scope="module")
def package():
    griffe = pytest.importorskip("griffe", reason="reading docstrings needs the extra `docs`")
    extension = griffe.load_extensions(str(ROOT / "docs/extensions/public_names.py"))
    return griffe.load(
        "dart_keras",
        search_paths=[ROOT],
        extensions=extension,
        docstring_parser="google",
        docstring_options={"warnings": False},
        resolve_aliases=True,
    )


def missing(function, sections):
    """The sections that a function should have and has not."""
    documented = {argument.name.lstrip("*") for argument in sections.get("parameters", [])}
    arguments = {each.name.lstrip("*") for each in function.parameters} - {"self", "cls"}
    if arguments - documented:
        yield f"Args: {sorted(arguments - documented)}"
    says = function.docstring.value.startswith("Return ") or {"returns", "yields"} & set(sections)
    if str(function.returns) not in ("None", "NoReturn") and not says:
        yield "Returns, or a first line `Return ...`"
    if re.search(r"^ +raise ", "".join(function.source), re.MULTILINE) and "raises" not in sections:
        yield "Raises"


def sections_of(obj):
    return {section.kind.value: section.value for section in obj.docstring.parsed}


def is_inherited(method):
    """Whether a base class of this package has the method, and its docstring."""
    bases = method.parent.mro()
    return any(method.name in base.members for base in bases)


@pytest.mark.parametrize("name", list(public_names()))
def test_public_names_are_documented(name, package):
    obj = package[name]
    obj = obj.final_target if obj.is_alias else obj
    if obj.is_attribute:
        pytest.skip("a value; the room's page has it")
    assert obj.docstring
    sections = sections_of(obj)
    if obj.is_function:
        assert list(missing(obj, sections)) == []
    # Of classes, those that users make; records that the library returns have `Attributes:`.
    if obj.is_function or "parameters" in sections:
        assert "examples" in sections
    if obj.is_class:
        lacking = {
            method.name: lacking
            for method in obj.members.values()
            if not method.is_alias
            and method.is_function
            and not method.name.startswith("_")
            and not KERAS.fullmatch(method.name)
            and not is_inherited(method)
            and (lacking := list(missing(method, sections_of(method))))
        }
        assert lacking == {}
