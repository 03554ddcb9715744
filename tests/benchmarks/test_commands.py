"""One small cell of each benchmark command."""

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Dense layers would be smaller or faster")
WITHOUT_TORCH = "TensorLy-Torch is in the extra `benchmarks` alone"
SHORT = {"seconds": 0.01, "rounds": 2}


@pytest.fixture
def _torch():
    for package in ("torch", "tltorch"):
        pytest.importorskip(package, reason=WITHOUT_TORCH)


def test_planner():
    from benchmarks import planner

    cell = planner.measure(((4, 6), (6, 4)), (1, 4, 1), 8, "training")
    assert {"left_to_right", "rebuild"} <= {plan["plan"] for plan in cell["candidates"]}
    assert cell["ratio"] >= 1
    assert cell["least"] == min(c["microseconds"] for c in cell["candidates"])
    where = {"dimensions": "24x24", "rank": 4, "batch": 8, "kind": "training"}
    found = planner.summary([{**where, **cell, "ratio": 1.0}, {**where, **cell, "ratio": 1.5}])
    assert found["share within 10 %"] == 0.5
    assert found["worst ratio"] == 1.5
    assert [cell["ratio"] for cell in found["further than 10 %"]] == [1.5]


@pytest.mark.usefixtures("_torch")
def test_peers():
    from benchmarks import peers

    layer = peers.built_layer(24, 36, 3, 3)
    assert layer.input_modes == (2, 3, 4)
    equivalent = peers.low_rank_equivalent(layer, 24)
    parameters = sum(int(np.prod(core.shape)) for core in layer.cores)
    assert abs(equivalent.count_params() - 36 - parameters) <= (24 + 36) / 2
    kinds = peers.measure(layer, 4, **SHORT)
    assert set(kinds) == {"forward", "training"}
    for timings in kinds.values():
        assert set(timings) == {peers.OURS, *peers.PEERS, *peers.OTHERS}


@pytest.mark.usefixtures("_torch")
def test_peer_with_wrong_output_is_detected():
    from benchmarks import peers

    layer = peers.built_layer(24, 36, 3, 2)
    steps = {name: make() for name, make in peers.baseline_steps(layer, 4).items()}
    assert peers.check_same(steps) < peers.TOLERANCE
    with pytest.raises(AssertionError, match="t3f is"):
        peers.check_same({**steps, "t3f": steps["Dense"]})


@pytest.mark.usefixtures("_torch")
def test_peers_summary_lists_lost_cells():
    from benchmarks import peers

    where = {"dimensions": "24x24", "rank": 4, "kind": "forward", "fastest peer": "t3f"}
    times = dict.fromkeys((peers.OURS, *peers.PEERS, *peers.OTHERS), 1.0)
    cells = [
        {**where, "batch": batch, "microseconds": times, "ratio": ratio}
        for batch, ratio in ((1, 0.5), (32, 8.0))
    ]
    found = peers.summary(cells)["forward"]
    assert found["geometric mean of fastest peer / ours"] == pytest.approx(2.0)
    assert [cell["batch"] for cell in found["lost"]] == [1]


def test_dense():
    from benchmarks import dense
    from benchmarks.budget import parameter_budget

    assert parameter_budget(64, 64, 100) == 64 * 64 / 8
    layer = dense.planned_layer(64, 64, 2, batch=8)
    assert sum(int(np.prod(c.shape)) for c in layer.cores) <= parameter_budget(64, 64, 2)
    kinds = dense.measure(layer, 64, 8)
    cells = [
        {
            "dimensions": "64x64",
            "rank": 2,
            "batch": 32,
            "kind": kind,
            "ratio": ratio,
            "of budget": 1,
        }
        for kind in kinds
        for ratio in (0.5, 2.0)
    ]
    assert len(dense.summary(cells)["training"]["lost, any batch"]) == 1


def test_device():
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tflite_micro")
    import keras

    from benchmarks import device

    runtime = "TFLM int8"
    layers = {
        "TT for time": device.planned_layer(64, 64, 2, runtime),
        "TT balanced": device.balanced_layer(64, 64, 2),
        "dense": keras.layers.Dense(64),
    }
    files = {name: device.artifact(layer, 64, runtime) for name, layer in layers.items()}
    figures = device.measure(files, runtime)
    assert all(time > 0 for time in figures["microseconds"].values())
    assert figures["arena"]["dense"] > 0
    planned = layers["TT for time"]
    where = {"dimensions": "1024x1024", "runtime": runtime, "rank": 2, "ratio": 2.0}
    where["TT matrix"] = [planned.input_modes, planned.output_modes, planned.ranks]
    large = {**figures["arena"], "TT for time": figures["arena"]["dense"] + 5000}
    found = device.summary([{**where, **figures}, {**where, **figures, "arena": large}])
    assert [cell["arena"] for cell in found[runtime]["arena beyond dense plus 4 KiB"]] == [large]
    least, middle, most = found[runtime]["estimated / measured"]
    assert 0 < least <= middle <= most


