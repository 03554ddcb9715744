"""Ways to find TT ranks, compared on several problems at equal size."""
