"""`hex8r`: the uniform-gradient hexahedron with hourglass control, total Lagrangian (Flanagan & Belytschko 1981).

F        = I + sum_I (u_I - u_0) (x) B_I                    B_I: volume-averaged dN_I/dX
f_I      = V0 P B_I + sum_alpha (k g_alpha gamma_alphaI + a d_alpha c_alphaI)            P = (sigma - p_v I) cof F
g_alpha  = sum_I gamma_alphaI u_I                           gamma_alphaI = h_alphaI - X_alpha . B_I
d_alpha  = sum_I c_alphaI v_I                               c_alphaI = gamma_alphaI - F^-1 g_alpha . B_I
a        = viscous coefficient * rho c L0^2 / 4             L0 = V0^(1/3), c P-wave speed
k        = stiffness coefficient * G L0 / 12                1 would be the full elastic hourglass stiffness of a cube
p_v      = rho (b1 c L (-d) + (b2 L d)^2 [d < 0])           bulk viscosity, d = tr D, L = 2 c / omega the current length
omega^2 <= 8 / rho0 (lambda tr Gh + 2 G max_eig Gh)         Gh = F^-T (sum_I B_I (x) B_I) F^-1
dt      <= 2 / omega (sqrt(1 + xi^2) - xi)                  stress: xi = xi_v + s e / omega
xi_v     = (b1 + b2^2 L / c max(-d, 0)) 8 c^2 tr Gh / omega^2
dt      <= 2 / (e + sqrt(e^2 + 64 k / (rho0 L0^3)))         hourglass patterns: e = 32 a (1 + s) / (rho0 L0^3)
s^2      = sum_alphaI (F^-1 g_alpha . B_I)^2 / 8            what bending adds to the patterns that are damped

h_alpha are the four hourglass patterns, X_alpha = sum_I h_alphaI X_I. The gammas see no affine motion; the c_alpha are
the same vectors for the current shape, with x for X: they see no rigid motion of a bent element either. So damping
takes no spin, and the stiffness, which has the energy k g^2 / 2, turns along.

Differences u_I - u_0 make a translating element see F = I to the last bit. The largest eigenvalue is bounded by
m + sqrt(2) s, m and s the mean and deviation of the three (Wolkowicz & Styan 1980): exact for cubes and for flat
elements. Work is summed by the trapezoidal rule, the exact conjugate of central differences.

The last factor of xi_v, 1 to 3, is what bulk viscosity damps a change of volume more than the modulus c^2 rho would
have it: in the breathing mode of a cube with nu = 0 it is 3.

What the bounds hold for: omega counts the unstrained material's moduli in the element's current shape and no stress.
It is rigorous for a free element without stress, and holds while elastic strains are small (metals), however large the
plastic ones are. Large elastic strains exceed it: neo-Hookean with nu = 0.3 by 1 % at J = 1.05, 7 % at J = 1.1, 50 to
60 % at J = 1.5, 6 % at a stretch of 1.05 between held sides, 1 % at a shear of 0.5; at constant volume by 3, 17, 48 %
where flattened to 0.6, 0.4, 0.2, and 13 % where drawn to 2; not where the volume is compressed as much. Give rubber a
smaller `safety`. The bound of hourglass patterns is exact for boxes; in distorted elements they are up to a fifth
stiffer (MacNeal & Harder's).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import prange, types

from constitutive.jit import inline, njit
from constitutive.law import BLOCK, UPDATE_BLOCK, Law, load_symmetric, load_tensor
from constitutive.tensor import adjugate, norm_squared, push_forward, transpose
from fem.blocks import element_blocks
from fem.clock import seconds
from fem.contact import RigidBody
from fem.elements import Controls, Elements
from fem.gather_scatter import gather, scatter
from fem.hex8 import HOURGLASS, mean_gradient
from fem.mesh import Mesh

N = BLOCK
# Offsets into the scratch memory of a block, in doubles.
_U, _V, _F, _OLD, _PV, _WORK = 0, 24 * N, 48 * N, 57 * N, 63 * N, 72 * N
_FORCE = 75 * N
_SCRATCH = 99 * N
_BENT = _U  # in place of the displacements


@inline
def contract(A, B):
    """A : B of 9-tuples."""
    return (A[0] * B[0] + A[1] * B[1] + A[2] * B[2] + A[3] * B[3] + A[4] * B[4] + A[5] * B[5] + A[6] * B[6]
            + A[7] * B[7] + A[8] * B[8])  # fmt: skip


@inline
def symmetric_times(S, A):
    """S A of a symmetric 6-tuple and a 9-tuple."""
    return (
        S[0] * A[0] + S[3] * A[3] + S[5] * A[6], S[0] * A[1] + S[3] * A[4] + S[5] * A[7],
        S[0] * A[2] + S[3] * A[5] + S[5] * A[8], S[3] * A[0] + S[1] * A[3] + S[4] * A[6],
        S[3] * A[1] + S[1] * A[4] + S[4] * A[7], S[3] * A[2] + S[1] * A[5] + S[4] * A[8],
        S[5] * A[0] + S[4] * A[3] + S[2] * A[6], S[5] * A[1] + S[4] * A[4] + S[2] * A[7],
        S[5] * A[2] + S[4] * A[5] + S[2] * A[8],
    )  # fmt: skip


@inline
def load_vector(w, at):
    return (w[at], w[at + N], w[at + 2 * N])


@inline
def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inline
def times(A, a):
    """A a of a 9-tuple and a 3-tuple."""
    return (
        A[0] * a[0] + A[1] * a[1] + A[2] * a[2],
        A[3] * a[0] + A[4] * a[1] + A[5] * a[2],
        A[6] * a[0] + A[7] * a[1] + A[8] * a[2],
    )


@inline
def squared_frequency(density, p_wave_modulus, shear_modulus, cofactor, inverse_J, metric):
    """Bound on the highest squared frequency of a uniform-gradient element, from sum_I B_I (x) B_I in `metric`.

    Second, the squared frequency of a fluid of the same P-wave modulus: 8 c^2 tr Gh.
    """
    G = push_forward(cofactor, metric)
    scale = inverse_J * inverse_J
    trace = (G[0] + G[1] + G[2]) * scale
    mean = trace / 3.0
    spread = max(norm_squared(G) * scale * scale / 3.0 - mean * mean, 0.0)
    largest = mean + np.sqrt(2.0 * spread)
    lame = max(p_wave_modulus - 2.0 * shear_modulus, 0.0)
    return 8.0 / density * (lame * trace + 2.0 * shear_modulus * largest), 8.0 / density * p_wave_modulus * trace


@njit
def _deform(B, w):
    """F = I + sum_I (u_I - u_0) (x) B_I."""
    for i in range(3):
        for j in range(3):
            unit = 1.0 if i == j else 0.0
            for p in range(N):
                total = unit
                for corner in range(1, 8):
                    total += w[_U + (3 * corner + i) * N + p] * B[(3 * corner + j) * N + p]
                w[_F + (3 * i + j) * N + p] = total


@njit
def _stress_forces(numbers, dt, B, volume, length, F_old, stress, pressure, limit, w):
    """V0 P, work of stress and bulk viscosity, stable step; reads the old stress from scratch."""
    density, modulus, shear, b1, b2 = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    c, per_dt = np.sqrt(modulus / density), 1.0 / dt
    damping, stiffness = 8.0 * numbers[5] * c, 16.0 / 3.0 * numbers[6] * shear / density  # times L0, L0^2
    for p in range(N):
        F, old = load_tensor(w, _F + p), load_tensor(F_old, p)
        adjF, adj_old = adjugate(F), adjugate(old)
        cof, cof_old = transpose(adjF), transpose(adj_old)
        J = F[0] * adjF[0] + F[1] * adjF[3] + F[2] * adjF[6]
        dF = (F[0] - old[0], F[1] - old[1], F[2] - old[2], F[3] - old[3], F[4] - old[4], F[5] - old[5],
              F[6] - old[6], F[7] - old[7], F[8] - old[8])  # fmt: skip
        m0 = m1 = m2 = m3 = m4 = m5 = 0.0
        for corner in range(8):
            x, y, z = B[3 * corner * N + p], B[(3 * corner + 1) * N + p], B[(3 * corner + 2) * N + p]
            m0 += x * x
            m1 += y * y
            m2 += z * z
            m3 += x * y
            m4 += y * z
            m5 += x * z
        per_J = 1.0 / J
        omega2, fluid2 = squared_frequency(density, modulus, shear, cof, per_J, (m0, m1, m2, m3, m4, m5))
        period = 1.0 / max(np.sqrt(omega2), 1e-300)
        L = 2.0 * c * period if volume[p] > 0.0 else 0.0
        growth = contract(cof, dF)
        d = growth * per_J * per_dt
        squeeze = max(-d, 0.0)
        p_v = density * per_J * (-b1 * c * L * d + (b2 * L * squeeze) * (b2 * L * squeeze))
        bend2 = 0.0
        for alpha in range(4):
            x, y, z = load_vector(w, _BENT + 3 * alpha * N + p)
            bend2 += x * (m0 * x + 2.0 * (m3 * y + m5 * z)) + y * (m1 * y + 2.0 * m4 * z) + m2 * z * z
        s = np.sqrt(max(0.125 * bend2, 0.0))
        xi = (b1 + b2 * b2 / c * L * squeeze) * fluid2 * period * period
        limit[p] = period
        if volume[p] > 0.0:
            e = damping * (1.0 + s)
            xi += s * e * period / length[p]
            hourglass = 2.0 * length[p] / max(e + np.sqrt(e * e + stiffness), 1e-300)
            limit[p] = min(2.0 * (np.sqrt(1.0 + xi * xi) - xi) * period, hourglass)
        sigma = load_symmetric(stress, p)
        V = volume[p]
        P = symmetric_times(sigma, cof)
        P_old = symmetric_times(load_symmetric(w, _OLD + p), cof_old)
        w[_WORK + p] = 0.5 * V * (contract(P, dF) + contract(P_old, dF))
        w[_WORK + N + p] = -0.5 * V * (p_v * growth + pressure[p] * contract(cof_old, dF))
        pressure[p] = p_v
        for k in range(9):
            w[_PV + k * N + p] = V * (P[k] - p_v * cof[k])


@inline
def patterns(w, at):
    """sum_I h_alphaI x_I of the four patterns; w[at:] holds a component of x at all corners, zero at the first."""
    x1, x2, x3, x4 = w[at + 3 * N], w[at + 6 * N], w[at + 9 * N], w[at + 12 * N]
    x5, x6, x7 = w[at + 15 * N], w[at + 18 * N], w[at + 21 * N]
    return (
        x1 - x2 - x3 - x4 - x5 + x6 + x7,
        -x1 - x2 + x3 - x4 + x5 + x6 - x7,
        -x1 + x2 - x3 + x4 - x5 + x6 - x7,
        x1 - x2 + x3 + x4 - x5 + x6 - x7,
    )


@inline
def _store_bend(w, at, hu, X, F, adj, per_J):
    """F^-1 g, g = h . u - (F - I) X, of a pattern."""
    x = times(F, X)
    bent = times(adj, (hu[0] - (x[0] - X[0]), hu[1] - (x[1] - X[1]), hu[2] - (x[2] - X[2])))
    w[at], w[at + N], w[at + 2 * N] = per_J * bent[0], per_J * bent[1], per_J * bent[2]


@njit
def _bend(X, w):
    """Replace the displacements in scratch by F^-1 g_alpha (3 alpha + component)."""
    for p in range(N):
        F = load_tensor(w, _F + p)
        adj = adjugate(F)
        per_J = 1.0 / (F[0] * adj[0] + F[1] * adj[3] + F[2] * adj[6])
        x, y, z = patterns(w, _U + p), patterns(w, _U + N + p), patterns(w, _U + 2 * N + p)
        _store_bend(w, _BENT + p, (x[0], y[0], z[0]), load_vector(X, p), F, adj, per_J)
        _store_bend(w, _BENT + 3 * N + p, (x[1], y[1], z[1]), load_vector(X, 3 * N + p), F, adj, per_J)
        _store_bend(w, _BENT + 6 * N + p, (x[2], y[2], z[2]), load_vector(X, 6 * N + p), F, adj, per_J)
        _store_bend(w, _BENT + 9 * N + p, (x[3], y[3], z[3]), load_vector(X, 9 * N + p), F, adj, per_J)


@njit
def _nodal_forces(viscous, stiff, dt, B, X, length, F_old, before, w):
    """Element forces of stress and hourglass control; work of the latter.

    Of pattern alpha: X X_alpha, Z F^-1 g_alpha, r a d_alpha, q a d_alpha + k g_alpha; R what all take from V0 P.
    before: the q (4 component + alpha) and, from 12 N, the R (9) of the last step.
    """
    for p in range(N):
        w[_WORK + 2 * N + p] = 0.0
    for i in range(3):
        for p in range(N):
            row = 3 * i * N + p
            P, F, old = load_vector(w, _PV + row), load_vector(w, _F + row), load_vector(F_old, row)
            D = (F[0] - old[0], F[1] - old[1], F[2] - old[2])
            h = patterns(w, _V + i * N + p)
            h0, h1, h2, h3 = dt * h[0], dt * h[1], dt * h[2], dt * h[3]
            X0, X1 = load_vector(X, p), load_vector(X, 3 * N + p)
            X2, X3 = load_vector(X, 6 * N + p), load_vector(X, 9 * N + p)
            Z0, Z1 = load_vector(w, _BENT + p), load_vector(w, _BENT + 3 * N + p)
            Z2, Z3 = load_vector(w, _BENT + 6 * N + p), load_vector(w, _BENT + 9 * N + p)
            a, k = viscous * length[p] * length[p] / dt, stiff * length[p]
            r0 = a * (h0 - dot(X0, D) - dot(Z0, D))
            r1 = a * (h1 - dot(X1, D) - dot(Z1, D))
            r2 = a * (h2 - dot(X2, D) - dot(Z2, D))
            r3 = a * (h3 - dot(X3, D) - dot(Z3, D))
            q0, q1, q2, q3 = r0 + k * dot(F, Z0), r1 + k * dot(F, Z1), r2 + k * dot(F, Z2), r3 + k * dot(F, Z3)
            R = (
                q0 * X0[0] + q1 * X1[0] + q2 * X2[0] + q3 * X3[0] + r0 * Z0[0] + r1 * Z1[0] + r2 * Z2[0] + r3 * Z3[0],
                q0 * X0[1] + q1 * X1[1] + q2 * X2[1] + q3 * X3[1] + r0 * Z0[1] + r1 * Z1[1] + r2 * Z2[1] + r3 * Z3[1],
                q0 * X0[2] + q1 * X1[2] + q2 * X2[2] + q3 * X3[2] + r0 * Z0[2] + r1 * Z1[2] + r2 * Z2[2] + r3 * Z3[2],
            )
            last, taken = 4 * i * N + p, 12 * N + row
            w[_WORK + 2 * N + p] += 0.5 * (
                (q0 + before[last]) * h0 + (q1 + before[last + N]) * h1
                + (q2 + before[last + 2 * N]) * h2 + (q3 + before[last + 3 * N]) * h3
                - (R[0] + before[taken]) * D[0] - (R[1] + before[taken + N]) * D[1]
                - (R[2] + before[taken + 2 * N]) * D[2]
            )  # fmt: skip
            before[last], before[last + N], before[last + 2 * N], before[last + 3 * N] = q0, q1, q2, q3
            before[taken], before[taken + N], before[taken + 2 * N] = R[0], R[1], R[2]
            P0, P1, P2 = P[0] - R[0], P[1] - R[1], P[2] - R[2]
            s2, s3 = q1 - q2, q1 + q2
            f = _FORCE + i * N + p
            w[f] = P0 * B[p] + P1 * B[N + p] + P2 * B[2 * N + p] + (q0 + s3 - q3)
            w[f + 3 * N] = P0 * B[3 * N + p] + P1 * B[4 * N + p] + P2 * B[5 * N + p] + (q0 - s3 + q3)
            w[f + 6 * N] = P0 * B[6 * N + p] + P1 * B[7 * N + p] + P2 * B[8 * N + p] + (-q0 - s2 - q3)
            w[f + 9 * N] = P0 * B[9 * N + p] + P1 * B[10 * N + p] + P2 * B[11 * N + p] + (-q0 + s2 + q3)
            w[f + 12 * N] = P0 * B[12 * N + p] + P1 * B[13 * N + p] + P2 * B[14 * N + p] + (-q0 - s2 + q3)
            w[f + 15 * N] = P0 * B[15 * N + p] + P1 * B[16 * N + p] + P2 * B[17 * N + p] + (-q0 + s2 - q3)
            w[f + 18 * N] = P0 * B[18 * N + p] + P1 * B[19 * N + p] + P2 * B[20 * N + p] + (q0 + s3 + q3)
            w[f + 21 * N] = P0 * B[21 * N + p] + P1 * B[22 * N + p] + P2 * B[23 * N + p] + (q0 - s3 - q3)


def _forces(update_block, params, numbers, dt, order, displacement, velocity, block_start, block_nodes, corners, B, X,
            volume, length, F, stress,
            state, pressure, hourglass, force, limit, work, times, status):  # fmt: skip
    """One pass over all blocks: deform, ask the law, give element forces; block by block in fast memory."""
    c = np.sqrt(numbers[1] / numbers[0])
    viscous, stiff = numbers[5] * numbers[0] * c / 4.0, numbers[6] * numbers[2] / 12.0
    for k in prange(len(order)):
        b = order[k]
        begin = seconds()
        w = np.empty(_SCRATCH)
        gather(block_start[b], block_nodes, corners[b], N, displacement, velocity, w)
        _deform(B[b], w)
        w[_OLD : _OLD + 6 * N] = stress[b]
        start = seconds()
        status[b, N] = update_block(params, F[b], w[_F : _F + 9 * N], dt, stress[b], state[b], status[b, :N])
        times[b, 0] += seconds() - start
        _bend(X[b], w)
        _stress_forces(numbers, dt, B[b], volume[b], length[b], F[b], stress[b], pressure[b], limit[b], w)
        _nodal_forces(viscous, stiff, dt, B[b], X[b], length[b], F[b], hourglass[b], w)
        scatter(block_start[b], block_start[b + 1], corners[b], N, w, _FORCE, force)
        F[b, :] = w[_F : _F + 9 * N]
        for kind in range(3):
            total = 0.0
            for p in range(N):
                total += w[_WORK + kind * N + p]
            work[b, kind] += total
        times[b, 1] += seconds() - begin


_A1, _A2 = types.float64[::1], types.float64[:, ::1]
_SIGNATURE = types.void(
    UPDATE_BLOCK, _A1, _A1, types.float64, types.int64[::1], _A2, _A2, types.int64[::1],
    types.int32[::1], types.uint16[:, ::1],
    *[_A2] * 4, *[_A2] * 7, _A2, _A2, types.int64[:, ::1],
)  # fmt: skip


@cache
def _kernel():
    return njit(_SIGNATURE, parallel=True)(_forces)


class Hex8r(Elements):
    """Uniform-gradient hexahedra with hourglass control; one material point each."""

    name, points = "hex8r", 1
    state_names = (*Elements.state_names, "hourglass")

    def __init__(self, mesh: Mesh, law: Law, controls: Controls, bodies: Sequence[RigidBody] = ()):
        super().__init__(mesh, law, controls, bodies)
        corners = mesh.points[mesh.hexes[self.topology.order]]
        B, volume = mean_gradient(corners)
        self.B = element_blocks(B)
        self.X = element_blocks(np.einsum("aI,mIi->mai", HOURGLASS, corners - corners[:, :1]))
        self.volume = element_blocks(volume)
        self.length = np.cbrt(self.volume)
        self.hourglass = np.zeros((self.blocks, 21 * BLOCK))

    def update(self, displacement: np.ndarray, velocity: np.ndarray, dt: float) -> None:
        _kernel()(
            self.law.update_block, self.law.params, self.numbers, dt, self.order, displacement, velocity,
            self.topology.block_start, self.topology.block_nodes, self.topology.corners,
            self.B, self.X, self.volume, self.length, self.F, self.stress, self.state, self.pressure, self.hourglass,
            self.force, self.limit, self.work, self.times, self.status,
        )  # fmt: skip

    def point_volumes(self) -> np.ndarray:
        """Reference volume of each material point (m, 1), m3."""
        return self.element_values(self.volume)
