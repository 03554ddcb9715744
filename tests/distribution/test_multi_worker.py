"""Training on two worker processes matches training in one process."""

import json
import socket
from types import SimpleNamespace

import pytest
import tensorflow as tf

from dart_keras.distribution import is_chief
from tests.processes import check_same, finish, here, results, start

NAMES = ("threshold", "calibrated", "gumbel", "size", "loss", "adapters")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    workers = [f"localhost:{port}" for port in free_ports(2)]
    finish(
        *(
            start(
                folder,
                "multi_worker",
                *NAMES,
                TF_CONFIG=json.dumps(
                    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
                ),
            )
            for index in range(len(workers))
        )
    )
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_workers_match_one(folder, name):
    check_same(results(folder)[name], here(name))


def test_both_workers_have_the_same_results(folder):
    assert results(folder, "other") == results(folder, "chief")


@pytest.mark.parametrize(
    ("jobs", "task", "expected"),
    [
        ({"worker": 2}, ("worker", 0), True),
        ({"worker": 2}, ("worker", 1), False),
        ({"chief": 1, "worker": 1}, ("chief", 0), True),
        ({"chief": 1, "worker": 1}, ("worker", 0), False),
        ({"worker": 1, "evaluator": 1}, ("evaluator", 0), False),
    ],
)
def test_exactly_one_worker_is_the_chief(jobs, task, expected):
    spec = {job: [f"localhost:{i}" for i in range(count)] for job, count in jobs.items()}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(spec), task_type=task[0], task_id=task[1]
    )
    assert is_chief(SimpleNamespace(cluster_resolver=resolver)) is expected


def test_single_process_is_the_chief():
    assert is_chief(tf.distribute.OneDeviceStrategy("CPU:0"))
