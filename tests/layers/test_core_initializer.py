import keras
import numpy as np
import pytest
from keras import initializers

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.layers.core_initializer import initial_cores, kernel_mean_square
from dart_keras.tensor_train import TTMatrix

NAMED = [
    "glorot_uniform",
    "glorot_normal",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "uniform",
    "normal",
    "truncated_normal",
    "orthogonal",
    "ones",
    initializers.RandomUniform(-0.1, 0.3),
    initializers.RandomNormal(0.2, 0.4),
    initializers.TruncatedNormal(0.0, 0.5),
    initializers.VarianceScaling(3.0, "fan_avg", "uniform"),
    initializers.Orthogonal(gain=1.7),
    initializers.Constant(0.3),
]


def seeded(initializer, seed):
    initializer = initializers.get(initializer)
    config = initializer.get_config()
    return type(initializer).from_config({**config, "seed": seed} if "seed" in config else config)


def _name(initializer):
    # The default text of an object would differ between processes.
    return initializer if isinstance(initializer, str) else type(initializer).__name__


@pytest.mark.parametrize("initializer", NAMED, ids=_name)
@pytest.mark.parametrize("shape", [(48, 36), (20, 90)])
def test_mean_square_matches_keras(initializer, shape):
    drawn = [np.square(np.asarray(seeded(initializer, seed)(shape))) for seed in range(40)]
    found = kernel_mean_square(seeded(initializer, 0), shape)
    assert found == pytest.approx(float(np.mean(drawn)), rel=0.03)


@pytest.mark.parametrize("initializer", NAMED, ids=_name)
@pytest.mark.parametrize(
    ("inputs", "outputs", "ranks"),
    [
        ((6, 8), (6, 6), (1, 1, 1)),
        ((6, 8), (6, 6), (1, 16, 1)),
        ((3, 4, 4), (4, 3, 3), (1, 5, 3, 1)),
        ((2, 3, 4, 2), (3, 2, 2, 3), (1, 4, 9, 4, 1)),
        ((48,), (36,), (1, 1)),
        ((48, 1), (1, 36), (1, 7, 1)),
    ],
)
def test_matrix_has_the_mean_square_of_the_initializer(initializer, inputs, outputs, ranks):
    cores = initial_cores(seeded(initializer, 1), inputs, outputs, ranks)
    assert [core.shape for core in cores] == list(
        zip(ranks, inputs, outputs, ranks[1:], strict=False)
    )
    dense = TTMatrix(tuple(cores)).to_dense()
    expected = np.mean(np.square(np.asarray(seeded(initializer, 1)((48, 36)))))
    assert np.mean(np.square(dense)) == pytest.approx(float(expected), rel=0.12)


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_layers_start_with_the_mean_square_of_their_dense_equivalents(rank):
    dense, embedding = TTDense(64, rank), TTEmbedding(100, 24, rank)
    dense.build((None, 48))
    embedding.build()
    assert np.mean(dense.to_dense() ** 2) == pytest.approx(2 / (48 + 64), rel=1e-4)
    assert np.mean(embedding.to_dense() ** 2) == pytest.approx(0.05**2 / 3, rel=1e-4)


def test_padding_does_not_change_the_mean_square():
    dense = TTDense(61, 8, (7, 7), (8, 8))
    dense.build((None, 47))
    # The fans are those of the layer, not of the padded matrix.
    assert np.mean(dense.to_tt().to_dense() ** 2) == pytest.approx(2 / (47 + 61), rel=1e-4)
    assert np.mean(dense.to_dense() ** 2) == pytest.approx(2 / (47 + 61), rel=0.05)


@pytest.mark.parametrize("rank", [5, 32, 48])
def test_orthogonal_slices_of_one_bond_contribute_equally(rank):
    cores = initial_cores(initializers.Orthogonal(), (48, 1), (1, 64), (1, rank, 1))
    [values] = TTMatrix(tuple(cores)).bond_singular_values()
    np.testing.assert_allclose(values, values[0])


