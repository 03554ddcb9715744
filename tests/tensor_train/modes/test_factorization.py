import itertools
import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train.modes import balanced_modes, factorizations
from dart_keras.tensor_train.modes.factorization import divisors, padded_dims, prime_factors

DIMS = st.integers(1, 600)


def prime_exponents(dim):
    exponents = Counter()
    divisor = 2
    while dim > 1:
        while dim % divisor == 0:
            exponents[divisor] += 1
            dim //= divisor
        divisor += 1
    return exponents


@given(DIMS, st.integers(1, 4))
def test_factorizations_are_complete(dim, length):
    found = list(factorizations(dim, length))
    assert all(math.prod(modes) == dim and len(modes) == length for modes in found)
    # Each prime's exponent is distributed over the factors: stars and bars.
    expected = math.prod(math.comb(e + length - 1, e) for e in prime_exponents(dim).values())
    assert len(set(found)) == len(found) == expected
    assert found == sorted(found)


@given(st.integers(1, 60), st.integers(1, 3))
def test_balanced_modes_have_the_smallest_sum(dim, length):
    modes = balanced_modes(dim, length)
    candidates = itertools.product(range(1, dim + 1), repeat=length)
    best = min(sum(candidate) for candidate in candidates if math.prod(candidate) == dim)
    assert math.prod(modes) == dim
    assert sum(modes) == best
    assert list(modes) == sorted(modes)


@given(DIMS)
def test_divisors_and_primes(dim):
    assert divisors(dim) == tuple(k for k in range(1, dim + 1) if dim % k == 0)
    assert prime_factors(dim) == tuple(sorted(prime_exponents(dim)))


@given(st.integers(1, 40_000))
def test_dimensions_with_a_large_prime_are_padded_by_little(dim):
    first, *padded = padded_dims(dim)
    assert first == dim
    assert bool(padded) <= (max(prime_factors(dim), default=1) > 13)
    assert len(padded) <= 3
    for other in padded:
        assert dim < other <= dim * 17 / 16
        assert set(prime_factors(other)) <= {2, 3, 5, 7}


def test_primes_are_padded():
    assert padded_dims(17) == (17, 18)
    assert padded_dims(32749) == (32749, 32768, 32805, 32928)
