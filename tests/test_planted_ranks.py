"""Training recovers planted ranks: see benchmarks/planted_ranks.py for the problem."""

import pytest

from benchmarks.planted_ranks import METHODS, SEEDS, find_ranks


@pytest.mark.parametrize("method", METHODS)
def test_planted_ranks_are_recovered(method):
    found = [find_ranks(method, seed)["found"] for seed in SEEDS]
    # All five for the nuclear norm; each other method may miss one.
    assert sum(found) >= (len(SEEDS) if method == "NuclearNorm" else len(SEEDS) - 1)
