"""Draw the pictures of the gallery anew: run the code blocks of its page.

`python -m benchmarks.gallery`, from the top folder.
"""

import contextlib
import re
import tempfile
from pathlib import Path

import keras
from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery"


def main() -> None:
    """Run the code blocks in a folder of their own, and keep the pictures that they write."""
    page = FOLDER.with_suffix(".md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        Path("examples").symlink_to(ROOT / "examples")
        exec(compile(code, "gallery.md", "exec"), {})
        for picture in sorted(Path().glob("*.png")):
            # 256 colours are enough of a chart, and a third of the bytes.
            Image.open(picture).convert("RGB").quantize(256).save(FOLDER / picture, optimize=True)
            print(FOLDER / picture, (FOLDER / picture).stat().st_size)


if __name__ == "__main__":
    main()
