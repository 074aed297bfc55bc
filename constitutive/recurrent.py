"""The learned law `recurrent`: an internal-variable surrogate of a polycrystal (SPEC section 7).

Elasticity, pressure and frame indifference are exact; a network gives only the inelastic flow. For the energy (A.3) of
the paper, a polycrystal under one F has the stress

    sigma = G/J dev(A A^T) + 2 lambda_e (J - 1) I,   A = J^(-1/3) F N,   det N = 1

where N N^T is the mean inelastic metric Z = <F_in^-1 F_in^-T>, but for a part below 0.2 % that the stress does not see.
N plays the part of F_in^-1 of one representative grain that flows without spin: dN/dt = -N D, D symmetric. So the
elastic strain e = dev(A^T A) and the shape of N^T N are seen from a lattice which stays put while the material turns,
and neither sees a rotation of F. Between two evaluations of the network, e relaxes towards a target T at a rate r:

    de/dt = de_elastic/dt - r (e - T)

A step of any dt, from e_old to the elastic trial e_tr (A^T A with the old N, the old and the new F):

    e_m = middle of the step as T and r of the step before have it
    (T, u, w) = network(e_m / e_s, 3 N^T N / tr(N^T N) - I, |e_m| / e_s, h),   r = r_0 (u + sqrt(1 + u^2))^4
    e = e_old - x g(x) (e_old - T) + g(x) (e_tr - e_old),   x = r dt       exact for constant T, r and strain rate, if
                                                                    g(x) = (1 - exp(-x)) / x; here (1+x/2)/(1+x+x^2/2)
    e <- e min(1, |e_tr|/|e|)                             relaxation releases energy: plastic power is not negative
    d = e_tr - e,  z = sym(d e_tr) - d, bounded by |z| < 1          then (I + z)^(1/2) takes e_tr to e, to order e^2
    N <- N (I + z/2 - z^2/8) / det^(1/3)                            the root's series; positive definite
    h <- h + g(y) (c : (e_tr - e_old) / e_s + y (phi(w) - h)),  y = alpha |z| + beta x b(e_tr)       memory
    b(e) = |e|^2 / (|e|^2 + e_0^2)                        at rest it does not age
    D <- D + G/2 (e_old + e)/2 : d                        plastic work per reference volume, J/m3
    p <- p + sqrt(2/3) |z| / 2                            equivalent plastic strain of the mean flow

    network: two hidden layers, activation phi(x) = x / sqrt(1 + x^2), linear last layer; float32

G, lambda_e Pa; J = det F; e_s, r_0 fixed scales; alpha, beta >= 0, c learned, for each h: a memory may be driven and
relaxed like the stress of some of the grains (c, beta), or forget by strain (alpha). Norms are Frobenius'. No function
of the C library is called, so that loops over points vectorise. A point with e_tr = 0 gets z = 0: stress-free it stays,
bit for bit. `outside_envelope` is how far |e|, the shape or p have ever been beyond their largest values in training:
0 inside, 0.1 where one was 10 % beyond.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from constitutive.artefact import Artefact, load_artefact
from constitutive.jit import inline, njit
from constitutive.law import (
    BLOCK,
    INVERTED,
    OK,
    Law,
    LawDefinition,
    LawError,
    Parameter,
    State,
    compile_block,
    load_symmetric,
    load_tensor,
)
from constitutive.network import TILE, activate, dense, padded, tiled
from constitutive.tensor import determinant, isochoric_factor, matmul, norm_squared, push_forward

ELASTIC_SCALE = 0.005  # e_s: a fair part of e where metals flow fast
RATE_SCALE = 1e7  # r_0, 1/s
ONSET = 5e-4  # e_0
TINY = 1e-16  # keeps ratios of vanishing strains finite, also in the float32 of training
PER_FLOW = 0.5 * math.sqrt(2.0 / 3.0)  # equivalent plastic strain per |z|
HEADER = 8  # G, lambda_e, width, hidden, reciprocals of the three bounds of the envelope, unused
INPUTS, OUTPUTS = 13, 7  # of the network, beside the hidden variables
TARGET, RATE, STRAIN, WORK, OUTSIDE, HIDDEN = 9, 15, 16, 17, 18, 19  # where they begin in the state, behind N
MOST = 1024  # units of a layer


@inline
def gram(A):
    """A^T A of a 9-tuple, as a 6-tuple."""
    return (
        A[0] * A[0] + A[3] * A[3] + A[6] * A[6],
        A[1] * A[1] + A[4] * A[4] + A[7] * A[7],
        A[2] * A[2] + A[5] * A[5] + A[8] * A[8],
        A[0] * A[1] + A[3] * A[4] + A[6] * A[7],
        A[1] * A[2] + A[4] * A[5] + A[7] * A[8],
        A[0] * A[2] + A[3] * A[5] + A[6] * A[8],
    )


@inline
def symmetric_product(A, B):
    """(A B + B A) / 2 of symmetric 6-tuples."""
    return (
        A[0] * B[0] + A[3] * B[3] + A[5] * B[5],
        A[1] * B[1] + A[3] * B[3] + A[4] * B[4],
        A[2] * B[2] + A[4] * B[4] + A[5] * B[5],
        0.5 * ((A[0] + A[1]) * B[3] + A[3] * (B[0] + B[1]) + A[4] * B[5] + A[5] * B[4]),
        0.5 * ((A[1] + A[2]) * B[4] + A[4] * (B[1] + B[2]) + A[3] * B[5] + A[5] * B[3]),
        0.5 * ((A[0] + A[2]) * B[5] + A[5] * (B[0] + B[2]) + A[3] * B[4] + A[4] * B[3]),
    )


@inline
def inner(A, B):
    """A : B of symmetric 6-tuples."""
    return A[0] * B[0] + A[1] * B[1] + A[2] * B[2] + 2.0 * (A[3] * B[3] + A[4] * B[4] + A[5] * B[5])


@inline
def mean_decay(x):
    """g(x) for x >= 0."""
    half = 0.5 * x
    return (1.0 + half) / (1.0 + x * (1.0 + half))


@inline
def elastic_strain(F, N):
    """dev(A^T A) as a 6-tuple."""
    C = gram(matmul(F, N))
    factor = isochoric_factor(determinant(F))
    mean = factor * (C[0] + C[1] + C[2]) * (1.0 / 3.0)
    return (
        factor * C[0] - mean,
        factor * C[1] - mean,
        factor * C[2] - mean,
        factor * C[3],
        factor * C[4],
        factor * C[5],
    )


@inline
def relaxed(e_old, e_trial, T, x):
    """e after x = r dt, as a 6-tuple."""
    g = mean_decay(x)
    a = x * g
    return (
        e_old[0] - a * (e_old[0] - T[0]) + g * (e_trial[0] - e_old[0]),
        e_old[1] - a * (e_old[1] - T[1]) + g * (e_trial[1] - e_old[1]),
        e_old[2] - a * (e_old[2] - T[2]) + g * (e_trial[2] - e_old[2]),
        e_old[3] - a * (e_old[3] - T[3]) + g * (e_trial[3] - e_old[3]),
        e_old[4] - a * (e_old[4] - T[4]) + g * (e_trial[4] - e_old[4]),
        e_old[5] - a * (e_old[5] - T[5]) + g * (e_trial[5] - e_old[5]),
    )


@inline
def stretch(e_trial, e):
    """I + z/2 - z^2/8 as a 9-tuple, and |z|, of the flow that takes e_trial to e."""
    d = (
        e_trial[0] - e[0],
        e_trial[1] - e[1],
        e_trial[2] - e[2],
        e_trial[3] - e[3],
        e_trial[4] - e[4],
        e_trial[5] - e[5],
    )
    s = symmetric_product(d, e_trial)
    z = (s[0] - d[0], s[1] - d[1], s[2] - d[2], s[3] - d[3], s[4] - d[4], s[5] - d[5])
    square, q = inner(z, z), symmetric_product(z, z)
    bound = 1.0 / math.sqrt(math.sqrt(1.0 + square * square))
    half, eighth = 0.5 * bound, 0.125 * bound * bound
    v3, v4, v5 = half * z[3] - eighth * q[3], half * z[4] - eighth * q[4], half * z[5] - eighth * q[5]
    return (
        1.0 + half * z[0] - eighth * q[0],
        v3,
        v5,
        v3,
        1.0 + half * z[1] - eighth * q[1],
        v4,
        v5,
        v4,
        1.0 + half * z[2] - eighth * q[2],
    ), bound * math.sqrt(square)


@inline
def _load6(block, row, p):
    """Six components from row on of point p."""
    b = row * BLOCK + p
    return (block[b], block[b + BLOCK], block[b + 2 * BLOCK], block[b + 3 * BLOCK], block[b + 4 * BLOCK],
            block[b + 5 * BLOCK])  # fmt: skip


@njit
def _strains(F_old, F_new, dt, state, hidden, x, work):
    """The network's inputs x (float32), and the first rows of work: e_old (6), e_trial (6)."""
    for p in range(BLOCK):
        N, T = load_tensor(state, p), _load6(state, TARGET, p)
        e_old = elastic_strain(load_tensor(F_old, p), N)
        e_trial = elastic_strain(load_tensor(F_new, p), N)
        e = relaxed(e_old, e_trial, T, state[RATE * BLOCK + p] * dt)
        e = (
            (0.5 / ELASTIC_SCALE) * (e_old[0] + e[0]),
            (0.5 / ELASTIC_SCALE) * (e_old[1] + e[1]),
            (0.5 / ELASTIC_SCALE) * (e_old[2] + e[2]),
            (0.5 / ELASTIC_SCALE) * (e_old[3] + e[3]),
            (0.5 / ELASTIC_SCALE) * (e_old[4] + e[4]),
            (0.5 / ELASTIC_SCALE) * (e_old[5] + e[5]),
        )
        M = gram(N)
        per_mean = 3.0 / (M[0] + M[1] + M[2])
        for c in range(6):
            work[c * BLOCK + p] = e_old[c]
            work[(6 + c) * BLOCK + p] = e_trial[c]
            x[c * BLOCK + p] = e[c]
            x[(6 + c) * BLOCK + p] = M[c] * per_mean - (1.0 if c < 3 else 0.0)
        x[12 * BLOCK + p] = math.sqrt(inner(e, e) + TINY)
    for p in range(hidden * BLOCK):
        x[INPUTS * BLOCK + p] = state[HIDDEN * BLOCK + p]