def test_orthogonal_cores_use_all_their_ranks():
    cores = initial_cores(initializers.Orthogonal(), (8, 8, 8), (8, 8, 8), (1, 16, 16, 1))
    first, last = TTMatrix(tuple(cores)).bond_singular_values()
    np.testing.assert_allclose(last, last[0])
    assert first[-1] > 0.5 * first[0]


def test_cores_have_similar_norms():
    cores = initial_cores(initializers.get("he_normal"), (2, 10, 4), (3, 2, 12), (1, 6, 8, 1))
    norms = [np.sqrt(np.mean(np.square(core)) * core.shape[3]) for core in cores]
    assert max(norms) < 2 * min(norms)


def test_zeros_can_still_learn():
    layer = TTDense(8, 2, core_initializer="zeros")
    layer.build((None, 8))
    np.testing.assert_array_equal(layer.to_dense(), 0)
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    losses = model.fit(x, x, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.97 * losses[0]


def test_same_seed_gives_the_same_cores():
    def kernel(initializer):
        layer = TTDense(8, 2, core_initializer=initializer)
        layer.build((None, 8))
        return layer.to_dense()

    one, again, other = (initializers.GlorotUniform(seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(kernel(one), kernel(again))
    assert np.any(kernel(one) != kernel(other))
    keras.utils.set_random_seed(3)
    first, second = kernel("glorot_uniform"), kernel("glorot_uniform")
    assert np.any(first != second)
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(kernel("glorot_uniform"), first)


def test_seed_generator_advances_with_each_draw():
    generators = [keras.random.SeedGenerator(7) for _ in range(2)]
    arguments = ((4, 4), (4, 4), (1, 2, 1))
    drawn = [
        [initial_cores(initializers.RandomNormal(seed=generator), *arguments)[0] for _ in range(2)]
        for generator in generators
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[0][0] != drawn[0][1])


@pytest.mark.parametrize("carrier", [0, 1, 2])
def test_only_the_carrier_has_the_scale_of_the_matrix(carrier):
    initializer = initializers.RandomNormal(stddev=0.02, seed=0)
    modes = (30, 20, 10), (5, 4, 8)
    cores = initial_cores(initializer, *modes, (1, 40, 30, 1), carrier=carrier)
    matrix = TTMatrix(tuple(cores)).to_dense()
    assert np.mean(np.square(matrix)) == pytest.approx(0.02**2)
    assert np.std(cores[carrier]) == pytest.approx(0.02, rel=0.1)
    # Multiplying by the other cores keeps the size of elements.
    for k, core in enumerate(cores):
        if k != carrier:
            summed = core.shape[3] if k < carrier else core.shape[0]
            assert np.std(core) == pytest.approx(summed**-0.5, rel=0.1)


@pytest.mark.parametrize("modes", [((1000, 1), (1, 16)), ((1, 1000), (16, 1)), ((10, 100), (4, 4))])
def test_table_core_with_the_most_rows_is_as_small_as_an_embedding(modes):
    table = TTEmbedding(1000, 16, 8, *modes, initializers.RandomNormal(stddev=0.02, seed=0))
    table.build()
    largest = int(np.argmax(modes[0]))
    # Up to the random elements of the other core.
    assert np.std(table.cores[largest]) == pytest.approx(0.02, rel=0.3)
    assert np.std(table.to_dense()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("rank", [4, 8, 16, 32])
def test_step_moves_table_rows_as_far_as_in_a_dense_table(rank):
    words = np.random.default_rng(0).integers(500, size=(64, 4))
    moved = []
    for layer in (
        keras.layers.Embedding(500, 32, embeddings_initializer="uniform"),
        TTEmbedding(500, 32, rank, (500, 1), (1, 32), "uniform"),
    ):
        model = keras.Sequential([keras.Input((4,), dtype="int32"), layer])
        model.compile(keras.optimizers.Adam(1e-3), "mse")
        before = layer(words).numpy()
        model.fit(words, np.ones((64, 4, 32)), batch_size=64, verbose=0)
        moved.append(np.linalg.norm(layer(words).numpy() - before) / np.linalg.norm(before))
    assert 0.6 < moved[1] / moved[0] < 1.6
