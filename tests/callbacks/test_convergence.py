import numpy as np

from dart_keras.callbacks.convergence import Convergence


def test_changing_ranks_have_not_converged():
    convergence = Convergence(patience=2, tolerance=0.01)
    assert not any(convergence.update(np.array([8.0 - i]), [(1, 8, 1)]) for i in range(6))


def test_constant_ranks_converge_after_patience_epochs():
    convergence = Convergence(patience=2, tolerance=0.01)
    seen = [convergence.update(np.array([3.0 + 0.001 * i]), [(1, 3, 1)]) for i in range(4)]
    assert seen == [False, False, True, True]


def test_one_changing_bond_prevents_convergence():
    convergence = Convergence(patience=1, tolerance=0.01)
    seen = [convergence.update(np.array([3.0, 5.0 - i]), [(1, 3, 5, 1)]) for i in range(3)]
    assert not any(seen)


def test_selected_ranks_must_be_constant_too():
    convergence = Convergence(patience=1, tolerance=0.5)
    assert not convergence.update(np.array([3.0]), [(1, 4, 1)])
    assert not convergence.update(np.array([3.0]), [(1, 3, 1)])
    assert convergence.update(np.array([3.0]), [(1, 3, 1)])


def test_restart_resets_the_history():
    convergence = Convergence(patience=1, tolerance=0.5)
    convergence.update(np.array([3.0]), [(1, 4, 1)])
    convergence.restart()
    assert not convergence.update(np.array([3.0]), [(1, 4, 1)])