@njit
def _flow(G, dt, y, work, state):
    """New N, T, r, equivalent plastic strain and plastic work; work's last two rows receive |z| and x b(e_tr)."""
    for p in range(BLOCK):
        e_old, e_trial, T = load_symmetric(work, p), _load6(work, 6, p), load_symmetric(y, p)
        T = (
            ELASTIC_SCALE * T[0],
            ELASTIC_SCALE * T[1],
            ELASTIC_SCALE * T[2],
            ELASTIC_SCALE * T[3],
            ELASTIC_SCALE * T[4],
            ELASTIC_SCALE * T[5],
        )
        u = np.float64(y[6 * BLOCK + p])
        s = u + math.sqrt(1.0 + u * u)
        s = s * s
        r = RATE_SCALE * s * s
        e = relaxed(e_old, e_trial, T, r * dt)
        scale = math.sqrt(min(inner(e_trial, e_trial) / (inner(e, e) + TINY), 1.0))
        e = (scale * e[0], scale * e[1], scale * e[2], scale * e[3], scale * e[4], scale * e[5])
        V, flow = stretch(e_trial, e)
        N = matmul(load_tensor(state, p), V)
        unimodular = (4.0 - determinant(N)) * (1.0 / 3.0)
        for c in range(9):
            state[c * BLOCK + p] = unimodular * N[c]
        for c in range(6):
            state[(TARGET + c) * BLOCK + p] = T[c]
        state[RATE * BLOCK + p] = r
        state[STRAIN * BLOCK + p] += PER_FLOW * flow
        middle = inner(e_old, e_trial) - inner(e_old, e) + inner(e, e_trial) - inner(e, e)  # (e_old + e) : (e_tr - e)
        state[WORK * BLOCK + p] += max(0.25 * G * middle, 0.0)
        work[12 * BLOCK + p] = flow
        size = inner(e_trial, e_trial)
        work[13 * BLOCK + p] = r * dt * size / (size + ONSET * ONSET)


