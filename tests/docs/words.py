"""Find words that this project does not use, and say which ones it uses in their place.

`python -m tests.docs.words [PATH ...]` prints each one with its place and ends with exit code 1 if
there is any. The glossary (docs/glossary.md) says what the project's words mean.
"""

import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PLACES = ("dart_keras", "docs", "examples", "benchmarks", "tflite", "tests", "*.md", "setup.cfg")
SUFFIXES = (".py", ".md", ".cc", ".h", ".cfg", ".ipynb")
_COMPRESSION = ("dart_keras/compression/", "tests/compression/", "benchmarks/compression/")


class Rule(NamedTuple):
    """Words that are not used.

    Attributes:
        text: A regular expression for text: comments, strings, Markdown, C++. Spaces stand for any
            white space.
        instead: What to say in their place.
        symbol: A regular expression for the names of Python code, where one can tell.
        folders: The only folders where the rule holds; none for everywhere.
    """

    text: str
    instead: str
    symbol: str = r"(?!)"
    folders: tuple[str, ...] = ()


_PARAMETERS = "parameters (of a model), elements (of an array), values"

RULES = (
    Rule(r"\btensor trains?\b", "TT matrix, TT layer, tensor-train (TT) format"),
    Rule(
        r"\b(?:fewer|(?:how|as|so|too) many|most|no more|more|million|hundred|[\d,.]+\d|such) "
        r"numbers\b(?! of)",
        _PARAMETERS,
    ),
    Rule(
        r"\bnumbers (?:(?:that )?(?:it|they|the|an?|each)(?: \w+)? hold|held|left\b|moved\b|a rank"
        r"\b|(?:of|in) (?:the|an?|its|all|each|every|these) (?:\w+ )?(?:arrays?|bands?|blocks?|"
        r"cores?|constants?|embeddings?|kernels?|layers?|matri\w+|models?|projections|slices?|tables?|"
        r"tensors?|weights?)\b)",
        _PARAMETERS,
        symbol=r"numbers_moved|NUMBERS_AT_A_TIME",
    ),
    Rule(
        r"(?<!left )(?<!leaves )(?<!leave )(?<!far )\bbehind\b(?! (?:the|a) (?:proxy|firewall))",
        "after",
        symbol=r"(?:^|_)behind(?:_|$)",
    ),
    Rule(
        r"\btwins?\b", "dense equivalent, dense baseline; pair", symbol=r"(?:^|_)[tT]wins?(?:_|$)"
    ),
    Rule(r"\bgauges?\b", "core basis, core bases", symbol=r"(?:^|_)[gG]auges?(?:_|$)"),
    Rule(
        r"\bparts? and (?:the|its|their) forms?\b|(?<!canonical )(?<!closed )(?<!same )\b(?:its|"
        r"their|the|each|every|some|other|all|new|low-rank|dense|hundred|by|of) forms?\b(?! of)",
        "compressible layers and their factorizations",
        symbol=r"^_?(?:[fF]orms?|Parts?|[A-Z]\w+Part)$",
        folders=_COMPRESSION,
    ),
    Rule(r"\bgiv(?:e|es|en|ing)(?: \w+){0,3} out\b|\bgave out\b", "allocate"),
    Rule(
        r"\bpress(?:es|ed|ing)?(?: \w+){0,2} ranks\b|\bpress(?:es|ed|ing)? (?:alike|harder|less|"
        r"on)\b|(?<!memory )\bpressure\b",
        "regularize the ranks, regularization strength",
    ),
    Rule(
        r"\bwhat (?:\w+ ){1,4}(?:is|are) worth\b(?! (?:an?|the|it|while)\b)|\bworths\b|"
        r"\bvalue that is worth\b",
        "rank importance",
    ),
    Rule(r"\bsuperfluous\b", "redundant: drives redundant singular values to zero"),
    Rule(
        r"\b(?:normali[sz]ations?|rotation|batch norm\w*)\b[^.:;]{0,40}\b(?:takes? in|taken (?:in|"
        r"into)|goes into)\b",
        "folded into the weights",
    ),
    Rule(r"\bcorrected\b", "refitted", symbol=r"^corrected$", folders=_COMPRESSION),
    Rule(r"\bplain(?:est)? kernels?\b", "reference kernels"),
    Rule(r"\bleast[ _-]decibels\b", "min_sqnr_db", symbol=r"least_decibels"),
    Rule(r"\bby heart\b", "overfits"),
    Rule(r"\b(?:wakes?|woken?|woke) up\b", "become trainable"),
    Rule(
        r"^at the end$|\b(?:errors?|damage|dB|loss|losses) at the end\b|\bat the end with\b",
        "model output error",
    ),
)

# Ordinary English, or the place that explains the word. By file and what is found there.
ALLOWED = {
    ("docs/glossary.md", "gauge"): "the literature's word is explained there",
    ("docs/concepts/quantization.md", "gauge"): "the literature's word is explained there",
}
# They hold the words in order to find them.
_THEMSELVES = ("tests/docs/words.py", "tests/docs/test_words.py")


class Finding(NamedTuple):
    """A word that is not used, and where it is."""

    path: str
    line: int
    word: str
    instead: str


def find(path: str, text: str) -> Iterator[Finding]:
    """Find the words in a file.

    Args:
        path: The file, from the project's folder.
        text: What it holds.

    Yields:
        The words in the order of their rules.
    """
    words = list(_python(text) if path.endswith(".py") else [_Words(1, text, False)])
    words.append(_Words(1, Path(path).stem, True))
    for rule in RULES:
        if rule.folders and not path.startswith(rule.folders):
            continue
        for piece in words:
            pattern = rule.symbol if piece.is_symbol else rule.text
            for match in re.finditer(pattern, piece.text, re.IGNORECASE * (not piece.is_symbol)):
                word = piece.text if piece.is_symbol else match[0]
                yield Finding(path, piece.line(match.start()), word, rule.instead)
    for piece in words:
        for start, word in () if piece.is_symbol else nouns(piece.text):
            yield Finding(path, piece.line(start), word, RULES[0].instead)


