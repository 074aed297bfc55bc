"""`hex8`: the fully integrated hexahedron with F-bar, total Lagrangian; the reference that `hex8r` must agree with.

Fb_q    = (Jm / J_q)^(1/3) F_q,  Jm = V / V0       every Gauss point q has the element's mean dilatation
          0 where not 0.1 < Jm / J_q < 640         a point that is flat or turned inside out: the law's update fails
f_I     = sum_q w_q dev(tau_q) F_q^-T B_qI + (sum_q w_q tr(tau_q) / 3 / V - p_v) dV/dx_I
tau_q   = Jm sigma(Fb_q)
dV/dx_I = sum_q w_q cof(F_q) B_qI

which is the exact derivative of the energy sum_q w_q W(Fb_q), so it conserves energy (de Souza Neto et al. 1996 with
the variational form of Simo, Taylor & Pister 1985). Frequency bound, rigorous for a free element without stress
(lambda >= 0, G Lame's constants of the unstrained material; at J = 1.5 a neo-Hookean solid exceeds it by 20 to 35 %,
see hex8r.py):

omega^2 <= 8 / rho0 (lambda tr Gm + 2 G mean_q max_eig G_q),   G_q = sum_I g_I (x) g_I,  g_I = F_q^-T B_qI

(Gm: the same from dV/dx_I / V), since the mean of the points' squared dilatations is no less than that of the mean.

Bulk viscosity as in hex8r.py, with tr Gm in xi. The work of stress is the work of the element's forces less that of
bulk viscosity.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import prange, types

from constitutive.jit import inline, njit
from constitutive.law import BLOCK, UPDATE_BLOCK, Law, load_symmetric, load_tensor
from constitutive.tensor import LARGEST_J, SMALLEST_J, adjugate, isochoric_factor, norm_squared, transpose
from fem.blocks import element_blocks
from fem.clock import seconds
from fem.contact import RigidBody
from fem.elements import Controls, Elements
from fem.gather_scatter import gather, scatter
from fem.hex8 import gauss_gradients
from fem.mesh import Mesh

N, E = BLOCK, BLOCK // 8  # points and elements of a block; point p = 8 q + e
# Offsets into the scratch memory of a block, in doubles.
_U, _V = 0, 24 * E
_F = _V + 24 * E
_FBAR = _F + 9 * N
_J = _FBAR + 9 * N
_VOLUME, _MEAN, _FREQUENCY = _J + N, _J + N + E, _J + N + 2 * E
_GROWTH = _FREQUENCY + E  # dV/dx_I
_FORCE = _GROWTH + 24 * E
_SCRATCH = _FORCE + 24 * E


@inline
def _cube_root(x):
    """x^(1/3) to 1e-11 for 0.1 < x < 640, else 0; large numbers by 4 (x / 64)^(1/3)."""
    large = x > 8.0
    part = x / 64.0 if large else x
    root = part * isochoric_factor(part)
    return (4.0 * root if large else root) if SMALLEST_J < part < LARGEST_J else 0.0


@njit
def _deform(B, weight, volume, w):
    """F at the Gauss points, current volumes, and F-bar."""
    for e in range(E):
        w[_VOLUME + e] = 0.0
    for q in range(8):
        for i in range(3):
            for j in range(3):
                unit = 1.0 if i == j else 0.0
                for e in range(E):
                    total = unit
                    for corner in range(1, 8):
                        total += w[_U + (3 * corner + i) * E + e] * B[(3 * corner + j) * N + q * E + e]
                    w[_F + (3 * i + j) * N + q * E + e] = total
        for e in range(E):
            p = q * E + e
            F = load_tensor(w, _F + p)
            J = (
                F[0] * (F[4] * F[8] - F[5] * F[7])
                + F[1] * (F[5] * F[6] - F[3] * F[8])
                + F[2] * (F[3] * F[7] - F[4] * F[6])
            )
            w[_J + p] = J
            w[_VOLUME + e] += weight[p] * J
    for q in range(8):
        for e in range(E):
            p = q * E + e
            mean = w[_VOLUME + e] / volume[e] if volume[e] > 0.0 else 1.0
            ratio = mean / w[_J + p]
            scale = _cube_root(ratio)
            if ratio == 1.0:
                scale = 1.0
            for k in range(9):
                w[_FBAR + k * N + p] = scale * w[_F + k * N + p]


@njit
def _deviatoric_forces(B, weight, volume, stress, w):
    """Forces of the deviator, dV/dx_I, integral of the mean stress, deviatoric part of the frequency bound."""
    for k in range(24 * E):
        w[_GROWTH + k] = 0.0
        w[_FORCE + k] = 0.0
    for e in range(E):
        w[_MEAN + e] = 0.0
        w[_FREQUENCY + e] = 0.0
    for q in range(8):
        for e in range(E):
            p = q * E + e
            cof = transpose(adjugate(load_tensor(w, _F + p)))
            inverse_J = 1.0 / w[_J + p]
            s = load_symmetric(stress, p)
            scale = weight[p] * (w[_VOLUME + e] / volume[e] if volume[e] > 0.0 else 1.0)
            third = (s[0] + s[1] + s[2]) / 3.0
            w[_MEAN + e] += scale * third
            s0, s1, s2 = scale * (s[0] - third), scale * (s[1] - third), scale * (s[2] - third)
            s3, s4, s5 = scale * s[3], scale * s[4], scale * s[5]
            m0 = m1 = m2 = m3 = m4 = m5 = 0.0
            for corner in range(8):
                b0, b1, b2 = B[3 * corner * N + p], B[(3 * corner + 1) * N + p], B[(3 * corner + 2) * N + p]
                x = cof[0] * b0 + cof[1] * b1 + cof[2] * b2
                y = cof[3] * b0 + cof[4] * b1 + cof[5] * b2
                z = cof[6] * b0 + cof[7] * b1 + cof[8] * b2
                w[_GROWTH + 3 * corner * E + e] += weight[p] * x
                w[_GROWTH + (3 * corner + 1) * E + e] += weight[p] * y
                w[_GROWTH + (3 * corner + 2) * E + e] += weight[p] * z
                x, y, z = x * inverse_J, y * inverse_J, z * inverse_J
                w[_FORCE + 3 * corner * E + e] += s0 * x + s3 * y + s5 * z
                w[_FORCE + (3 * corner + 1) * E + e] += s3 * x + s1 * y + s4 * z
                w[_FORCE + (3 * corner + 2) * E + e] += s5 * x + s4 * y + s2 * z
                m0 += x * x
                m1 += y * y
                m2 += z * z
                m3 += x * y
                m4 += y * z
                m5 += x * z
            mean = (m0 + m1 + m2) / 3.0
            spread = max(norm_squared((m0, m1, m2, m3, m4, m5)) / 3.0 - mean * mean, 0.0)
            w[_FREQUENCY + e] += weight[p] * (mean + np.sqrt(2.0 * spread))


@njit
def _volumetric_forces(numbers, dt, volume, volume_old, pressure, force_old, limit, work, w):
    """Mean stress and bulk viscosity, total forces, work, stable step."""
    density, modulus, shear, b1, b2 = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    c = np.sqrt(modulus / density)
    lame = max(modulus - 2.0 * shear, 0.0)
    for e in range(E):
        if volume[e] == 0.0:
            limit[e] = 1e300
            continue
        V = w[_VOLUME + e]
        trace = 0.0
        for k in range(24):
            trace += w[_GROWTH + k * E + e] * w[_GROWTH + k * E + e]
        trace /= V * V
        omega2 = 8.0 / density * (lame * trace + 2.0 * shear * w[_FREQUENCY + e] / volume[e])
        omega = np.sqrt(omega2)
        L = 2.0 * c / omega
        d = (V - volume_old[e]) / (V * dt)
        squeeze = max(-d, 0.0)
        p_v = density * volume[e] / V * (-b1 * c * L * d + (b2 * L * squeeze) * (b2 * L * squeeze))
        xi = (b1 + b2 * b2 * L / c * squeeze) * 8.0 * c * c * trace / omega2
        limit[e] = 2.0 * (np.sqrt(1.0 + xi * xi) - xi) / omega
        viscous = -0.5 * (p_v + pressure[e]) * (V - volume_old[e])
        pressure[e], volume_old[e] = p_v, V
        scale = w[_MEAN + e] / V - p_v
        total = 0.0
        for k in range(24):
            f = w[_FORCE + k * E + e] + scale * w[_GROWTH + k * E + e]
            total += 0.5 * (f + force_old[k * E + e]) * w[_V + k * E + e] * dt
            force_old[k * E + e] = f
            w[_FORCE + k * E + e] = f
        work[0] += total - viscous
        work[1] += viscous


def _forces(update_block, params, numbers, dt, order, displacement, velocity, block_start, block_nodes, corners, B,
            weight, volume, F, stress, state,
            pressure, volume_old, force_old, force, limit, work, times, status):  # fmt: skip
    """One pass over all blocks: deform, ask the law, give element forces; block by block in fast memory."""
    for k in prange(len(order)):
        b = order[k]
        begin = seconds()
        w = np.empty(_SCRATCH)
        gather(block_start[b], block_nodes, corners[b], E, displacement, velocity, w)
        _deform(B[b], weight[b], volume[b], w)
        start = seconds()
        status[b, N] = update_block(params, F[b], w[_FBAR : _FBAR + 9 * N], dt, stress[b], state[b], status[b, :N])
        times[b, 0] += seconds() - start
        _deviatoric_forces(B[b], weight[b], volume[b], stress[b], w)
        _volumetric_forces(numbers, dt, volume[b], volume_old[b], pressure[b], force_old[b], limit[b], work[b], w)
        scatter(block_start[b], block_start[b + 1], corners[b], E, w, _FORCE, force)
        F[b, :] = w[_FBAR : _FBAR + 9 * N]
        times[b, 1] += seconds() - begin


_A1, _A2 = types.float64[::1], types.float64[:, ::1]
_SIGNATURE = types.void(
    UPDATE_BLOCK, _A1, _A1, types.float64, types.int64[::1], _A2, _A2, types.int64[::1],
    types.int32[::1], types.uint16[:, ::1], *[_A2] * 3, *[_A2] * 9, _A2, types.int64[:, ::1],
)  # fmt: skip


@cache
def _kernel():
    return njit(_SIGNATURE, parallel=True)(_forces)


class Hex8(Elements):
    """Fully integrated hexahedra with F-bar; eight material points each. Their F is F-bar."""

    name, points = "hex8", 8
    state_names = (*Elements.state_names, "volume_old", "force_old")

    def __init__(self, mesh: Mesh, law: Law, controls: Controls, bodies: Sequence[RigidBody] = ()):
        super().__init__(mesh, law, controls, bodies)
        B, weight = gauss_gradients(mesh.points[mesh.hexes[self.topology.order]])
        by_component = B.transpose(0, 2, 3, 1)  # element, node, direction, point
        self.B = element_blocks(by_component, self.per_block)
        self.weight = element_blocks(weight, self.per_block)
        in_kernel_order = sum(weight.T)  # one point after the other, so that the mean of J = 1 is 1 to the last bit
        self.volume = element_blocks(in_kernel_order, self.per_block)
        self.volume_old = self.volume.copy()
        self.force_old = np.zeros((self.blocks, 24 * self.per_block))  # of the step before, for the work

    def update(self, displacement: np.ndarray, velocity: np.ndarray, dt: float) -> None:
        _kernel()(
            self.law.update_block, self.law.params, self.numbers, dt, self.order, displacement, velocity,
            self.topology.block_start, self.topology.block_nodes, self.topology.corners,
            self.B, self.weight, self.volume, self.F, self.stress, self.state, self.pressure, self.volume_old,
            self.force_old, self.force, self.limit, self.work, self.times, self.status,
        )  # fmt: skip

    def point_volumes(self) -> np.ndarray:
        """Reference volume of each material point (m, 8), m3."""
        return self.element_values(self.weight)