@njit
def _remember(memory, hidden, y, work, state):
    """New h; `memory` holds alpha, beta and c / e_s (6) of each."""
    for k in range(hidden):
        alpha, beta, c = memory[8 * k], memory[8 * k + 1], memory[8 * k + 2 : 8 * k + 8]
        c0, c1, c2, c3, c4, c5 = c[0], c[1], c[2], c[3], c[4], c[5]
        h, target = state[(HIDDEN + k) * BLOCK : (HIDDEN + k + 1) * BLOCK], y[(OUTPUTS + k) * BLOCK :]
        for p in range(BLOCK):
            old, new = load_symmetric(work, p), _load6(work, 6, p)
            driven = c0 * (new[0] - old[0]) + c1 * (new[1] - old[1]) + c2 * (new[2] - old[2])
            driven += c3 * (new[3] - old[3]) + c4 * (new[4] - old[4]) + c5 * (new[5] - old[5])
            x = alpha * work[12 * BLOCK + p] + beta * work[13 * BLOCK + p]
            h[p] += mean_decay(x) * (driven + x * (np.float64(target[p]) - h[p]))


@njit
def _respond(params, F_new, stress, state, status):
    """Stress, distance from the envelope and status."""
    G, lambda_e, per_e, per_shape, per_p = params[0], params[1], params[4], params[5], params[6]
    worst = OK
    for p in range(BLOCK):
        F, N = load_tensor(F_new, p), load_tensor(state, p)
        J = determinant(F)
        factor = isochoric_factor(J)
        B = push_forward(F, gram((N[0], N[3], N[6], N[1], N[4], N[7], N[2], N[5], N[8])))
        B = (factor * B[0], factor * B[1], factor * B[2], factor * B[3], factor * B[4], factor * B[5])
        mean, g = (B[0] + B[1] + B[2]) * (1.0 / 3.0), G / J
        pressure = g * mean - 2.0 * lambda_e * (J - 1.0)
        for c in range(6):
            stress[c * BLOCK + p] = g * B[c] - (pressure if c < 3 else 0.0)
        elastic = math.sqrt(max(norm_squared(B) - 3.0 * mean * mean, 0.0))
        M = gram(N)
        m = (M[0] + M[1] + M[2]) * (1.0 / 3.0)
        shape = math.sqrt(max(norm_squared(M) / (m * m) - 3.0, 0.0))
        beyond = max(max(elastic * per_e, shape * per_shape), state[STRAIN * BLOCK + p] * per_p) - 1.0
        state[OUTSIDE * BLOCK + p] = max(state[OUTSIDE * BLOCK + p], beyond)
        status[p] = OK if J > 0.0 and elastic < np.inf else INVERTED
        worst = max(worst, status[p])
    return worst


