"""Loss by quantization of two models: whole test sets on LiteRT, 10,000 rows on TFLM.

`python -m benchmarks.quantization --ptb FOLDER` writes benchmarks/results/quantization.json.
Without a folder of Penn Treebank's text the second model is left out. Without all of Fashion-MNIST
in `TFDS_DATA_DIR` the first one uses the included part.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.quantization import fashion_mnist, next_word
from benchmarks.tables import RESULTS, Results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ptb", type=Path, help="folder with ptb.train.txt and ptb.test.txt")
    arguments = parser.parse_args()
    results = Results(
        "What quantization loses",
        ("model", "quantization", "runtime", "rows", "score", "lost", "standard error", "aim"),
        RESULTS / "quantization.json",
    )
    studies = [fashion_mnist.study]
    if arguments.ptb is not None:
        studies.append(lambda: next_word.study(arguments.ptb))
    for study in studies:
        for cell in study().cells():
            results.add(cell)
    missed = [c for c in results.cells if c.get("aim") is not None and c["lost"] > c["aim"]]
    results.finish({"aims missed": missed})


if __name__ == "__main__":
    main()
