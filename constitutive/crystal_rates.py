"""Rates of slip and twinning in LANES grains at once (paper, Appendix).

Unknowns of a grain, rows of y; a row holds LANES grains, so that loops over grains become SIMD instructions:

    P        F_in^-1 R, 9 rows: inverse of the inelastic deformation, times the rotation R from lattice to sample axes
    epsilon  integral of sqrt(2/3) |sym L_in| dt          w         integral of M : L_in dt, Pa: plastic work
    e_a      accumulated slip of each slip system         lambda_b  volume fraction of each twin system

The elastic part is A R = F P, and all that the kinetics needs of it is Ce = P^T C P with C = J^(-2/3) F^T F: a
superposed rotation of F changes nothing, and in lattice axes the systems are the same for all grains.

    M         = G dev Ce                                      deviator of the Mandel stress A^T dW/dA, Pa
    tau_a     = M : N_a                                       resolved shear stress, Pa
    N_a       = (1 - sum lambda) s_a(x)m_a + sum_b lambda_b s_ab(x)m_ab       s_ab, m_ab mirrored in twin plane b
    g_a       = h_ij sum_{b != a} e_b + sigma_inf (1 - exp(-h e_a / sigma_inf))
    gamma_a'  = gamma0 ((|tau_a| - g_a) / tau0)^(1/m) sign tau_a, 0 below g_a;        e_a' = |gamma_a'|
    f_b       = gamma_t M : s_b(x)m_b - h lambda_b - k sum_{c != b} lambda_c
    lambda_b' = gamma0 (|f_b| / tau0)^(1/m) sign f_b
    P'        = -P L_in,  L_in = sum_a gamma_a' N_a + gamma_t sum_b lambda_b' s_b(x)m_b

As printed, N_a loses slip modes where a twin takes up half of a grain: s(x)m and its mirror image average.
0 <= lambda_b and sum lambda <= 1 are kept by limiting the rates in a substep of length h, which begins at lambda^0: no
variant shrinks faster than lambda_b^0 / h, all together grow no faster than (1 - sum lambda^0) / h. So a variant that
loses the race dies at the end of a substep, wherever k makes the exact solution fall too fast to follow.

Rows of tables, one a system:
    slip   schmid (9), G sym schmid with doubled shears (6), tau0, 1/m, gamma0, h, sigma_inf, h_ij
    twin   normal (3), gamma_t schmid (9), G gamma_t sym schmid (6), tau0, 1/m, gamma0, h, k, gamma_t
"""

from typing import NamedTuple

import numpy as np

from constitutive.jit import inline, njit

# Four AVX-512 registers; 16 and 8 were slower, as the compiler's vector loops are two or four registers wide.
LANES = 32
SLIP_ROW, TWIN_ROW = 21, 24  # numbers a system in the tables
EQUIVALENT, WORK, FIRST_SLIP = 9, 10, 11  # rows of y behind P
# Rows of scratch: Ce; its mean over matrix and twins; slip without the mirroring; L_in; and sums.
METRIC, MIXED, SLIPPING, VELOCITY = 0, 6, 12, 21
TOTAL_TWIN, TOTAL_SLIP, SIGN, GROWTH, ROOM, LIMITED, SCRATCH_ROWS = 30, 31, 32, 33, 34, 35, 36
_L = LANES


class Crystal(NamedTuple):
    """What all grains have in common; tables are flat."""

    G: float  # shear modulus, Pa
    n_slip: int
    n_twin: int
    slip: np.ndarray
    twin: np.ndarray
    interaction: np.ndarray  # (n_slip * n_slip,) 2 G sym s_a(x)m_a : sym s_b(x)m_b: fall of tau_a by slip on b, Pa


class Scratch(NamedTuple):
    """Room for intermediate results of LANES grains."""

    w: np.ndarray  # (SCRATCH_ROWS * LANES,)
    over: np.ndarray  # ((n_slip + n_twin) * LANES,) overstress in units of tau0
    slope: np.ndarray  # (n_slip * LANES,) slope of the saturating hardening, Pa


@njit
def make_scratch(n_slip: int, n_twin: int):
    """Scratch for crystals of so many systems."""
    return Scratch(np.empty(SCRATCH_ROWS * _L), np.empty((n_slip + n_twin) * _L), np.empty(n_slip * _L))


