"""Grains of a periodic unit cell: Voronoi tessellation of random points on a torus (Fritzen et al. 2009).

A pixel belongs to the grain whose point is nearest, counted through the cell's periodic images.
"""

import numpy as np
from scipy.spatial import cKDTree


def periodic_voronoi(shape: tuple[int, ...], grains: int, seed: int) -> np.ndarray:
    """Grain numbers (shape), 0 to grains - 1, of the centres of a unit cell's pixels; the same for the same seed.

    shape has two or three entries. A grain whose points all lie nearer to others has no pixel: with few pixels a grain.
    """
    stream = np.random.SeedSequence(seed, spawn_key=(1,))  # not that of the orientations, which have the same seed
    points = np.random.default_rng(stream).random((grains, len(shape)))
    axes = [(np.arange(n) + 0.5) / n for n in shape]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return cKDTree(points, boxsize=1.0).query(centres)[1]
