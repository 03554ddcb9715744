import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "callbacks",
    "compression",
    "deployment",
    "distribution",
    "layers",
    "quantization",
    "regularizers",
    "selection",
    "tensor_train",
)
PAGES = [
    path
    for folder in ("", "docs/**/", "examples/**/", "tflite/**/")
    for path in ROOT.glob(f"{folder}*.md")
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocstrings", reason="the site needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def documented(site):
    from mkdocstrings import Inventory

    with (site / "objects.inv").open("rb") as file:
        return set(Inventory.parse_sphinx(file))


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_reference(room, documented):
    names = importlib.import_module(f"dart_keras.{room}").__all__
    assert names
    assert {f"dart_keras.{room}.{name}" for name in names} <= documented


def test_the_site_loads_nothing_from_elsewhere(site):
    loads = re.compile(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:)?//')
    pages = list(site.glob("**/*.html"))
    assert len(pages) > len(ROOMS)
    assert [page for page in pages if loads.search(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_that_do_not_run_say_why(page):
    marks = re.findall(r"<!--+ *skip: *(.*?) *--+>", page.read_text())
    assert [mark for mark in marks if not re.fullmatch(r'(next|start) +".+"|end', mark)] == []
