"""A recurrent surrogate of the unit cell: its stress itself, by an elastic trial and a learned relaxation.

    A = U N,   dev sigma = G J^-1 dev(A A^T),   (tr sigma)/3 = 2 lambda_e (J - 1)

In the cell no mean metric N N^T exists that gives the stress for every F (the pixels' F differ), but at any instant one
metric does: five numbers stand for the five of the deviator. So N is here the stress in other words, and the network of
the law `recurrent` (learning/networks.py) learns it as it is: pushed forward by U without error (the elastic trial),
then relaxed towards a learned target at a learned rate. It is causal, starts free of stress, and elastic at first.

The paper's cell takes 1 s and bears elastic strains of 0.1: time is counted in millionths of the duration, which the
rates of that network are made for, and its elastic strain in the root mean square of the data.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from constitutive.tensor import full, symmetric
from learning.networks import InternalVariableNetwork, norm_squared
from learning.train_recurrent import Paths, RecurrentTraining, load_paths

TYPICAL_DURATION = 1e-6  # s, of the paths that the network's rates are scaled for


class CellStressTraining(RecurrentTraining):
    """Training on a data set of a unit cell; see the head of this file."""

    kind = "cell_stress"

    @classmethod
    def begin(cls, options: argparse.Namespace) -> "CellStressTraining":
        paths, source = load_paths(options, options.data, options.paths)
        source["duration"] = float(paths.dt[:, 0].sum())
        test = load_paths(options, options.test)[0] if options.test else None
        return cls(options, paths, test, source)

    def __init__(self, options: argparse.Namespace, paths: Paths, test: Paths | None, source: Mapping[str, Any]):
        unit = TYPICAL_DURATION / source["duration"]
        paths, test = replace(paths, dt=paths.dt * unit), None if test is None else replace(test, dt=test.dt * unit)
        super().__init__(options, paths, test, source)
        self.unit = unit

    def build(self, options: argparse.Namespace, paths: Paths) -> InternalVariableNetwork:
        network = super().build(options, paths)
        network.rescale(float(norm_squared(paths.S).mean().sqrt()))
        return network

    @torch.no_grad()
    def predict(self, time: np.ndarray, U: np.ndarray) -> np.ndarray:
        """Cauchy stress (n, m+1, 6), Pa, along stretches U (n, m+1, 6) at times (n, m+1) s."""
        elastic, J = self.source["elastic"], np.linalg.det(full(U))
        mean = 2.0 * elastic["lambda_e"] * (J - 1.0)
        stress = mean[..., None] * symmetric(np.eye(3))
        steps = torch.tensor(np.diff(time, axis=1).T * self.unit, dtype=torch.float32)
        isochoric = torch.tensor(np.moveaxis(U / np.cbrt(J)[..., None], 0, 2), dtype=torch.float32)
        S = self.network.rollout(isochoric, steps).double().numpy() / J.T[1:, None]
        stress[:, 1:] += elastic["shear_modulus"] * np.moveaxis(S, 2, 0)
        return stress
