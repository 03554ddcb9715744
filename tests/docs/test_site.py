import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dart_keras

ROOT = Path(__file__).parents[2]
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


def public_names():
    for name in dart_keras.__all__:
        value = getattr(dart_keras, name)
        if isinstance(value, ModuleType):
            yield from (f"dart_keras.{name}.{each}" for each in value.__all__)
        elif name != "__version__":
            yield f"dart_keras.{name}"


def test_every_public_name_is_in_the_reference(documented):
    names = set(public_names())
    assert len(names) > 50
    assert names - documented == set()


def test_the_site_loads_nothing_from_elsewhere(site):
    loads = re.compile(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:)?//')
    pages = list(site.glob("**/*.html"))
    assert len(pages) > 20
    assert [page for page in pages if loads.search(page.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_that_do_not_run_say_why(page):
    marks = re.findall(r"<!--+ *skip: *(.*?) *--+>", page.read_text())
    assert [mark for mark in marks if not re.fullmatch(r'(next|start) +".+"|end', mark)] == []
