import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytest.importorskip("matplotlib", reason="the notebooks draw")
pytest.importorskip("tflite_micro", reason="the notebooks run files for a microcontroller")

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))


def _code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_two_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "compress_a_trained_model",
        "train_truncate_convert",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_raises(path, tmp_path):
    # A cell looks for the data in the folders above, and another one writes beside the notebook.
    copy = tmp_path / "examples" / "notebooks"
    copy.mkdir(parents=True)
    shutil.copy(path, copy)
    (tmp_path / "examples" / "fashion_mnist").symlink_to(EXAMPLES / "fashion_mnist")
    notebook = nbformat.read(copy / path.name, as_version=4)
    for cell in _code_cells(notebook):
        cell.outputs = []
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(copy)}}
    )
    client.execute()
    assert all(cell.outputs for cell in _code_cells(notebook))
    assert len(list((copy / "build").glob("*/model.tflite"))) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_complete_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = _code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(cell.outputs for cell in cells)
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < 300_000
