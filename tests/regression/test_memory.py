"""A million elements fit into 4 GiB, set-up included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import resource
from cases.benchmark import block
from constitutive.material import load_material
from fem.solver import Solver

solver = Solver(block(load_material("copper_j2").law, "hex8r", 1_000_000), 2)
for _ in range(2):
    solver.step(solver.stable_step())
print(solver.elements.count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_a_million_elements_fit_into_four_gibibytes():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    elements, peak = map(int, done.stdout.split())
    assert elements > 980_000
    assert peak < 4 * 2**30
