"""A network of the law `recurrent` that begins with the answer of an artefact of the same sizes or smaller ones.

What the artefact has goes to its places among the rows and columns of the larger network; the rest begins at random.
What was there before does not hear yet what is new, so the answer is the artefact's until training changes it.
"""

from pathlib import Path

import numpy as np
import torch
from numpy import arange

from cases.options import OptionError
from constitutive.artefact import load_artefact
from constitutive.recurrent import SIZES
from learning.networks import InternalVariableNetwork
from learning.rollout import Sizes

# What the rows and columns of each array are, see `places`.
AXES = {
    "mix_bias": ("channels", "components"),
    "mix_weight": ("channels", "told"),
    "first_bias": ("units",),
    "first_weight": ("units", "inputs"),
    "second_bias": ("units",),
    "second_weight": ("units", "units"),
    "last_bias": ("outputs",),
    "last_weight": ("outputs", "units"),
    "out_weight": ("targets", "parts"),
    "by_flow": ("memories",),
    "by_rate": ("memories",),
    "drive": ("tensors",),
}
LEARNED = {"by_flow": "log_by_flow", "by_rate": "log_by_rate"}  # arrays whose logarithm is learned


def places(small: Sizes, large: Sizes) -> dict[str, np.ndarray]:
    """Where the rows and columns of a network of `small` sizes are in one of `large` sizes, by what they are."""
    K, S, J, W = small
    scalars, channels = arange(S), arange(J)
    pairs = np.concatenate([channels, large.channels + channels])
    memories = np.concatenate([arange(K), large.tensors + scalars])
    behind = 2 * large.channels
    return {
        "channels": channels,
        "components": arange(5),
        "told": arange(2 + K),  # e_m, shape, memories
        "units": arange(W),
        "inputs": np.concatenate([pairs, behind + scalars, [behind + large.scalars]]),  # |v|, det v, s, |e_m|
        "outputs": np.concatenate([[0], 1 + pairs, 1 + behind + scalars, 1 + behind + large.scalars + memories]),
        "targets": arange(1 + K),
        "parts": pairs,
        "memories": memories,
        "tensors": arange(K),
    }


@torch.no_grad()
def begin_with(network: InternalVariableNetwork, path: str | Path) -> None:
    """Take an artefact's weights. A texture that it lacks begins at random. Raises LawError, OptionError."""
    artefact = load_artefact(path, "recurrent")
    small = Sizes(*(int(artefact.entry("sizes", name)) for name in SIZES))
    if any(there > here for there, here in zip(small, network.sizes, strict=True)):
        raise OptionError(f"{path}: its sizes are {small._asdict()}; give none that is smaller")
    found = places(small, network.sizes)
    for name, like in InternalVariableNetwork(small).weights().items():
        stored = artefact.array(name, *like.shape)
        if name == "mix_bias" and (not network.texture or not stored.any()):
            continue
        layer, _, part = name.rpartition("_")
        owner = getattr(network, layer) if layer in ("first", "second", "last") else network
        learned = getattr(owner, part if owner is not network else LEARNED.get(name, name))
        where = [torch.from_numpy(found[axis]) for axis in AXES[name]]
        learned[where[0]] = 0.0
        learned[torch.meshgrid(*where, indexing="ij")] = torch.tensor(
            np.log(stored) if name in LEARNED else stored, dtype=learned.dtype
        )