def test_file_size():
    pytest.importorskip("ai_edge_litert")
    import keras

    from benchmarks import file_size

    model = keras.Sequential(
        [keras.Input((64,)), file_size.layer(64, 64, "two", 4, bias_initializer=file_size.NORMAL)]
    )
    figures = file_size.measure(model, "raspberry-pi")
    assert figures["weights"] == 2 * 4 * 8 * 8
    assert figures["file"] == figures["weights"] + sum(figures[part] for part in file_size.PARTS)
    cells = [
        {"target": "raspberry-pi", "model": str(ratio), **figures, "of limit": ratio}
        for ratio in (0.9, 1.1)
    ]
    found = file_size.summary(cells)["raspberry-pi"]
    assert found["small"] == 1
    assert found["not small"] == {"1.1": 1.1}


@pytest.mark.usefixtures("_torch")
def test_embedding():
    from benchmarks import embedding
    from dart_keras.layers import TTEmbedding

    layer = TTEmbedding(60, 12, 3)
    layer.build()
    kinds = embedding.measure(layer, embedding.random_ids(20, "zipf", 60), **SHORT)
    assert set(kinds["training"]) == {embedding.OURS, *embedding.PEERS, "Embedding"}


@pytest.mark.usefixtures("_torch")
def test_zipf_ids_repeat_more_often_than_uniform_ids():
    from benchmarks import embedding

    uniform, zipf = (embedding.random_ids(4096, name) for name in embedding.DISTRIBUTIONS)
    assert len(np.unique(zipf)) < len(np.unique(uniform)) / 2
    assert uniform.max() < embedding.VOCABULARY


def test_growth(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks import growth

    cells = []
    for growing in growth.GROWING:
        point = {"rank": 2, "dimension": 64, "batch": 4}
        cells += [
            {"growing": growing, **point, **cell} for cell in growth.measure(**point, **SHORT)
        ]
    assert {cell["kind"] for cell in cells} == {"forward", "training"}
    assert growth.accuracy(cells)["lowest"] > 0
    growth.draw(cells, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_rank_regularizers():
    from benchmarks import rank_regularizers

    cell = rank_regularizers.measure(2, xla=False, dimension=16, **SHORT)
    assert set(rank_regularizers.regularizers()) <= set(cell)
    assert cell["none"] == 1
    slow = {"rank": 2, "xla": "without", **cell, "GroupLasso": 1, "NuclearNorm": 2, "LogDet": 1}
    found = rank_regularizers.summary([slow])["more than 15 %"]
    assert found == [{"rank": 2, "xla": "without", "NuclearNorm": 2}]


def test_calibration_methods():
    import keras

    from benchmarks import calibration_methods, core_bases
    from dart_keras.layers import TTDense

    model = keras.Sequential([keras.Input((24,)), TTDense(24, 3, (2, 3, 4), (4, 3, 2))])
    rows = np.random.default_rng(0).normal(size=(40, 24)).astype("float32")
    [layer] = core_bases.tt_layers(model)
    trained, expected = core_bases.cores_of(layer), model(rows).numpy()
    for change in core_bases.FROM_CORES.values():
        core_bases.assign(layer, change(trained))
        np.testing.assert_allclose(model(rows), expected, atol=1e-4)
    core_bases.equalize_activations(model, rows)
    np.testing.assert_allclose(model(rows), expected, atol=1e-4)
    found = calibration_methods.measured(model, rows[:20], rows[20:], "int8", "mse")
    assert found["per channel"] > 10
    where = {"model": "x", "quantization": "int8", "core basis": "as trained"}
    cells = [
        {**where, "calibration": "minmax", "per channel": 30.0},
        {**where, "calibration": "mse", "per channel": 31.0},
    ]
    gain = calibration_methods.mean_gains(cells)["int8"]["mse, as trained"]
    assert gain == {"mean": 1, "least": 1, "most": 1}


def test_nested_ranks(monkeypatch):
    from benchmarks import nested_ranks
    from examples.fashion_mnist.data import FashionMnist

    rng = np.random.default_rng(0)
    x, y = rng.random((64, 784), dtype="float32"), rng.integers(0, 10, 64)
    monkeypatch.setattr(nested_ranks, "SIZES", (2000,))
    found = nested_ranks.accuracies(FashionMnist("noise", x, y, x, y), seed=0, epochs=1)
    assert len(found) == 7
    for name, row in found.items():
        # The size and, where the model itself is told, the full ranks.
        assert len(row) == (2 if name.endswith("model_at") or name.startswith("ordinary") else 1)
        assert all(0 <= value <= 100 for value in row)
