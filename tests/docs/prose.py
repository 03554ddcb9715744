"""Measure the pages outside docs/studies: figures, code blocks and the length of sentences.

`python -m tests.docs.prose` prints a table.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[2]
# Pages of figures, and the page that is a list of changes.
_NOT_MEASURED = ("docs/studies/", "docs/changelog.md")

_FENCE = re.compile(r"^([ \t]*)(`{3,})([^\n]*)\n.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]*`")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TARGET = re.compile(r"\]\([^)]*\)|\]\[[^\]]*\]|<[^>]+>")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_FIGURE = re.compile(r"(?<![\w.])[-+]?\d[\d,.]*(?:e-?\d+)?%?(?![\w])")


class Prose(NamedTuple):
    """What a page consists of.

    Attributes:
        words: Words outside of code.
        figures: Numbers written with digits outside of code, but for years.
        blocks: Fenced code blocks.
        longest: The words of a sentence, 90 % of the page's sentences being no longer.
    """

    words: int
    figures: int
    blocks: int
    longest: float

    @property
    def density(self) -> float:
        """Figures in a thousand words."""
        return 1000 * self.figures / max(self.words, 1)


def pages() -> list[Path]:
    """The pages that are measured."""
    return [
        path
        for path in sorted(ROOT.glob("docs/**/*.md"))
        if not str(path.relative_to(ROOT)).startswith(_NOT_MEASURED)
    ]


def measure(text: str) -> Prose:
    """Measure a page.

    Args:
        text: Its Markdown.

    Returns:
        What it consists of.
    """
    blocks = len(_FENCE.findall(text))
    text = _COMMENT.sub(" ", _FENCE.sub(" ", text))
    text = _TARGET.sub("]", _CODE.sub("code", text))
    sentences = [
        sentence.split()
        for paragraph in re.split(r"\n\s*\n|\n(?=[ \t]*(?:[-*|#:]|\d+\.) )", text)
        if not paragraph.lstrip().startswith(("|", "#"))
        for sentence in re.split(r"(?<=[.:!?])\s", paragraph)
        if sentence.strip()
    ]
    return Prose(
        words=len(re.findall(r"[^\W\d_][\w'-]*", text)),
        figures=len(_FIGURE.findall(_YEAR.sub(" ", text))),
        blocks=blocks,
        longest=float(np.quantile([len(words) for words in sentences] or [0], 0.9)),
    )


def main() -> None:
    """Print the table."""
    print("figures a thousand words, code blocks, words of a sentence (90 % have no more), words")
    for path in pages():
        prose = measure(path.read_text())
        print(
            f"{prose.density:6.1f} {prose.blocks:3} {prose.longest:5.0f} {prose.words:6} "
            f"{path.relative_to(ROOT)}"
        )


if __name__ == "__main__":
    main()
