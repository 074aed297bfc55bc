"""Slip and twin geometry, and the rates of a single crystal against the textbook equations written out in NumPy."""

import numpy as np
import pytest

from constitutive.crystal import Lattice, mirror, mirrored, misorientation
from constitutive.crystal_rates import EQUIVALENT, FIRST_SLIP, LANES, WORK, Crystal, make_scratch, rates
from constitutive.law import LawError
from constitutive.material import load_material
from constitutive.taylor import lattice_of, slip_table, twin_table
from constitutive.tensor import full, random_rotations, symmetric

MAGNESIUM = Lattice("hcp", 1.6235)
TWIN = ((1, 0, -1, 2), (-1, 0, 1, 1))


@pytest.mark.parametrize(
    ("lattice", "plane", "direction", "count"),
    [
        (MAGNESIUM, (0, 0, 0, 1), (1, 1, -2, 0), 3),
        (MAGNESIUM, (1, 0, -1, 0), (-1, 2, -1, 0), 3),
        (MAGNESIUM, (1, 1, -2, 2), (1, 1, -2, -3), 6),
        (MAGNESIUM, (1, 0, -1, 1), (-1, 2, -1, 0), 6),
        (Lattice("cubic"), (1, 1, 1), (1, -1, 0), 12),
        (Lattice("cubic"), (1, 1, 0), (1, -1, 1), 12),
        (Lattice("cubic"), (1, 1, 2), (1, 1, -1), 12),
    ],
)
def test_slip_families(lattice, plane, direction, count):
    systems = lattice.family(plane, direction)
    assert len(systems.s) == count
    np.testing.assert_allclose(np.linalg.norm(systems.s, axis=1), 1.0)
    np.testing.assert_allclose(np.linalg.norm(systems.m, axis=1), 1.0)
    np.testing.assert_allclose(np.sum(systems.s * systems.m, axis=1), 0.0, atol=1e-12)
    products = np.abs(np.einsum("aij,bij->ab", systems.schmid, systems.schmid)) - np.eye(count)
    assert products.max() < 0.999  # no system twice


def test_tensile_twin():
    """{10-12}<-1011>: shear |(c/a)^2 - 3| / (sqrt(3) c/a) = 0.1295, Schmid factor of the c axis 0.499, 86.3 degrees."""
    twins = MAGNESIUM.family(*TWIN, polar=True)
    assert len(twins.s) == 6
    np.testing.assert_allclose(twins.s[:, 2] * twins.m[:, 2], 0.499, atol=5e-4)
    assert abs((3 - 1.6235**2) / (np.sqrt(3) * 1.6235) - 0.1295) < 1e-4
    for m in twins.m:
        assert np.degrees(misorientation(MAGNESIUM, -mirror(m))) == pytest.approx(86.3, abs=0.05)


def test_twin_shear_restores_the_lattice():
    """The shear of 0.1295 followed by the mirror carries a superlattice onto itself: the definition of a twin."""
    twins = MAGNESIUM.family(*TWIN, polar=True)
    shear = (3 - 1.6235**2) / (np.sqrt(3) * 1.6235)
    k = int(np.argmax(twins.m @ MAGNESIUM.normal(TWIN[0])))
    deformation = mirror(twins.m[k]) @ (np.eye(3) + shear * np.outer(twins.s[k], twins.m[k]))
    cell = np.column_stack([(0, 1, 0), (-2, -1, 1), (4, 0, 0)])  # two lattice vectors in the twin plane, one out of it
    indices = np.linalg.solve(MAGNESIUM.axes, deformation @ MAGNESIUM.axes @ cell)
    np.testing.assert_allclose(indices, np.round(indices), atol=1e-9)


def test_mirrored_systems_lie_in_the_mirrored_lattice():
    slip, twin = MAGNESIUM.family((0, 0, 0, 1), (1, 1, -2, 0)), MAGNESIUM.family(*TWIN, polar=True)
    for b, Q in enumerate(mirror(twin.m)):
        for a in range(len(slip.s)):
            expected = np.outer(Q @ slip.s[a], Q @ slip.m[a])
            np.testing.assert_allclose(mirrored(slip, twin)[b, a], expected, atol=1e-14)


@pytest.mark.parametrize(
    ("plane", "direction", "message"),
    [
        ((1, 0, 0), (0, 0, 0, 1), "4 indices"),
        ((1, 0, 0, 0), (0, 0, 0, 1), "do not sum to 0"),
        ((0, 0, 0, 1), (0, 0, 0, 1), "does not lie"),
        ((0, 0, 0, 0), (0, 0, 0, 1), "all zero"),
    ],
)
def test_wrong_indices(plane, direction, message):
    with pytest.raises(LawError, match=message):
        MAGNESIUM.family(plane, direction)


