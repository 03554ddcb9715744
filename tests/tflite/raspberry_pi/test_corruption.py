import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.corruption import corrupted
from tests.tflite.raspberry_pi.conftest import KIT

SCRIPT = Path(__file__).with_name("run_corrupted.py")


def test_500_corrupted_files_give_an_answer_or_a_clear_error(clean_python, saved, tmp_path):
    running = []
    # In parallel: half the time on two processors.
    for seed, kind in enumerate(("dense", "ids")):
        folder, artifact = saved(kind)
        copies = tmp_path / kind
        copies.mkdir()
        for name in ("rows.npy", "examples.npz"):
            shutil.copy(folder / name, copies)
        for number, content in enumerate(corrupted(artifact.content, 250, seed)):
            (copies / f"{number:03}.tflite").write_bytes(content)
        running.append(
            subprocess.Popen(
                [clean_python, SCRIPT, KIT, copies],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        )
    outcomes = []
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, err
        outcomes += [json.loads(line) for line in out.splitlines()]
    assert len(outcomes) == 500
    for arguments, code, out, err in outcomes:
        if code == 0:
            assert out, arguments
            assert not err, arguments
        elif not err:
            # The file runs, but with other outputs.
            assert (code, arguments[0]) == (1, "verify")
            assert "rows: DIFFER" in out
        else:
            assert code == 1, arguments
            assert err.startswith("Expected "), err
            assert " Received: " in err
            assert len(err.splitlines()) == 1, err
            assert not out, arguments
    # Some files are too broken to run, and others still run.
    codes = [code for _, code, _, _ in outcomes]
    assert min(codes.count(0), codes.count(1)) > 20
