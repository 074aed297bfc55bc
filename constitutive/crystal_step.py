"""One time step of LANES grains: error-controlled substeps of a stabilised explicit Runge-Kutta method.

Slip is stiff (stress relaxes at 1e9 1/s and more) and dissipative, so its spectrum is close to the negative real axis:
the case for Chebyshev methods, whose stable interval grows with the square of the number of stages and which need no
Jacobian. RKC2 of Sommeijer, Shampine & Verwer 1997 (RKC: an explicit solver for parabolic PDEs, J. Comput. Appl.
Math. 88, eqs 2.2-2.10): second order, s stages, stable for h rho <= (s^2 - 1) / 1.54, error estimate from both ends.

rho    per grain ||D^1/2 H D^1/2|| (Frobenius: no less than the largest eigenvalue) of slip, plus that of twinning;
       D_a = d gamma_a' / d tau_a, H_ab = 2 G sym s_a(x)m_a : sym s_b(x)m_b + hardening
C(t)   J^(-2/3) F^T F, linear in time over a step: a path of F and the same path under any superposed rotation have
       the same C(t) to round-off, so the answer rotates with them
LANES grains share their substeps, whose length is set by the root mean square of their errors.
"""

from typing import NamedTuple

import numpy as np

from constitutive.crystal_rates import (
    FIRST_SLIP,
    GROWTH,
    LANES,
    METRIC,
    SIGN,
    SLIP_ROW,
    TWIN_ROW,
    Scratch,
    load_lattice,
    make_scratch,
    rates,
    row_start,
)
from constitutive.jit import inline, njit
from constitutive.tensor import adjugate

DONE, STUCK = 0, 3
DAMPING = 2.0 / 13.0  # of the cited method
MAX_STAGES, MAX_SUBSTEPS, MAX_PLAN = 100, 10000, 64
LONGEST = (MAX_STAGES * MAX_STAGES - 1) / 1.54  # h rho of the longest substep that so many stages are stable for
MARGIN = 1.2  # on rho, which grows within a substep
SAFETY, SHRINK, GROW = 0.8, 0.1, 5.0
SHORTEST = 1e-9  # substep, over the one to begin with, below which there is no hope
SMALLEST_STRAIN = 1e-5  # elastic strain below which errors are not taken relative to it
SMALLEST_TWIN = 1e-9  # a shrinking fraction below this is none
# Weight of an error of a twin fraction against one of strain: the race between variants decides which of them takes
# over a grain, and it is run at fractions of 1e-3.
TWIN_WEIGHT = 3.0
_L = LANES


class Work(NamedTuple):
    """Unknowns and rates of LANES grains, each (unknowns * LANES,), and scratch; `y` is the start of the step."""

    y: np.ndarray
    ya: np.ndarray
    yb: np.ndarray
    f0: np.ndarray
    f: np.ndarray
    stages: np.ndarray  # (MAX_STAGES + 1, 5) coefficients of the stages
    C: np.ndarray  # (6 * LANES,) C at the time of a stage
    plan: np.ndarray  # (MAX_PLAN, 2) length, s, and stages of the substeps of the last step
    scratch: Scratch


@njit
def make_work(n_slip: int, n_twin: int):
    """Arrays for crystals of so many systems."""
    n = (FIRST_SLIP + n_slip + n_twin) * _L
    y, ya, yb, f0, f = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    stages, plan = np.empty((MAX_STAGES + 1, 5)), np.empty((MAX_PLAN, 2))
    return Work(y, ya, yb, f0, f, stages, np.empty(6 * _L), plan, make_scratch(n_slip, n_twin))


@njit
def stage_count(h_rho):
    """Stages that a substep h needs to be stable; where h is the longest, rounding must not ask for one more."""
    return min(max(2, 1 + int(np.sqrt(1.0 + 1.54 * h_rho))), MAX_STAGES)