def test_wrong_lattice():
    with pytest.raises(LawError, match="cubic, hcp"):
        Lattice("fcc")


def textbook_rates(values, P, C, e, fraction, limit):
    """L_in, e', lambda' of one grain as printed (paper, A.6-A.13), with loops; P = F_in^-1 R."""
    lattice, G = lattice_of(values), values["shear_modulus"]
    Ce = P.T @ C @ P
    M = G * (Ce - np.trace(Ce) / 3.0 * np.eye(3))
    twins = [(t, *sm) for t in values["twin"] for sm in zip(*_systems(lattice, t, True), strict=True)]
    slips = [(t, *sm) for t in values["slip"] for sm in zip(*_systems(lattice, t, False), strict=True)]
    L, e_dot, fraction_dot = np.zeros((3, 3)), [], []
    for b, (t, s, m) in enumerate(twins):
        f = t["shear"] * s @ M @ m - t["h"] * fraction[b] - t["k_ij"] * (fraction.sum() - fraction[b])
        rate = np.sign(f) * t["gamma_dot_0"] * (abs(f) / t["tau_0"]) ** (1.0 / t["m"])
        fraction_dot.append(max(rate, -limit * fraction[b]))
        L += t["shear"] * fraction_dot[b] * np.outer(s, m)
    for a, (t, s, m) in enumerate(slips):
        N = (1.0 - fraction.sum()) * np.outer(s, m)
        for b, (_, _, n) in enumerate(twins):
            Q = np.eye(3) - 2.0 * np.outer(n, n)
            N += fraction[b] * np.outer(Q @ s, Q @ m)
        tau = np.sum(M * N)
        g = t["h_ij"] * (e.sum() - e[a]) + t["sigma_inf"] * (1.0 - np.exp(-t["h"] * e[a] / t["sigma_inf"]))
        e_dot.append(t["gamma_dot_0"] * (max(abs(tau) - g, 0.0) / t["tau_0"]) ** (1.0 / t["m"]))
        L += e_dot[a] * np.sign(tau) * N
    return L, np.array(e_dot), np.array(fraction_dot), np.sum(M * L)


def _systems(lattice, family, polar):
    systems = lattice.family(family["plane"], family["direction"], polar)
    return systems.s, systems.m


@pytest.mark.parametrize("twinned", [0.0, 0.1])
@pytest.mark.parametrize("m", [0.5, 1.0, 0.3])
def test_rates_against_the_textbook(twinned, m):
    overrides = {f"{kind}.{i}.m": m for kind, n in (("slip", 3), ("twin", 1)) for i in range(n)}
    values = load_material("magnesium_liu2022", "crystal", overrides).values
    slip, _ = slip_table(values, lattice_of(values))
    twin = twin_table(values, lattice_of(values))
    rng = np.random.default_rng(1)
    y = np.zeros((FIRST_SLIP + 18, LANES))
    P = random_rotations(rng, LANES)
    y[:9], y[FIRST_SLIP : FIRST_SLIP + 12] = P.reshape(LANES, 9).T, 1e-3 * rng.random((12, LANES))
    y[FIRST_SLIP + 12 :] = twinned * rng.random((6, LANES))
    C, f, limit = full([1.01, 0.99, 1.002, 0.01, -0.004, 0.006]), np.zeros_like(y), 1e8
    crystal = Crystal(values["shear_modulus"], 12, 6, slip.ravel(), twin.ravel(), np.zeros(144))
    rates(LANES, crystal, np.repeat(symmetric(C), LANES), y.ravel(), limit, y.ravel(), f.ravel(), make_scratch(12, 6))
    for g in range(LANES):
        e, fraction = y[FIRST_SLIP : FIRST_SLIP + 12, g], y[FIRST_SLIP + 12 :, g]
        L, e_dot, fraction_dot, power = textbook_rates(values, P[g], C, e, fraction, limit)
        growth = np.maximum(fraction_dot, 0.0)
        if growth.sum() > limit * (1.0 - fraction.sum()):
            continue  # the limit on growth is tested by the saturation of twinning
        scale = np.abs(L).max()
        np.testing.assert_allclose(f[FIRST_SLIP : FIRST_SLIP + 12, g], e_dot, rtol=1e-8, atol=1e-10 * scale)
        np.testing.assert_allclose(f[FIRST_SLIP + 12 :, g], fraction_dot, rtol=1e-8, atol=1e-10 * scale)
        np.testing.assert_allclose(f[:9, g], -(P[g] @ L).ravel(), rtol=1e-8, atol=1e-9 * scale)
        assert f[WORK, g] == pytest.approx(power, rel=1e-8)
        assert f[EQUIVALENT, g] == pytest.approx(np.sqrt(np.sum((L + L.T) ** 2) / 6.0), rel=1e-8)