class _Words:
    """A piece of a file with every white space as one space, so that phrases may span lines."""

    def __init__(self, line: int, text: str, is_symbol: bool) -> None:
        self.is_symbol = is_symbol
        self.text = " ".join(text.split())
        self._lines: list[tuple[int, int]] = []
        position = 0
        for number, content in enumerate(text.split("\n"), line):
            self._lines.append((position, number))
            position += sum(len(word) + 1 for word in content.split())

    def line(self, position: int) -> int:
        """Return the line of a position in the text."""
        return max(number for start, number in self._lines if start <= position)


# What is before the noun "train" (what is after it tells a train from a training set), and what
# is before the verb "trains".
_BEFORE_TRAIN = re.compile(
    r"an?|the|this|each|every|any|no|its|whose|one|balanced|random|small|smaller|larger|single|"
    r"two-mode|of|as|by"
)
_OF_DATA = re.compile(
    r"and|data|epoch|files?|folder|function|images|loop|loss|mode|or|rows|sentences|sets?|splits?|"
    r"steps?|test|text"
)
_WHO_TRAINS = re.compile(
    r"and|backend|benchmark|callback|chief|code|command|demo|everybody|example|fit|function|it|jax|"
    r"keras|loop|machine|method|model|nobody|notebook|one|program|project|pytorch|run|script|step|"
    r"strategy|study|tensor|tensorflow|that|then|there|training|user|which|who|worker"
)


def nouns(text: str) -> Iterator[tuple[int, str]]:
    """Find "train" and "trains" where they are nouns, not what `fit` does.

    Args:
        text: Some text.

    Yields:
        Where one starts, and it with the word before it.
    """
    for match in re.finditer(r"(?<![\w`\"'/.-])trains?(?![\w`\"'/(-]|\.\w|:? \()", text, re.I):
        before = re.search(r"(\S+)\s*$", text[: match.start()])
        previous = before[1] if before else ""
        following = re.match(r"\W*(\w*)", text[match.end() :])[1].lower()
        word = f"{previous} {match[0]}".strip()
        if match[0].lower() == "train":
            if _BEFORE_TRAIN.fullmatch(previous.lower()) and not _OF_DATA.fullmatch(following):
                yield match.start(), word
        elif not (
            _WHO_TRAINS.fullmatch(previous.lower().strip("*(,"))
            or previous.endswith(("`", "`:", "`,", "|"))
            or following in {"a", "an", "the", "both", "import"}
        ):
            yield match.start(), word


def _python(text: str) -> Iterator[_Words]:
    """Yield the comments, strings and names of Python code."""
    lines = iter(text.splitlines(keepends=True))
    tokens = [
        token
        for token in tokenize.generate_tokens(lambda: next(lines, ""))
        if token.type in (tokenize.COMMENT, tokenize.STRING, tokenize.NAME)
    ]
    # A comment of several lines is one text.
    place = 0

    def block(token: tokenize.TokenInfo) -> int:
        nonlocal place
        if token.type != tokenize.COMMENT or token.line.strip() != token.string.strip():
            place += 1
        return place

    for _, group in groupby(tokens, key=block):
        members = list(group)
        for token in members:
            if token.type == tokenize.NAME:
                yield _Words(token.start[0], token.string, True)
            elif token.type == tokenize.STRING:
                yield _Words(token.start[0], token.string.lstrip("rbfRBF").strip("\"'"), False)
        comments = [token for token in members if token.type == tokenize.COMMENT]
        if comments:
            text = "\n".join(token.string.replace("#", " ", 1) for token in comments)
            yield _Words(comments[0].start[0], text, False)


def files(places: Sequence[str] = PLACES) -> Iterator[Path]:
    """Find the files to look into.

    Args:
        places: Files, folders and patterns of them, from the project's folder.

    Yields:
        The files in order.
    """
    for place in places:
        for path in sorted(ROOT.glob(place)):
            below = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in below:
                if file.suffix in SUFFIXES and str(file.relative_to(ROOT)) not in _THEMSELVES:
                    yield file


def _text_of(file: Path) -> str:
    """Return what a person wrote: of a notebook the cells, without pictures and other outputs."""
    text = file.read_text()
    if file.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def find_all(places: Sequence[str] = PLACES) -> list[Finding]:
    """Find the words in all files.

    Args:
        places: As for `files`.

    Returns:
        The words, but for those that are allowed; a name of code once a file.
    """
    found = [
        finding
        for file in files(places)
        for finding in find(str(file.relative_to(ROOT)), _text_of(file))
        if not any(finding.path == path and word in finding.word.lower() for path, word in ALLOWED)
    ]
    return sorted(set(found))


def main(arguments: Sequence[str]) -> int:
    """Print the words.

    Args:
        arguments: Files and folders, from the project's folder; none for all.

    Returns:
        The exit code: 1 if there are any.
    """
    found = find_all(arguments or PLACES)
    for finding in found:
        print(f"{finding.path}:{finding.line}: {finding.word!r}: say {finding.instead}")
    counts = Counter("/".join(Path(finding.path).parts[:2]) for finding in found)
    for folder, count in sorted(counts.items()):
        print(f"{count:6} {folder}")
    print(f"{len(found):6} in all")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
