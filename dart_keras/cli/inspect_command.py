import argparse
import json
from dataclasses import asdict
from typing import Any

from dart_keras.cli.arguments import add_model
from dart_keras.cli.file_access import check_inputs
from dart_keras.cli.model_files import load_model_file


def add_parser(commands: Any) -> None:
    """Add `dart-keras inspect`."""
    parser = commands.add_parser(
        "inspect",
        help="show what each layer costs, and whether `compress` could replace it",
        description="Shows what each layer of a model costs, and whether `dart-keras compress` "
        "could replace it.",
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.set_defaults(check=_check, run=_run)


def _check(arguments: argparse.Namespace) -> None:
    check_inputs(arguments.model)


def _run(arguments: argparse.Namespace) -> None:
    from dart_keras.compression import candidates
    from dart_keras.summary import model_costs

    model = load_model_file(arguments.model, arguments.imports, arguments.unsafe)
    costs = model_costs(model)
    answers = [(path, reason) for path, _, reason in candidates(model)]
    if arguments.json:
        replaceable = [
            {"layer": path, "replaceable": reason is None, "reason": reason}
            for path, reason in answers
        ]
        print(json.dumps({**asdict(costs), "compress": replaceable}, indent=2))
        return
    print(costs)
    print("\n`dart-keras compress` could replace")
    width = max((len(path) for path, _ in answers), default=0)
    for path, reason in answers:
        print(f"  {path:{width}}  {'yes' if reason is None else f'no: {reason}'}")