@compile_block
def update_block(params, F_old, F_new, dt, stress, state, status):
    """See constitutive/law.py."""
    width, hidden = int(params[2]), int(params[3])
    first = HEADER + 8 * hidden
    memory, weights = params[HEADER:first], params[first:].view(np.float32)
    inputs, outputs = padded(INPUTS + hidden), padded(OUTPUTS + hidden)
    x = np.zeros(max(inputs, outputs, width) * BLOCK, np.float32)
    y = np.empty(max(outputs, width) * BLOCK, np.float32)
    work = np.empty(14 * BLOCK)
    _strains(F_old, F_new, dt, state, hidden, x, work)
    start = dense(weights, 0, inputs, width, x, y)
    activate(y, 0, width)
    start = dense(weights, start, width, width, y, x)
    activate(x, 0, width)
    dense(weights, start, width, outputs, x, y)
    activate(y, OUTPUTS, OUTPUTS + hidden)
    _flow(params[0], dt, y, work, state)
    _remember(memory, hidden, y, work, state)
    return _respond(params, F_new, stress, state, status)


def pack_network(artefact: Artefact) -> np.ndarray:
    """Rows of alpha, beta and c / e_s and, behind them, all layers as float32 in the memory of float64s."""
    width, hidden = int(artefact.entry("sizes", "width")), int(artefact.entry("sizes", "hidden"))
    if not (0 < width <= MOST and 0 < hidden <= MOST) or width % TILE:
        raise LawError(f"{artefact.path}: width {width} must be a multiple of {TILE}, and it and hidden {hidden} "
                       f"above 0 and at most {MOST}")  # fmt: skip
    layers = (("first", width, INPUTS + hidden), ("second", width, width), ("last", OUTPUTS + hidden, width))
    packed = [
        tiled(artefact.array(f"{name}_weight", rows, columns), artefact.array(f"{name}_bias", rows))
        for name, rows, columns in layers
    ]
    single = np.concatenate(packed)  # its length is even: layers are filled up to multiples of TILE
    rates = [artefact.array(name, hidden) for name in ("by_flow", "by_rate")]
    memory = np.column_stack([*rates, artefact.array("drive", hidden, 6) / ELASTIC_SCALE])
    return np.concatenate([memory.ravel(), single.view(np.float64)])


