import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from dart_keras.layers import TTEmbedding
from dart_keras.layers.lookup import checked_ids, lookup, lookup_plan_for, split_ids, table_of
from dart_keras.layers.planning import device_planning
from tests.lookups import all_plans
from tests.tt_matrices import random_tt_matrix, tt_matrices


@st.composite
def vocabularies(draw, largest=2**20):
    modes = draw(st.lists(st.integers(1, 2**12), min_size=1, max_size=4))
    while math.prod(modes) > largest:
        modes[modes.index(max(modes))] //= 2
    return tuple(max(1, mode) for mode in modes)


def assert_digits_recombine(ids, modes):
    for dtype in ("int32", "int64"):
        digits = [np.asarray(d) for d in split_ids(tf.constant(ids, dtype), modes)]
        value = np.zeros(len(ids), np.int64)
        for digit, mode in zip(digits, modes, strict=True):
            assert digit.dtype == np.int32
            assert np.all((digit >= 0) & (digit < mode))
            value = value * mode + digit
        np.testing.assert_array_equal(value, ids)


def test_ids_of_64_bits_are_not_wrapped_into_range():
    ids = np.array([3, 2**32 + 3], "uint64")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"'table' expected ids in \[0, 10\)"):
        checked_ids(ids, 10, "table")
    np.testing.assert_array_equal(checked_ids(ids[:1], 10, "table"), [3])


@given(vocabularies())
@example((2**10, 2**10))
@example((1021, 1019))
@example((1, 1))
def test_all_ids_of_a_vocabulary_are_split_exactly(modes):
    assert_digits_recombine(np.arange(math.prod(modes)), modes)


@pytest.mark.parametrize(
    "modes",
    [
        (2**11, 2**11),  # the largest that is split in float32
        (2**11 + 1, 2**11),
        (3, 1398101),
        (4099, 4099),
        (1, 2**25 + 1, 1),
        (2**15, 2**15),
    ],
)
def test_ids_of_large_vocabularies_are_split_exactly(modes):
    size = math.prod(modes)
    near_multiples = np.arange(1, size // modes[-1], max(1, size // modes[-1] // 2000)) * modes[-1]
    ids = np.concatenate(
        [
            np.arange(500),
            np.arange(size - 500, size),
            near_multiples,
            near_multiples - 1,
            np.random.default_rng(0).integers(0, size, 20_000),
        ]
    )
    assert_digits_recombine(ids, modes)


def test_all_ids_of_the_largest_float32_vocabulary_are_split_exactly():
    for modes in ((2**11, 2**11), (2047, 2049), (3, 1398101), (1398101, 3), (7, 11, 13, 4189)):
        assert math.prod(modes) <= 2**22
        assert_digits_recombine(np.arange(math.prod(modes)), modes)


def test_modes_of_one_need_no_operation():
    digits = split_ids(tf.constant([0, 3, 7]), (1, 8, 1))
    for digit, expected in zip(digits, ([0, 0, 0], [0, 3, 7], [0, 0, 0]), strict=True):
        np.testing.assert_array_equal(digit, expected)
        assert digit.dtype == tf.int32


def drawn_lookup(data, tt):
    """Draw a plan, which may merge all cores, and a few ids."""
    train = (tt.input_modes, tt.output_modes, tt.ranks)
    plan = data.draw(st.sampled_from(all_plans(10_000, train)))
    ids = data.draw(st.lists(st.integers(0, tt.shape[0] - 1), max_size=12))
    return plan, tf.constant(ids, tf.int32)


@given(tt_matrices(), st.data())
def test_rows_match_the_dense_matrix_by_every_plan(tt, data):
    plan, ids = drawn_lookup(data, tt)
    for each in (plan, dataclasses.replace(plan, training=False)):
        found = lookup(ids, [tf.constant(core) for core in tt.cores], each)
        assert found.shape == (len(ids), tt.shape[1])
        np.testing.assert_allclose(found, tt.to_dense()[ids.numpy()], atol=1e-9)


def gradients(rows_of, ids, cores, *, compiled=False):
    """Return the gradients of the cores for a loss that differs for every column."""

    def step(ids, *cores):
        with tf.GradientTape() as tape:
            tape.watch(cores)
            rows = rows_of(ids, cores)
            loss = tf.reduce_sum(rows**2 * tf.range(1.0, rows.shape[1] + 1, dtype=rows.dtype))
        return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, cores)]

    if compiled:
        # The number of ids is unknown here.
        specs = [tf.TensorSpec(core.shape, core.dtype) for core in cores]
        step = tf.function(step).get_concrete_function(tf.TensorSpec((None,), ids.dtype), *specs)
    return step(ids, *cores)


