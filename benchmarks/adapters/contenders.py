"""What the benchmark of adapters compares, and with which learning rates."""

from dataclasses import dataclass
from typing import Any

# Sizes are relative to LoRA of rank 8 on MiniLM-L6, query and value: 73,728 parameters. The aim is
# a tenth of it.
TENTH = 7_372

# The likeliest first, for a benchmark of fewer rates.
_RATES = (2e-3, 1e-3, 5e-3, 5e-4)
_HIGH_RATES = (2e-2, 5e-2, 1e-2, 5e-3)
_FULL_RATES = (1e-4, 5e-5, 2e-4, 2e-5)
# With several cores a small alpha and a high rate: see the study.
_TT_RATES = (1e-2, 5e-3, 2e-3, 2e-2)


@dataclass(frozen=True)
class Contender:
    """A method with its settings.

    Attributes:
        method: The value of `--method` of `examples.fine_tuning.train`.
        options: Its other options.
        rates: Learning rates that are tried with the first seed.
    """

    method: str
    options: tuple[Any, ...] = ()
    rates: tuple[float, ...] = _RATES


CONTENDERS = {
    "full": Contender("full", rates=_FULL_RATES),
    "head": Contender("head", rates=_HIGH_RATES),
    "BitFit": Contender("BitFit", rates=(5e-3, 2e-3, 1e-2, 1e-3)),
    "LoRA, rank 8": Contender("LoRA", ("--rank", 8)),
    "LoRA, rank 1": Contender("LoRA", ("--rank", 1, "--alpha", 2), (5e-3, 2e-3, 1e-3, 1e-2)),
    "DoRA, rank 8": Contender("DoRA", ("--rank", 8)),
    "ALLoRA, rank 8": Contender("ALLoRA", ("--rank", 8)),
    "AdaLoRA, rank 8": Contender("AdaLoRA", ("--rank", 8)),
    "TTLoRA, learned, a tenth": Contender(
        "TTLoRA", ("--rank", 6, "--alpha", 0.5, "--parameters", TENTH), _TT_RATES
    ),
    "TTLoRA, by loss": Contender(
        "TTLoRA", ("--rank", 6, "--alpha", 0.5, "--loss-increase", 0.01), _TT_RATES
    ),
    "TTLoRA, rank 4": Contender("TTLoRA", ("--rank", 4, "--alpha", 0.5), _TT_RATES),
    # A mean rank of 2: each rank of each kernel takes 768.
    "LoRA, learned, a quarter": Contender(
        "LoRA", ("--rank", 4, "--alpha", 8, "--parameters", 18_432)
    ),
    "LoRETTA": Contender("LoRETTA", rates=(5e-3, 2e-3, 1e-2, 1e-3)),
    "LoRETTAAdp": Contender("LoRETTAAdp"),
    "MetaTT": Contender("MetaTT", rates=(5e-3, 2e-3, 1e-2, 1e-3)),
    "VeRA": Contender("VeRA", rates=_HIGH_RATES),
    "RandLoRA": Contender("RandLoRA"),
    "TeRA": Contender("TeRA", rates=_HIGH_RATES),
    "LoLDU": Contender("LoLDU", ("--rank", 384), (5e-3, 2e-3, 1e-2, 2e-2)),
    "SVFit": Contender("SVFit", ("--rank", 384), _HIGH_RATES),
    "FLoRA, rank 8": Contender("FLoRA", ("--rank", 8)),
    "MiSS-mini": Contender("MiSS", ("--rank", 2)),
}
# Rows to train on; all where there are fewer.
TASKS = {"sst2": 10_000, "mrpc": None, "stsb": None}
# Where the data set is in the folder of `--data-dir`.
FOLDERS = {"sst2": "sst2", "mrpc": "glue/mrpc", "stsb": "glue/stsb"}
