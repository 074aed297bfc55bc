"""Commands that train, where PyTorch is not installed."""

import subprocess
import sys

import pytest

WITHOUT_TORCH = "import runpy, sys; sys.modules['torch'] = None; runpy.run_module(sys.argv.pop(1), run_name='__main__')"


@pytest.mark.parametrize("command", ["train", "study", "uniform_texture"])
def test_one_line_says_what_to_install(command):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, f"learning.{command}", "--help"], capture_output=True, text=True
    )
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr.startswith("error: PyTorch is needed") and ended.stderr.count("\n") == 1
    assert "pip install -e '.[train]'" in ended.stderr
