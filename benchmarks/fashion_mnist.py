"""Figures of the demo's experiment on all of Fashion-MNIST, as JSON.

Needs the data set: `TFDS_DATA_DIR=... python -m benchmarks.fashion_mnist [--seed 0]`.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples.fashion_mnist import data
from examples.fashion_mnist.experiment import PLANS, Outcome, run

# Parameters of the dense hidden layers: 784 x 1024 and 1024 x 1024, with biases.
DENSE_HIDDEN = 784 * 1024 + 1024 + 1024 * 1024 + 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    images = data.load()
    if len(images.train_images) != 60_000:
        sys.exit("Expected all of Fashion-MNIST in TFDS_DATA_DIR. Received: the included part only")
    outcome = run(images, replace(PLANS["all"], seed=arguments.seed), verbose=0)
    print(json.dumps(figures(outcome) | {"seed": arguments.seed}, indent=2))


def figures(outcome: Outcome) -> dict:
    """Return the figures of an experiment."""
    dense, _, cut, *artifacts = outcome.rows
    hidden = sum(layer.count_params() for layer in outcome.model.layers[:2])
    return {
        "hidden layers smaller by": round(DENSE_HIDDEN / hidden, 1),
        "ranks": outcome.cut["ranks_after"],
        "cut after epochs": outcome.cut["epoch"],
        "points of accuracy lost to the dense network": round(
            100 * (dense.accuracy - cut.accuracy), 2
        ),
        "points of accuracy lost to int8": {
            row.name: round(100 * (cut.accuracy - row.accuracy), 2) for row in artifacts
        },
        "rows": [asdict(row) for row in outcome.rows],
    }


if __name__ == "__main__":
    main()
