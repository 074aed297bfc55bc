"""The kernel cache: an edit of a callee in another file takes effect, and a second start compiles nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from constitutive.jit import ROOT, cache_folder, njit, source_hash

PROGRAMME = """
import numpy as np
from constitutive.drive import drive
from constitutive.law import law_definition
from constitutive import drive as module
law = law_definition("neo_hookean").build({"density": 1.0, "shear_modulus": 1.0, "bulk_modulus": 3.0})
F = np.tile(np.eye(3), (2, 1, 1, 1))
F[1, 0, 0, 1] = 0.25
stress = drive(law, np.array([0.0, 1.0]), F).stress[1, 0, 3]
compiled = [law.update_block, module._kernel()]
print(float(stress), sum(sum(f.stats.cache_misses.values()) for f in compiled))
"""

SIBLINGS = """
import sys
import numpy as np
from constitutive.drive import drive
from constitutive.material import load_material
F = np.tile(np.eye(3), (2, 1, 1, 1))
F[1, 0, 0, 1] = 0.01
for name in sys.argv[1:]:
    law = load_material(name).law
    stress = drive(law, np.array([0.0, 1.0]), F).stress[1, 0, 3]
    print(float(stress) / law.shear_modulus, sum(law.update_block.stats.cache_misses.values()))
"""

THEIR_BLOCK = """
from constitutive.law import BLOCK, compile_block
from theirs import callee
def update_block(params, F_old, F_new, dt, stress, state, status):
    for p in range(BLOCK):
        stress[p], status[p] = callee.f(F_new[p]), 0
    return 0
update_block = compile_block(update_block)
"""

THEIR_POINT = """
from constitutive.jit import inline
from constitutive.law import block_of_points
from theirs import callee
@inline
def update(params, F_old, F_new, dt, stress, state):
    return (callee.f(F_new[0]), 0.0, 0.0, 0.0, 0.0, 0.0), state, 0
update_block = block_of_points(update, 0)
"""

THEIRS = """
import numpy as np
from constitutive.law import Law
from theirs.law import update_block
law = Law("theirs", 1.0, 1.0, 1.0, np.zeros(0), (), update_block)
F, stress = np.tile(np.eye(3), (1, 1, 1)), np.zeros((1, 6))
law.update(F, F, 1.0, stress, np.zeros((1, 0)))
print(float(stress[0, 0]))
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the package, with a kernel cache of its own."""
    shutil.copytree(ROOT / "constitutive", tmp_path / "constitutive", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def start(checkout: Path) -> tuple[float, int]:
    """Shear stress and number of functions compiled by a fresh process."""
    stress, misses = run(checkout, PROGRAMME).split()
    return float(stress), int(misses)


def run(checkout: Path, programme: str, *arguments: str) -> str:
    """What a fresh process prints."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", programme, *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True).stdout


def test_edits_take_effect_and_a_second_start_is_served_from_the_cache(checkout):
    stress, misses = start(checkout)
    assert stress == pytest.approx(0.25) and misses > 0
    assert start(checkout) == (stress, 0)
    tensor = checkout / "constitutive" / "tensor.py"  # a callee of a callee, in a file that holds no kernel
    text = tensor.read_text()
    assert "t00 * F[3] + t01 * F[4] + t02 * F[5]" in text
    tensor.write_text(
        text.replace("t00 * F[3] + t01 * F[4] + t02 * F[5]", "2.0 * (t00 * F[3] + t01 * F[4] + t02 * F[5])")
    )
    assert start(checkout)[0] == pytest.approx(0.5)
    tensor.write_text(text)
    assert start(checkout) == (stress, 0)


@pytest.mark.parametrize("wrapped", [False, True])
def test_edits_of_a_third_partys_law_take_effect(checkout, wrapped):
    """Also where a callee is edited in a file of its own, which Numba's cache of the caller does not look at."""
    package = checkout / "theirs"
    package.mkdir()
    (package / "law.py").write_text(THEIR_POINT if wrapped else THEIR_BLOCK)
    callee, text = package / "callee.py", "from constitutive.jit import njit\n\n@njit\ndef f(x):\n    return {} * x\n"
    for factor in ("1.0", "2.0"):
        callee.write_text(text.format(factor))
        assert run(checkout, THEIRS).strip() == factor


def test_kernels_are_compiled_anew_where_there_is_no_place_to_keep_them(checkout):
    """Numba would keep them beside the sources, to be served after an edit, or find no place and fail."""
    (checkout / ".kernels").write_text("not a folder")
    assert run(checkout, PROGRAMME).split()[0] == "0.25"
    assert not list(checkout.rglob("*.nbi"))


def test_only_kernels_long_unused_are_removed(checkout):
    folder = checkout / ".kernels"
    theirs, unused = folder / "sixteen-letters.", folder / "0123456789abcdef"
    for path in (theirs, unused):
        path.mkdir(parents=True)
        os.utime(path, (0, 0))
    run(checkout, "import constitutive.jit")
    assert theirs.exists() and not unused.exists()


def test_siblings_from_one_factory_are_told_apart(checkout):
    """A law from the cache, then one that is compiled in the same process: Numba numbers both alike."""
    alone = [run(checkout, SIBLINGS, name) for name in ("elastic_steel", "copper_j2")]
    assert float(alone[0].split()[0]) == pytest.approx(0.01) and float(alone[1].split()[0]) < 0.008
    shutil.rmtree(checkout / ".kernels")
    run(checkout, SIBLINGS, "elastic_steel")
    both = run(checkout, SIBLINGS, "elastic_steel", "copper_j2")
    assert [line.split()[0] for line in both.splitlines()] == [text.split()[0] for text in alone]
    again = run(checkout, SIBLINGS, "elastic_steel", "copper_j2")
    assert [int(line.split()[1]) for line in again.splitlines()] == [0, 0]  # a state is no reason to compile again


def test_a_closure_needs_a_name():
    inner = 1.0
    with pytest.raises(ValueError, match=r"closes over \('inner',\): njit\(name=...\)"):
        njit(lambda x: x + inner)


def test_the_hash_sees_every_source(checkout):
    before = source_hash(checkout)
    (checkout / "fem").mkdir()
    (checkout / "fem" / "new.py").write_text("x = 1\n")
    assert source_hash(checkout) != before


def test_the_cache_has_a_place(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_folder(ROOT).parent == tmp_path / "mine"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert cache_folder(ROOT).parent == ROOT / ".kernels"
    assert tmp_path not in cache_folder(tmp_path).parents  # no source checkout: the user's own cache folder