@njit
def stage_coefficients(s, stages):
    """Rows j = 1..s: mu_j, nu_j, mu~_j, gamma~_j and the time c_{j-1} at which stage j takes its rates."""
    w0 = 1.0 + DAMPING / (s * s)
    T1, T2, d1, d2, dd1, dd2 = w0, 1.0, 1.0, 0.0, 0.0, 0.0
    for _ in range(2, s + 1):
        T1, T2, d1, d2, dd1, dd2 = (
            2.0 * w0 * T1 - T2,
            T1,
            2.0 * w0 * d1 - d2 + 2.0 * T1,
            d1,
            2.0 * w0 * dd1 - dd2 + 4.0 * d1,
            dd1,
        )
    w1 = d1 / dd1
    b1 = b2 = 1.0 / (4.0 * w0 * w0)
    stages[1] = (0.0, 0.0, b1 * w1, 0.0, 0.0)
    T1, T2, d1, d2, dd1, dd2 = w0, 1.0, 1.0, 0.0, 0.0, 0.0
    a, c = 1.0 - b1 * w0, w1 * b1
    for j in range(2, s + 1):
        T, d, dd = 2.0 * w0 * T1 - T2, 2.0 * w0 * d1 - d2 + 2.0 * T1, 2.0 * w0 * dd1 - dd2 + 4.0 * d1
        b = dd / (d * d)
        mu = 2.0 * b * w1 / b1
        stages[j] = (2.0 * b * w0 / b1, -b / b2, mu, -a * mu, c)
        a, c, b2, b1 = 1.0 - b * T, w1 * dd / d, b1, b
        T2, d2, dd2, T1, d1, dd1 = T1, d1, dd1, T, d, dd


@njit
def _compliances(lanes, crystal, f, over):
    """Rows of `over` become D = d rate / d stress of each slip and twin system."""
    for a in range(crystal.n_slip + crystal.n_twin):
        if a < crystal.n_slip:
            tau0, exponent = crystal.slip[SLIP_ROW * a + 15], crystal.slip[SLIP_ROW * a + 16]
        else:
            b = a - crystal.n_slip
            tau0, exponent = crystal.twin[TWIN_ROW * b + 18], crystal.twin[TWIN_ROW * b + 19]
        i, j, factor = row_start(a), row_start(FIRST_SLIP + a), exponent / tau0
        for g in range(lanes):
            over[i + g] = factor * abs(f[j + g]) / max(over[i + g], 1e-9)


@njit
def stiffness(lanes, crystal, f, scratch):
    """Bound on the rates, 1/s, at which stress relaxes in any of the grains; overwrites the scratch of `rates`."""
    w, over, slope = scratch
    n_slip, interaction, twin = crystal.n_slip, crystal.interaction, crystal.twin
    _compliances(lanes, crystal, f, over)
    for i in range(3 * _L):
        w[i] = 0.0
    for a in range(n_slip):
        i, own = row_start(a), interaction[a * n_slip + a]
        for g in range(lanes):
            d = over[i + g] * (own + slope[i + g])
            w[g] += d * d
        for b in range(a):
            j, cross = row_start(b), 2.0 * interaction[a * n_slip + b] ** 2
            for g in range(lanes):
                w[g] += cross * over[i + g] * over[j + g]
    own = others = 0.0
    for b in range(crystal.n_twin):
        t, i = TWIN_ROW * b, row_start(n_slip + b)
        own = max(own, crystal.G * twin[t + 23] ** 2 + twin[t + 21])
        others = max(others, twin[t + 22])
        for g in range(lanes):
            w[_L + g] += over[i + g]
            w[2 * _L + g] += over[i + g] * over[i + g]
    worst = 0.0
    for g in range(lanes):
        pairs = max(w[_L + g] * w[_L + g] - w[2 * _L + g], 0.0)  # sum over pairs of variants of D_b D_c
        worst = max(worst, np.sqrt(w[g]) + others * np.sqrt(pairs) + own * w[_L + g])
    return worst


@njit
def _combine(n, cy, ca, cb, cf, c0, y, ya, yb, f, f0):
    """yb = cy y + ca ya + cb yb + cf f + c0 f0."""
    for i in range(n):
        yb[i] = cy * y[i] + ca * ya[i] + cb * yb[i] + cf * f[i] + c0 * f0[i]


@inline
def _difference(i, h, y, y1, f0, f1):
    """Error estimate of one unknown (eq. 2.10 of the cited paper)."""
    return 0.8 * (y[i] - y1[i]) + 0.4 * h * (f0[i] + f1[i])