def build(values: Mapping[str, Any]) -> Law:
    artefact = load_artefact(values["artefact"], "recurrent")
    G, lambda_e, density = (float(artefact.entry("elastic", k)) for k in ("shear_modulus", "lambda_e", "density"))
    bounds = [float(artefact.entry("envelope", k)) for k in ("elastic_strain", "shape", "plastic_strain")]
    hidden = int(artefact.entry("sizes", "hidden"))
    header = [G, lambda_e, artefact.entry("sizes", "width"), hidden, *(1.0 / b for b in bounds), 0.0]

    def energies(F, state):
        J = np.linalg.det(F)
        A = F @ state[:, :9].reshape(-1, 3, 3)
        stored = 0.5 * G * (np.einsum("nij,nij->n", A, A) / np.cbrt(J * J) - 3.0) + lambda_e * (J - 1.0) ** 2
        return stored, state[:, WORK]

    return Law(
        name="recurrent",
        density=density if values["density"] is None else values["density"],
        p_wave_modulus=2.0 * lambda_e + 4.0 / 3.0 * G,
        shear_modulus=G,
        params=np.concatenate([header, pack_network(artefact)]),
        states=(
            State("inelastic_map", "1", 9, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)),
            State("target", "1", 6),
            State("rate", "1/s"),
            State("equivalent_plastic_strain", "1"),
            State("plastic_work", "J/m3"),
            State("outside_envelope", "1"),
            State("hidden", "1", hidden),
        ),
        update_block=update_block,
        energies=energies,
    )


PARAMETERS = (
    Parameter("artefact", "", "file of the trained law", kind=Path),
    Parameter(
        "density", "kg/m3", "reference density; the fine scale's by default", 0.0, exclusive=True, required=False
    ),
)

LAW = LawDefinition("recurrent", PARAMETERS, build)
