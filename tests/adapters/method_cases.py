"""A case of every method, for the tests that all methods must pass."""

from dart_keras import adapters

METHODS = {
    # Without a target below the rank of the start, which would need a callback.
    "AdaLoRA": adapters.AdaLoRA(rank=3, target_rank=3),
    "ALLoRA": adapters.ALLoRA(rank=2),
    "BitFit": adapters.BitFit(),
    "DoRA": adapters.DoRA(rank=2),
    "LoRA": adapters.LoRA(rank=2),
    "LoRA, rank-stabilized": adapters.LoRA(rank=2, rank_stabilized=True),
    "LoRETTA": adapters.LoRETTA(rank=3, tt_rank=2),
    "LoRETTAAdp": adapters.LoRETTAAdp(width=6, tt_rank=2),
    "MetaTT": adapters.MetaTT(rank=3),
    "MiSS": adapters.MiSS(rank=5),
    "TTLoRA": adapters.TTLoRA(rank=3, alpha=4),
    "VeRA": adapters.VeRA(rank=8),
    "RandLoRA": adapters.RandLoRA(rank=5),
    "TeRA": adapters.TeRA(rank=4),
    "LoLDU": adapters.LoLDU(rank=6),
    "SVFit": adapters.SVFit(rank=6),
    "FLoRA": adapters.FLoRA(rank=2),
}

# Methods that compute something else than another kernel would.
NOT_MERGED = {"LoRETTAAdp"}
# Methods for layers that multiply, not for tables.
NOT_FOR_TABLES = {"BitFit", "DoRA", "LoRETTAAdp", "MetaTT", "MiSS"}