@njit
def _strain_error(h, y, y1, f0, f1, w):
    """Squares of the error of P as a strain, |P^-1 dP|^2, to row SIGN; of elastic strain, dev Ce / 2, to GROWTH."""
    for g in range(_L):
        P = load_lattice(y1, 0, g)
        A = adjugate(P)  # P^-1, as det P = 1
        total = 0.0
        for j in range(3):
            d0 = _difference(j * _L + g, h, y, y1, f0, f1)
            d1 = _difference((3 + j) * _L + g, h, y, y1, f0, f1)
            d2 = _difference((6 + j) * _L + g, h, y, y1, f0, f1)
            e0 = A[0] * d0 + A[1] * d1 + A[2] * d2
            e1 = A[3] * d0 + A[4] * d1 + A[5] * d2
            e2 = A[6] * d0 + A[7] * d1 + A[8] * d2
            total += e0 * e0 + e1 * e1 + e2 * e2
        w[SIGN * _L + g] = total
        c0, c1, c2 = w[METRIC * _L + g], w[(METRIC + 1) * _L + g], w[(METRIC + 2) * _L + g]
        c3, c4, c5 = w[(METRIC + 3) * _L + g], w[(METRIC + 4) * _L + g], w[(METRIC + 5) * _L + g]
        shears = c3 * c3 + c4 * c4 + c5 * c5
        stretches = (c0 - c1) * (c0 - c1) + (c1 - c2) * (c1 - c2) + (c2 - c0) * (c2 - c0)
        w[GROWTH * _L + g] = 0.5 * shears + stretches / 12.0


@njit
def _error(lanes, h, first_twin, last, y, y1, f0, f1, w):
    """Estimated error of the grains over their elastic strain, root mean squares both; NaN where anything is."""
    _strain_error(h, y, y1, f0, f1, w)
    for row in range(FIRST_SLIP, last):
        i, scale = row_start(row), TWIN_WEIGHT if row >= first_twin else 1.0
        for g in range(lanes):
            e = scale * _difference(i + g, h, y, y1, f0, f1)
            w[SIGN * _L + g] += e * e
    errors = strains = 0.0
    for g in range(lanes):
        errors += w[SIGN * _L + g]
        strains += w[GROWTH * _L + g]
    return np.sqrt(errors / (strains + lanes * SMALLEST_STRAIN**2))


@njit
def _project(lanes, first_twin, last, y, f, w):
    """Remove what the error control lets through: det P = 1, 0 <= lambda_b, sum lambda <= 1."""
    for g in range(lanes):
        a, b, c = y[g], y[_L + g], y[2 * _L + g]
        d, e, k = y[3 * _L + g], y[4 * _L + g], y[5 * _L + g]
        p, q, r = y[6 * _L + g], y[7 * _L + g], y[8 * _L + g]
        excess = a * (e * r - k * q) + b * (k * p - d * r) + c * (d * q - e * p) - 1.0
        w[g] = 1.0 + excess * (-1.0 / 3.0 + excess * (2.0 / 9.0 - excess * (14.0 / 81.0)))  # det^(-1/3)
        w[_L + g] = 0.0
    for row in range(9):
        i = row_start(row)
        for g in range(lanes):
            y[i + g] *= w[g]
    for row in range(first_twin, last):
        i = row_start(row)
        for g in range(lanes):
            fraction = max(y[i + g], 0.0)
            fraction = 0.0 if fraction < SMALLEST_TWIN and f[i + g] <= 0.0 else fraction
            y[i + g] = fraction
            w[_L + g] += fraction
    for row in range(first_twin, last):
        i = row_start(row)
        for g in range(lanes):
            y[i + g] /= max(w[_L + g], 1.0)


@njit
def _at_time(C_old, C_new, x, C):
    """C at the fraction x of a step, written to `C` and returned."""
    for i in range(6 * _L):
        C[i] = C_old[i] + x * (C_new[i] - C_old[i])
    return C


@njit
def _substep(lanes, crystal, C_old, C_new, t, h, dt, s, y, ya, yb, f0, f, stages, C, scratch):
    """s stages from y over h; returns the array that holds the result, the other one, and whether twins were limited.

    Afterwards f holds the rates at the end, limited as in the rest of the substep.
    """
    n, per_h, limited = len(y), 1.0 / h, False
    stage_coefficients(s, stages)
    for i in range(n):
        yb[i] = y[i]
        ya[i] = y[i] + stages[1, 2] * h * f0[i]
    for j in range(2, s + 1):
        mu, nu, mu_rate, gamma_rate, c = stages[j, 0], stages[j, 1], stages[j, 2], stages[j, 3], stages[j, 4]
        _at_time(C_old, C_new, (t + c * h) / dt, C)
        limited |= rates(lanes, crystal, C, y, per_h, ya, f, scratch)
        _combine(n, 1.0 - mu - nu, mu, nu, mu_rate * h, gamma_rate * h, y, ya, yb, f, f0)
        ya, yb = yb, ya
    limited |= rates(lanes, crystal, _at_time(C_old, C_new, (t + h) / dt, C), y, per_h, ya, f, scratch)
    return ya, yb, limited