def dense_rows(ids, cores):
    size = math.prod(core.shape[1] for core in cores)
    return tf.gather(tf.reshape(table_of(cores, mirrored=False), (size, -1)), ids)


def assert_same_gradients(plan, ids, cores, **options):
    found = gradients(lambda *arguments: lookup(*arguments, plan), ids, cores, **options)
    for ours, theirs in zip(found, gradients(dense_rows, ids, cores), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7 * max(1, np.abs(theirs).max()))


@given(tt_matrices(), st.data())
def test_gradients_match_the_dense_matrix_by_every_plan(tt, data):
    plan, ids = drawn_lookup(data, tt)
    # Also more blocks than ids.
    vars(plan)["blocks"] = data.draw(st.sampled_from([1, 3]))
    assert_same_gradients(plan, ids, [tf.constant(core) for core in tt.cores])


@pytest.mark.parametrize("kind", ["merged", "grouped", "distinct", "mirrored"])
def test_gradients_for_an_unknown_number_of_ids(kind):
    tt = random_tt_matrix((4, 3, 5), (2, 3, 2), (1, 3, 4, 1))
    plan = next(
        plan
        for plan in all_plans(5000, (tt.input_modes, tt.output_modes, tt.ranks))
        if {
            "merged": len(plan.factors) == 2,
            "grouped": any(factor.grouped for factor in plan.factors),
            "distinct": plan.is_distinct,
            "mirrored": plan.ends_with_move,
        }[kind]
    )
    vars(plan)["blocks"] = 3
    ids = tf.constant([7, 0, 7, 59, 12], tf.int64)
    assert_same_gradients(plan, ids, [tf.constant(core) for core in tt.cores], compiled=True)


@given(tt_matrices(), st.data())
def test_merged_table_equals_the_dense_matrix(tt, data):
    table = table_of([tf.constant(core) for core in tt.cores], mirrored=data.draw(st.booleans()))
    np.testing.assert_allclose(tf.reshape(table, tt.shape), tt.to_dense(), atol=1e-9)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("ids", [[-1], [0, 10], [2**31 - 1]])
def test_ids_out_of_range_are_refused(ids, compiled):
    check = lambda ids: checked_ids(ids, 10, "table")  # noqa: E731
    if compiled:
        check = tf.function(check)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"table.* ids in \[0, 10\)"):
        check(tf.constant(ids))
    check(tf.constant([0, 9]))


def test_fixed_sizes_do_not_depend_on_the_ids():
    layer = TTEmbedding(5087 * 6, 768, 16, (5087, 6), (1, 768))
    layer.build()
    found = []

    def plan(x):
        found.append(lookup_plan_for(layer, 4096, training=True))
        return x

    tf.function(plan)(tf.zeros(1))
    tf.function(plan, jit_compile=True)(tf.zeros(1))
    with device_planning("microcontroller", lambda layer, plans: plans[0]):
        plan(tf.zeros(1))
    assert [each.factors[1].grouped for each in found] == [True, False, False]
    assert found[2].device.name == "microcontroller"


def test_plan_for_an_unknown_number_of_ids():
    layer = TTEmbedding(100, 16, 4)
    layer.build()
    assert lookup_plan_for(layer, None, training=False).count == 64