@inline
def _decay(x):
    """exp(-x) for x >= 0, to 5e-12: Taylor's series of exp(-x/32) squared five times; no library call, so SIMD."""
    z = min(x, 32.0) * (-1.0 / 32.0)
    y = 1.0 / 24.0 + z * (1.0 / 120.0 + z * (1.0 / 720.0 + z * (1.0 / 5040.0)))
    y = 1.0 + z * (1.0 + z * (1.0 / 2.0 + z * (1.0 / 6.0 + z * y)))
    y = y * y
    y = y * y
    y = y * y
    y = y * y
    return y * y


@inline
def row_start(row):
    """Where a row starts. The mask tells the compiler that it is not negative: Python's negative indices cost SIMD."""
    return (row & 1023) * _L


@inline
def load_lattice(a, row, g):
    return (
        a[row * _L + g],
        a[(row + 1) * _L + g],
        a[(row + 2) * _L + g],
        a[(row + 3) * _L + g],
        a[(row + 4) * _L + g],
        a[(row + 5) * _L + g],
        a[(row + 6) * _L + g],
        a[(row + 7) * _L + g],
        a[(row + 8) * _L + g],
    )


@njit
def _elastic_metric(C, y, w):
    """Rows METRIC and MIXED: Ce = P^T C P."""
    for g in range(_L):
        P = load_lattice(y, 0, g)
        C0, C1, C2, C3, C4, C5 = C[g], C[_L + g], C[2 * _L + g], C[3 * _L + g], C[4 * _L + g], C[5 * _L + g]
        a0 = C0 * P[0] + C3 * P[3] + C5 * P[6]
        a1 = C3 * P[0] + C1 * P[3] + C4 * P[6]
        a2 = C5 * P[0] + C4 * P[3] + C2 * P[6]
        b0 = C0 * P[1] + C3 * P[4] + C5 * P[7]
        b1 = C3 * P[1] + C1 * P[4] + C4 * P[7]
        b2 = C5 * P[1] + C4 * P[4] + C2 * P[7]
        c0 = C0 * P[2] + C3 * P[5] + C5 * P[8]
        c1 = C3 * P[2] + C1 * P[5] + C4 * P[8]
        c2 = C5 * P[2] + C4 * P[5] + C2 * P[8]
        S = (
            P[0] * a0 + P[3] * a1 + P[6] * a2,
            P[1] * b0 + P[4] * b1 + P[7] * b2,
            P[2] * c0 + P[5] * c1 + P[8] * c2,
            P[0] * b0 + P[3] * b1 + P[6] * b2,
            P[1] * c0 + P[4] * c1 + P[7] * c2,
            P[0] * c0 + P[3] * c1 + P[6] * c2,
        )
        for c in range(6):
            w[(METRIC + c) * _L + g] = S[c]
            w[(MIXED + c) * _L + g] = S[c]


@njit
def _power(lanes, x, i, exponent, factor, target, j):
    """Row j of target = factor * (row i of x) ** exponent; integer exponents without a library call."""
    i, j = row_start(i), row_start(j)
    whole = int(exponent)
    if whole != exponent:
        for g in range(lanes):
            target[j + g] = factor * x[i + g] ** exponent
        return
    for g in range(lanes):
        target[j + g] = factor * x[i + g]
    for _ in range(whole - 1):
        for g in range(lanes):
            target[j + g] *= x[i + g]


@njit
def _sum_rows(lanes, y, first, count, w, row):
    """Row `row` of w = sum of `count` rows of y."""
    total = row_start(row)
    for g in range(lanes):
        w[total + g] = 0.0
    for a in range(first, first + count):
        i = row_start(a)
        for g in range(lanes):
            w[total + g] += y[i + g]


