"""Finite differences, Green operator and tessellation of the periodic cell against their definitions."""

import numpy as np
import pytest

from constitutive.periodic_grid import PeriodicGrid, divergence, gradient
from constitutive.tensor import random_rotations
from constitutive.voronoi import periodic_voronoi


def gradient_of(w):
    H = np.empty((len(w), *w.shape))
    gradient(w, H)
    return H


def divergence_of(S):
    R = np.empty(S.shape[1:])
    divergence(S, R)
    return R


@pytest.mark.parametrize(("dimension", "points"), [(2, 8), (3, 4), (3, 6)])
def test_gradient_is_second_order_and_divergence_its_adjoint(dimension, points):
    rng = np.random.default_rng(1)
    grid = PeriodicGrid(dimension, points)
    w = rng.normal(size=(dimension, *grid.shape))
    S = rng.normal(size=(dimension, dimension, *grid.shape))
    assert np.vdot(S, gradient_of(w)) == pytest.approx(np.vdot(divergence_of(S), w), rel=1e-12)
    errors = []
    for n in (16, 32):
        nodes = [2.0 * np.pi * np.arange(n) / n] * dimension
        if dimension == 2:
            nodes = [np.zeros(1), *nodes]
        k = np.array([1, 2, -1])  # x, y, z
        axes = np.meshgrid(*nodes, indexing="ij")[::-1]
        phase = sum(k[j] * axes[j] for j in range(dimension))
        centre = phase + np.pi / n * k[:dimension].sum()
        H = gradient_of(np.array([np.sin(phase)] * dimension)) / (2.0 * np.pi / n)
        errors.append(max(np.abs(H[0, j] - k[j] * np.cos(centre)).max() for j in range(dimension)))
    assert np.log2(errors[0] / errors[1]) > 1.9


@pytest.mark.parametrize(("dimension", "points"), [(2, 16), (2, 9), (3, 6)])
def test_green_operator_inverts_a_homogeneous_medium(dimension, points):
    """A w with A = Div [shear C dw.C^-1 + bulk tr(dw) I], then -A^-1 of it: -w, but for its mean and hourglasses."""
    rng = np.random.default_rng(2)
    grid, shear, bulk = PeriodicGrid(dimension, points), 3.0, 11.0
    F = random_rotations(rng, 1)[0] @ np.diag([1.3, 0.8, 1.0])
    F[2, :2] = F[:2, 2] = 0.0
    if dimension == 3:
        F += 0.1 * rng.normal(size=(3, 3))
    F[2, 2] = 1.0
    C = F.T @ F
    w = gradient_of(divergence_of(gradient_of(rng.normal(size=(dimension, *grid.shape)))))[:, 0]  # smooth enough
    w = divergence_of(gradient_of(w))  # no mean, no hourglass
    H, inner = gradient_of(w), C[:dimension, :dimension]
    S = shear * np.einsum("ik,kl...,lj->ij...", inner, H, np.linalg.inv(inner))
    S += bulk * np.einsum("kk...,ij->ij...", H, np.eye(dimension))
    g, _ = grid.correction(divergence_of(S), np.linalg.inv(C), shear, bulk)
    np.testing.assert_allclose(g, -w, atol=1e-11 * np.abs(w).max())


@pytest.mark.parametrize("points", [8, 9, 44, 88])
def test_residual_is_the_unbalanced_part_of_the_stress(points):
    """A gradient is all unbalanced, a curl is balanced: P = grad w + curl has the residual |grad w|."""
    rng = np.random.default_rng(3)
    grid = PeriodicGrid(2, points)
    H = gradient_of(divergence_of(gradient_of(rng.normal(size=(2, *grid.shape)))))
    curl = gradient_of(rng.normal(size=(2, *grid.shape)))[:, ::-1] * np.array([1.0, -1.0])[:, None, None, None]
    _, residual = grid.correction(divergence_of(H + curl + 7.0), np.eye(3), 1.0, 1.0)
    assert residual == pytest.approx(np.sqrt((H**2).sum() / grid.size), rel=1e-10)


@pytest.mark.parametrize("shape", [(16, 16), (8, 8, 8)])
def test_voronoi_is_the_nearest_periodic_image(shape):
    grains = 7
    labels = periodic_voronoi(shape, grains, 5)
    points = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(1,))).random((grains, len(shape)))
    centres = np.moveaxis((np.indices(shape) + 0.5) / shape[0], 0, -1)
    distance = np.abs(centres[..., None, :] - points)
    distance = np.linalg.norm(np.minimum(distance, 1.0 - distance), axis=-1)
    assert np.array_equal(labels, distance.argmin(axis=-1))
    assert set(labels.ravel()) == set(range(grains))
    assert not np.array_equal(labels, periodic_voronoi(shape, grains, 6))
