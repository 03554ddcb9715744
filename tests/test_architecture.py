"""The rules of the package's layout, which tell a reader where to look and what depends on what."""

import ast
import graphlib
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dart_keras"
FILES = sorted(PACKAGE.rglob("*.py"))
PRIVATE = PACKAGE / "private_apis"
# A file of fewer lines belongs into its only importer.
FEWEST_LINES = 45
# Functions that take the name of an attribute.
BY_NAME = {"attrgetter", "delattr", "getattr", "hasattr", "setattr"}
# These are called through one name for many modules: `cli/main.py` adds the parser of each command,
# and `runtimes/worker.py` has a script, which imports nothing of the package, answer a request.
ENTRY_POINTS = {"add_parser", "answer", "main"}


def module_name(path):
    """The name by which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path):
    return ast.parse(path.read_text())


def public_names(path):
    """The public functions, classes, types and constants at the top level of a file."""
    found = []
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def foreign_names(path):
    """What a file imports from outside of the package, by the names that it has there."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("dart_keras")
        for alias in node.names
    }


@pytest.fixture(scope="module")
def graph():
    """What imports what, wherever in a file: lazy imports and those for types included."""
    return grimp.build_graph("dart_keras", cache_dir=None)


def test_imports_go_one_way():
    """The contracts are in pyproject.toml: the order of the rooms, and no cycle within any."""
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    done = subprocess.run(
        [command, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_leads_back(graph):
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) == len(FILES)
    graphlib.TopologicalSorter(imports).prepare()  # Raises a CycleError, which names the cycle.


def test_a_file_name_exists_once():
    found = defaultdict(list)
    for path in FILES:
        if path.name != "__init__.py":
            found[path.name].append(module_name(path))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_a_public_name_is_defined_once():
    found = defaultdict(list)
    for path in FILES:
        for name in public_names(path):
            found[name].append(module_name(path))
    again = {name for name, places in found.items() if len(places) > 1} - ENTRY_POINTS
    assert {name: found[name] for name in again} == {}
    # Nor is it the name of something that comes from elsewhere, such as `Path`.
    foreign = set().union(*map(foreign_names, FILES))
    assert {name: found[name] for name in found.keys() & foreign} == {}


@pytest.mark.parametrize("folder", ["compression", "deployment"])
def test_a_folder_is_taken_in_at_a_glance(folder):
    entries = {path.name for path in (PACKAGE / folder).iterdir()}
    assert len(entries - {"__init__.py", "__pycache__"}) <= 12


def test_no_file_is_a_fragment_of_another(graph):
    """A short file has several importers, or is one of many that its folder lists."""
    fragments = []
    for path in FILES:
        module = module_name(path)
        importers = graph.find_modules_that_directly_import(module)
        is_short = len(path.read_text().splitlines()) < FEWEST_LINES
        if path.name == "__init__.py" or not is_short or len(importers) > 1:
            continue
        offered = importers <= {module.rpartition(".")[0]} and importers
        # `worker.py` is a script: nobody imports it.
        is_entry_point = ENTRY_POINTS & set(public_names(path))
        if not (offered or is_entry_point or path.name == "_version.py"):
            fragments.append(module)
    assert fragments == []


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def own_names():
    """The private names that the package itself gives to attributes, methods and fields."""
    found = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    # What every named tuple has, under names that Python documents.
    return set(filter(is_private, found)) | {"_asdict", "_fields", "_replace"}


def test_private_attributes_of_the_frameworks_stay_in_private_apis():
    """Ruff's rule SLF001 leaves private attributes of `self` and `cls`, and names in strings.

    Those that a class inherits from a framework's are told by their names, which the package
    defines nowhere.
    """
    own, found = own_names(), []
    for path in FILES:
        if PRIVATE in path.parents:
            continue
        for node in ast.walk(tree_of(path)):
            names = []
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("self", "cls"):
                names = [node.attr]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in BY_NAME:
                names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            foreign = {each for each in names if is_private(str(each))} - own
            found += [f"{module_name(path)}:{node.lineno}: {name}" for name in foreign]
    assert found == []


def test_private_modules_stay_in_private_apis():
    private = (
        "keras.src",
        "tensorflow.python",
        "tensorflow.lite.python",
        "tf_keras.src",
        "flatbuffers",
    )
    found = []
    for path in FILES:
        if PRIVATE in path.parents:
            continue
        for node in ast.walk(tree_of(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value]  # For `importlib` and its like.
            found += [
                f"{module_name(path)}: {name}"
                for name in names
                if any(name == each or name.startswith(f"{each}.") for each in private)
            ]
    assert found == []


def test_tests_mirror_the_package():
    """Test files lie where their source does; others say at their top what they are about."""
    lost = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = PACKAGE / path.relative_to(ROOT / "tests").parent
        is_of_a_room = folder != PACKAGE and folder.is_dir()
        if is_of_a_room and not has_source(path, folder) and not ast.get_docstring(tree_of(path)):
            lost.append(str(path.relative_to(ROOT)))
    assert lost == []


def has_source(path, folder):
    """Whether a file or folder is called as a test file is, or as the beginning of its name."""
    sources = {each.stem for each in folder.iterdir()}
    return any(f"{path.stem}_".startswith(f"test_{source}_") for source in sources)