@njit
def _twin_overstress(b, row, x, twin, y, w, over):
    """Drive f_b / tau0: its size to row x of `over`, its sign to SIGN."""
    t = TWIN_ROW * b
    S0, S1, S2, S3, S4, S5 = twin[t + 12], twin[t + 13], twin[t + 14], twin[t + 15], twin[t + 16], twin[t + 17]
    tau0, h, k = twin[t + 18], twin[t + 21], twin[t + 22]
    i, j, per_tau0 = row_start(row), row_start(x), 1.0 / tau0
    for g in range(_L):
        tau = (
            S0 * w[g] + S1 * w[_L + g] + S2 * w[2 * _L + g]
            + S3 * w[3 * _L + g] + S4 * w[4 * _L + g] + S5 * w[5 * _L + g]
        )  # fmt: skip
        fraction = y[i + g]
        drive = (tau - h * fraction - k * (w[TOTAL_TWIN * _L + g] - fraction)) * per_tau0
        over[j + g] = abs(drive)
        w[SIGN * _L + g] = 1.0 if drive > 0.0 else -1.0


@njit
def _apply_sign(lanes, row, f, w):
    """Row `row` of f takes the sign in row SIGN."""
    i = row_start(row)
    for g in range(lanes):
        f[i + g] *= w[SIGN * _L + g]


@njit
def _mix_metric(b, row, twin, y, w):
    """Rows MIXED: adds lambda_b (Q Ce Q - Ce), Q the mirror of twin b: so tau_a = MIXED : s_a (x) m_a."""
    t = TWIN_ROW * b
    n0, n1, n2 = twin[t], twin[t + 1], twin[t + 2]
    i = row_start(row)
    for g in range(_L):
        C0, C1, C2 = w[g], w[_L + g], w[2 * _L + g]
        C3, C4, C5 = w[3 * _L + g], w[4 * _L + g], w[5 * _L + g]
        u0 = C0 * n0 + C3 * n1 + C5 * n2
        u1 = C3 * n0 + C1 * n1 + C4 * n2
        u2 = C5 * n0 + C4 * n1 + C2 * n2
        q = n0 * u0 + n1 * u1 + n2 * u2
        twice = -2.0 * y[i + g]
        u0, u1, u2 = twice * (u0 - q * n0), twice * (u1 - q * n1), twice * (u2 - q * n2)
        w[(MIXED + 0) * _L + g] += 2.0 * n0 * u0
        w[(MIXED + 1) * _L + g] += 2.0 * n1 * u1
        w[(MIXED + 2) * _L + g] += 2.0 * n2 * u2
        w[(MIXED + 3) * _L + g] += n0 * u1 + n1 * u0
        w[(MIXED + 4) * _L + g] += n1 * u2 + n2 * u1
        w[(MIXED + 5) * _L + g] += n0 * u2 + n2 * u0


@njit
def _limit_twinning(lanes, first, count, start, per_h, f, w):
    """Limit the rates of the twin fractions, see the head of this file; returns whether any was too fast."""
    for g in range(lanes):
        w[GROWTH * _L + g] = 0.0
        w[LIMITED * _L + g] = 0.0
        w[ROOM * _L + g] = per_h
    for row in range(first, first + count):
        i = row_start(row)
        for g in range(lanes):
            rate, slowest = f[i + g], -per_h * start[i + g]
            w[LIMITED * _L + g] += 1.0 if rate < slowest else 0.0
            w[ROOM * _L + g] += slowest
            f[i + g] = max(rate, slowest)
            w[GROWTH * _L + g] += max(rate, 0.0)
    limited = 0.0
    for g in range(lanes):
        room, growth = max(w[ROOM * _L + g], 0.0), w[GROWTH * _L + g]
        limited += w[LIMITED * _L + g] + (1.0 if growth > room else 0.0)
        w[GROWTH * _L + g] = room / growth if growth > room else 1.0
    for row in range(first, first + count):
        i = row_start(row)
        for g in range(lanes):
            rate = f[i + g]
            f[i + g] = rate * w[GROWTH * _L + g] if rate > 0.0 else rate
    return limited > 0.0


