"""A made-up language: German words in reverse order."""

import numpy as np

WORDS = dict(
    zip(
        ["one", "two", "three", "four", "five", "six", "seven", "eight"],
        ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht"],
        strict=True,
    )
)


def sentences(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Return random sentences of two to five words, and their translations."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(list(WORDS), rng.integers(2, 6)) for _ in range(count)]
    return (
        [" ".join(words) for words in chosen],
        [" ".join(WORDS[word] for word in reversed(words)) for words in chosen],
    )


def write(folder, train=6000):
    """Write made-up sentences as the six files of Multi30k."""
    folder.mkdir(exist_ok=True)
    for seed, (part, count) in enumerate(
        {"train": train, "val": 50, "test_2016_flickr": 50}.items()
    ):
        for language, lines in zip(("en", "de"), sentences(count, seed), strict=True):
            (folder / f"{part}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
