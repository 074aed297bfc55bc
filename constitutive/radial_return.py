"""Finite-strain radial return, shared by the isotropic plastic laws (Simo's form; Simo & Hughes 1998, section 9.3).

b       isochoric elastic left Cauchy-Green tensor, det b = 1                                    state
s       G dev b, deviator of the Kirchhoff stress; q = sqrt(3/2) |s| its von Mises stress         Pa
f, j    F_new F_old^-1 and det f                                                                 step
b_tr    j^(-2/3) f b f^T, the elastic trial: all of the step elastic                             step
dp      increment of equivalent plastic strain                                                   step

The return is radial, dev b = r dev b_tr with q = q_tr - 3 G k dp, and differs from the textbook's in two places, both
because energy must balance over ten thousand steps:

* The mean m = tr b / 3 follows from det(dev b + m I) = 1. Simo keeps m = tr b_tr / 3, which lets det b grow with the
  plastic work (tr b / 3 reaches 1.02 in a rod stopped from 227 m/s) although plastic flow is isochoric.
* 3 G k is the modulus at which the energy released, d(G/2 tr b), is exactly q dp. Simo has k = tr b_tr / 3. Along
  dev b = |d| n with det b = 1 it is  k = (m^2 - |d|^2/6) / (m - 3 |d| det n):  1 for small elastic strain, always
  between m/2 and 2 m. So the equivalent plastic strain is work-conjugate to q and, in a uniaxial test, the
  logarithmic plastic strain. k is taken midway between the trial state and an estimate of the final one.
"""

import math

from constitutive.jit import inline
from constitutive.tensor import adjugate, determinant, isochoric_factor, matmul, push_forward

TINY = 1e-150  # keeps ratios of vanishing deviators finite


@inline
def elastic_trial(F_old, F_new, b):
    """Trial b_tr (6-tuple), J = det F_new, and j = J / det F_old.

    b_tr is NaN or meaningless where a determinant is not positive, or j is beyond the range of `isochoric_factor`.
    """
    J = determinant(F_new)
    per_J_old = 1.0 / determinant(F_old)
    f = matmul(F_new, adjugate(F_old))  # det F_old times f
    j = J * per_J_old
    factor = isochoric_factor(j) * per_J_old * per_J_old
    t = push_forward(f, b)
    return (
        (factor * t[0], factor * t[1], factor * t[2], factor * t[3], factor * t[4], factor * t[5]),
        J,
        j,
    )


@inline
def deviator_invariants(b):
    """Mean m, |dev b|^2 and det dev b of a symmetric 6-tuple."""
    m = (b[0] + b[1] + b[2]) / 3.0
    d0, d1, d2 = b[0] - m, b[1] - m, b[2] - m
    off = b[3] * b[3] + b[4] * b[4] + b[5] * b[5]
    square = d0 * d0 + d1 * d1 + d2 * d2 + 2.0 * off
    det = d0 * (d1 * d2 - b[4] * b[4]) - b[3] * (b[3] * d2 - b[4] * b[5]) + b[5] * (b[3] * b[4] - d1 * b[5])
    return m, square, det


@inline
def _mean_series(m, half, det):
    """Root of `unimodular_mean` to order |d|^5, and never beyond the bounds 1 and m of the true one."""
    mu = (half - det) / 3.0
    return min(max(1.0 + mu + mu * (half / 3.0 - mu), 1.0), m)


@inline
def unimodular_mean(m, square, det):
    """The m with det(d + m I) = m^3 - m |d|^2/2 + det d = 1, given one that is not smaller.

    Two Newton steps, from a series where |d| is small. They give round-off for every step that a stable solver takes;
    for a huge one they descend monotonically from above, and what they leave is removed in the next step.
    """
    half = 0.5 * square
    m = _mean_series(m, half, det) if half < 0.1 else m
    for _ in range(2):
        m = m - (m * (m * m - half) + det - 1.0) / (3.0 * m * m - half)
    return m


@inline
def return_modulus(G, m, square, det, r):
    """3 G k (Pa), the decrease of q per plastic strain, for a deviator r times that of the trial state."""
    square_r, det_r = r * r * square, r * r * r * det
    m_r = _mean_series(m, 0.5 * square_r, det_r)
    k = (m_r * m_r - square_r / 6.0) * square_r / max(m_r * square_r - 3.0 * det_r, TINY)
    return 3.0 * G * min(max(k, 0.5 * m_r), 2.0 * m_r)


@inline
def von_mises_kirchhoff(G, square):
    """q = sqrt(3/2) G |dev b|, Pa."""
    return G * math.sqrt(1.5 * square)


@inline
def returned(b, m, square, det, r):
    """b with its deviator scaled by r and its determinant restored to one."""
    m_new = unimodular_mean(m, r * r * square, r * r * r * det)
    return (
        r * (b[0] - m) + m_new,
        r * (b[1] - m) + m_new,
        r * (b[2] - m) + m_new,
        r * b[3],
        r * b[4],
        r * b[5],
    )