@njit
def _slip_overstress(a, slip, y, w, over, slope):
    """Overstress max(|tau_a| - g_a, 0) / tau0 and slope of the saturating hardening; the sign of tau_a to SIGN."""
    t = SLIP_ROW * a
    S0, S1, S2, S3, S4, S5 = slip[t + 9], slip[t + 10], slip[t + 11], slip[t + 12], slip[t + 13], slip[t + 14]
    tau0, h, saturation, cross = slip[t + 15], slip[t + 18], slip[t + 19], slip[t + 20]
    i, j, sharpness, per_tau0 = row_start(FIRST_SLIP + a), row_start(a), h / saturation, 1.0 / tau0
    for g in range(_L):
        tau = (
            S0 * w[(MIXED + 0) * _L + g] + S1 * w[(MIXED + 1) * _L + g] + S2 * w[(MIXED + 2) * _L + g]
            + S3 * w[(MIXED + 3) * _L + g] + S4 * w[(MIXED + 4) * _L + g] + S5 * w[(MIXED + 5) * _L + g]
        )  # fmt: skip
        e = y[i + g]
        left = _decay(sharpness * e)
        resistance = cross * (w[TOTAL_SLIP * _L + g] - e) + saturation * (1.0 - left)
        over[j + g] = max(abs(tau) - resistance, 0.0) * per_tau0
        slope[j + g] = h * left
        w[SIGN * _L + g] = 1.0 if tau > 0.0 else -1.0


@njit
def _add_slip(lanes, a, slip, f, w):
    """Rows SLIPPING: adds gamma_a' s_a (x) m_a."""
    t = SLIP_ROW * a
    P0, P1, P2, P3, P4 = slip[t], slip[t + 1], slip[t + 2], slip[t + 3], slip[t + 4]
    P5, P6, P7, P8 = slip[t + 5], slip[t + 6], slip[t + 7], slip[t + 8]
    i = row_start(FIRST_SLIP + a)
    for g in range(lanes):
        rate = f[i + g] * w[SIGN * _L + g]
        w[(SLIPPING + 0) * _L + g] += rate * P0
        w[(SLIPPING + 1) * _L + g] += rate * P1
        w[(SLIPPING + 2) * _L + g] += rate * P2
        w[(SLIPPING + 3) * _L + g] += rate * P3
        w[(SLIPPING + 4) * _L + g] += rate * P4
        w[(SLIPPING + 5) * _L + g] += rate * P5
        w[(SLIPPING + 6) * _L + g] += rate * P6
        w[(SLIPPING + 7) * _L + g] += rate * P7
        w[(SLIPPING + 8) * _L + g] += rate * P8


@njit
def _add_twin(b, row, twin, y, f, w):
    """Rows VELOCITY: adds lambda_b (Q N Q - N), N the slip and Q the mirror of twin b, and the twinning itself."""
    t = TWIN_ROW * b
    n0, n1, n2 = twin[t], twin[t + 1], twin[t + 2]
    i = row_start(row)
    T0, T1, T2, T3, T4 = twin[t + 3], twin[t + 4], twin[t + 5], twin[t + 6], twin[t + 7]
    T5, T6, T7, T8 = twin[t + 8], twin[t + 9], twin[t + 10], twin[t + 11]
    for g in range(_L):
        N = load_lattice(w, SLIPPING, g)
        u0 = N[0] * n0 + N[1] * n1 + N[2] * n2
        u1 = N[3] * n0 + N[4] * n1 + N[5] * n2
        u2 = N[6] * n0 + N[7] * n1 + N[8] * n2
        v0 = N[0] * n0 + N[3] * n1 + N[6] * n2
        v1 = N[1] * n0 + N[4] * n1 + N[7] * n2
        v2 = N[2] * n0 + N[5] * n1 + N[8] * n2
        q = n0 * u0 + n1 * u1 + n2 * u2
        twice, rate = -2.0 * y[i + g], f[i + g]
        u0, u1, u2 = twice * (u0 - q * n0), twice * (u1 - q * n1), twice * (u2 - q * n2)
        v0, v1, v2 = twice * (v0 - q * n0), twice * (v1 - q * n1), twice * (v2 - q * n2)
        w[(VELOCITY + 0) * _L + g] += n0 * v0 + u0 * n0 + rate * T0
        w[(VELOCITY + 1) * _L + g] += n0 * v1 + u0 * n1 + rate * T1
        w[(VELOCITY + 2) * _L + g] += n0 * v2 + u0 * n2 + rate * T2
        w[(VELOCITY + 3) * _L + g] += n1 * v0 + u1 * n0 + rate * T3
        w[(VELOCITY + 4) * _L + g] += n1 * v1 + u1 * n1 + rate * T4
        w[(VELOCITY + 5) * _L + g] += n1 * v2 + u1 * n2 + rate * T5
        w[(VELOCITY + 6) * _L + g] += n2 * v0 + u2 * n0 + rate * T6
        w[(VELOCITY + 7) * _L + g] += n2 * v1 + u2 * n1 + rate * T7
        w[(VELOCITY + 8) * _L + g] += n2 * v2 + u2 * n2 + rate * T8