@njit
def step(lanes, crystal, tolerance, C_old, C_new, dt, trial, work):
    """Advance LANES grains, whose unknowns are work.y, by dt from C_old to C_new, (6 * LANES,) each.

    `trial` is the substep to begin with, s. Returns DONE or STUCK, the array that holds the result, the substep that
    the next step should begin with, and the number of substeps, of which work.plan tells what `replay` needs to know.
    """
    y, ya, yb, f0, f, stages, C, plan, scratch = work
    first_twin = FIRST_SLIP + crystal.n_slip
    last = first_twin + crystal.n_twin
    t, h, count = 0.0, min(trial, dt), 0
    shortest = SHORTEST * h
    limited = rates(lanes, crystal, C_old, y, 1.0 / h, y, f0, scratch)
    rho = MARGIN * stiffness(lanes, crystal, f0, scratch)
    for _ in range(MAX_SUBSTEPS):
        h_stable = LONGEST / (rho + 1e-300)
        if h > h_stable:
            trial = h = h_stable
            rates(lanes, crystal, _at_time(C_old, C_new, t / dt, C), y, 1.0 / h, y, f0, scratch)
        s = stage_count(h * rho)
        ya, yb, fast = _substep(lanes, crystal, C_old, C_new, t, h, dt, s, y, ya, yb, f0, f, stages, C, scratch)
        limited |= fast
        error = _error(lanes, h, first_twin, last, y, ya, f0, f, scratch.w) / tolerance
        growth = SAFETY * max(error, 1e-3) ** (-1.0 / 3.0) if error < np.inf else SHRINK
        longer = h * min(max(growth, SHRINK), GROW)
        accepted = error <= 1.0
        if accepted:
            trial = longer if h >= trial else max(trial, longer)  # a substep cut short by the end of the step says less
            plan[min(count, MAX_PLAN - 1)] = (h, float(s))
            count += 1
            t += h
            _project(lanes, first_twin, last, ya, f, scratch.w)
            y, ya, f0, f = ya, y, f, f0
            if t >= dt * (1.0 - 1e-12):
                return DONE, y, trial, count
        else:
            trial = longer
        h = min(trial, dt - t)
        if h < shortest:
            return STUCK, y, trial, count
        h = 0.5 * (dt - t) if 0.5 * (dt - t) < h < dt - t else h
        if limited:  # the limits depend on the start and the length of the substep
            limited = rates(lanes, crystal, _at_time(C_old, C_new, t / dt, C), y, 1.0 / h, y, f0, scratch)
        if accepted:
            rho = MARGIN * stiffness(lanes, crystal, f0, scratch)
    return STUCK, y, trial, count


@njit
def replay(lanes, crystal, C_old, C_new, dt, plan, work):
    """`step` once more, with the substeps `plan` (n, 2) of before and nearly the same C_new; the array of the result.

    Without decisions in it the result is a smooth function of C_new, as iterations on C_new need: where an error comes
    close to its bound, `step` jumps by as much as the error that it allows.
    """
    y, ya, yb, f0, f, stages, C, _, scratch = work
    first_twin = FIRST_SLIP + crystal.n_slip
    t, limited = 0.0, True
    for k in range(len(plan)):
        h, s = plan[k, 0], int(plan[k, 1])
        if limited:
            rates(lanes, crystal, _at_time(C_old, C_new, t / dt, C), y, 1.0 / h, y, f0, scratch)
        ya, yb, limited = _substep(lanes, crystal, C_old, C_new, t, h, dt, s, y, ya, yb, f0, f, stages, C, scratch)
        _project(lanes, first_twin, first_twin + crystal.n_twin, ya, f, scratch.w)
        y, ya, f0, f = ya, y, f, f0
        t += h
    return y
