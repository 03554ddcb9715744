"""The whole workflow on real images: train with learned ranks, truncate, convert, run, measure."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dart_keras as dk
from dart_keras.utils.atomic_write import check_writable
from dart_keras.utils.plots import require_matplotlib
from dart_keras.utils.table import Table
from examples.fashion_mnist import data
from examples.fashion_mnist.experiment import PLANS, Outcome, Row, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default="build/demo", help="output folder")
    parser.add_argument("--download", action="store_true", help="download all of Fashion-MNIST")
    arguments = parser.parse_args()
    # What would fail after the training fails now.
    check_writable(Path(arguments.folder), ["model.keras"])
    require_matplotlib()
    images = data.load(arguments.download)
    print(f"Data: {images.name}, {len(images.train_images):,} training images")
    plan = PLANS["all" if len(images.train_images) == 60_000 else "part"]
    outcome = run(images, plan, verbose=2)
    dk.summary(outcome.model)
    write(outcome, Path(arguments.folder))
    print()
    print(table(outcome.rows))
    print(f"\nWritten to {arguments.folder}: " + ", ".join(written(Path(arguments.folder))))


def write(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    outcome.model.save(folder / "model.keras")
    for target, artifact in outcome.artifacts.items():
        artifact.save(folder / target)
    (folder / "table.md").write_text(table(outcome.rows) + "\n")
    results = {
        "rows": [asdict(row) for row in outcome.rows],
        "cut": outcome.cut,
        "history": outcome.history,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=2, default=float) + "\n")
    outcome.monitor.plot(folder / "singular_values.png")
    outcome.monitor.plot_targets(folder / "targets.png")


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def table(rows: list[Row]) -> str:
    cells = [
        (
            row.name,
            f"{row.parameters:,}",
            f"{row.bytes:,}",
            "" if row.arena is None else f"{row.arena:,}",
            f"{row.microseconds:,.0f}",
            f"{row.accuracy:.2%}",
        )
        for row in rows
    ]
    header = ("", "parameters", "bytes", "arena", "microseconds", "accuracy")
    return Table(header, "lrrrrr", cells).to_markdown()


if __name__ == "__main__":
    main()