@njit
def _flow(G, y, f, w):
    """P' = -P L_in, and the rates of equivalent plastic strain and plastic work."""
    for g in range(_L):
        P, L = load_lattice(y, 0, g), load_lattice(w, VELOCITY, g)
        f[0 * _L + g] = -(P[0] * L[0] + P[1] * L[3] + P[2] * L[6])
        f[1 * _L + g] = -(P[0] * L[1] + P[1] * L[4] + P[2] * L[7])
        f[2 * _L + g] = -(P[0] * L[2] + P[1] * L[5] + P[2] * L[8])
        f[3 * _L + g] = -(P[3] * L[0] + P[4] * L[3] + P[5] * L[6])
        f[4 * _L + g] = -(P[3] * L[1] + P[4] * L[4] + P[5] * L[7])
        f[5 * _L + g] = -(P[3] * L[2] + P[4] * L[5] + P[5] * L[8])
        f[6 * _L + g] = -(P[6] * L[0] + P[7] * L[3] + P[8] * L[6])
        f[7 * _L + g] = -(P[6] * L[1] + P[7] * L[4] + P[8] * L[7])
        f[8 * _L + g] = -(P[6] * L[2] + P[7] * L[5] + P[8] * L[8])
        d3, d4, d5 = 0.5 * (L[1] + L[3]), 0.5 * (L[5] + L[7]), 0.5 * (L[2] + L[6])
        size = L[0] * L[0] + L[4] * L[4] + L[8] * L[8] + 2.0 * (d3 * d3 + d4 * d4 + d5 * d5)
        power = w[g] * L[0] + w[_L + g] * L[4] + w[2 * _L + g] * L[8]
        power += 2.0 * (w[3 * _L + g] * d3 + w[4 * _L + g] * d4 + w[5 * _L + g] * d5)
        f[EQUIVALENT * _L + g] = np.sqrt(2.0 / 3.0 * size)
        f[WORK * _L + g] = G * power


@njit
def rates(lanes, crystal, C, start, per_h, y, f, scratch):
    """Rates f of the unknowns y of LANES grains; returns whether the rate of a twin fraction was limited.

    C         J^(-2/3) F^T F of each grain, (6 * LANES,)
    start     unknowns at the start of the substep, and per_h, one over its length, 1/s: they limit the twin fractions
    y, f      (unknowns * LANES,)
    lanes     LANES, as a variable: short loops of constant length would be unrolled instead of vectorised
    """
    G, n_slip, n_twin, slip, twin, _ = crystal
    w, over, slope = scratch
    first_twin = FIRST_SLIP + n_slip
    _elastic_metric(C, y, w)
    _sum_rows(lanes, y, first_twin, n_twin, w, TOTAL_TWIN)
    _sum_rows(lanes, y, FIRST_SLIP, n_slip, w, TOTAL_SLIP)
    for b in range(n_twin):
        row = first_twin + b
        _twin_overstress(b, row, n_slip + b, twin, y, w, over)
        _power(lanes, over, n_slip + b, twin[TWIN_ROW * b + 19], twin[TWIN_ROW * b + 20], f, row)
        _apply_sign(lanes, row, f, w)
        _mix_metric(b, row, twin, y, w)
    limited = n_twin > 0 and _limit_twinning(lanes, first_twin, n_twin, start, per_h, f, w)
    for i in range(SLIPPING * _L, VELOCITY * _L):
        w[i] = 0.0
    for a in range(n_slip):
        _slip_overstress(a, slip, y, w, over, slope)
        _power(lanes, over, a, slip[SLIP_ROW * a + 16], slip[SLIP_ROW * a + 17], f, FIRST_SLIP + a)
        _add_slip(lanes, a, slip, f, w)
    for i in range(9 * _L):
        w[VELOCITY * _L + i] = w[SLIPPING * _L + i]
    for b in range(n_twin):
        _add_twin(b, first_twin + b, twin, y, f, w)
    _flow(G, y, f, w)
    return limited
