"""PyTorch, for commands that train; where it is not installed they end with a line that says what to do."""

import sys

try:
    import torch
except ImportError as missing:
    print(f"error: PyTorch is needed here ({missing}): python -m pip install -e '.[train]'", file=sys.stderr)
    sys.exit(2)

__all__ = ["torch"]
