"""The learned law `recurrent`: an internal-variable surrogate of a polycrystal (SPEC section 7).

Elasticity, pressure, frame indifference and, without a texture of its own, isotropy are exact; a network gives only the
inelastic flow. For the energy (A.3) of the paper, a polycrystal under one F has the stress

    sigma = G/J dev(A A^T) + 2 lambda_e (J - 1) I,   A = J^(-1/3) F N,   det N = 1

where N N^T is the mean inelastic metric Z = <F_in^-1 F_in^-T>, but for a part below 0.2 % that the stress does not see.
N plays the part of F_in^-1 of one representative grain that flows without spin: dN/dt = -N D, D symmetric. So the
elastic strain e = dev(A^T A) and the shape of N^T N are seen from a lattice which stays put while the material turns,
and neither sees a rotation of F. Between two evaluations of the network, e relaxes towards a target T at a rate r:

    de/dt = de_elastic/dt - r (e - T)

The material remembers by deviators h_k and scalars s_k in the same lattice. The network works on deviators as wholes:
it mixes them and squares them, and only their invariants pass through layers of units, so that a rotation of the
reference state turns T and h and nothing else. A texture of its own is a constant deviator b_j in each mixture.

A step of any dt, from e_old to the elastic trial e_tr (A^T A with the old N, the old and the new F):

    e_m = middle of the step as T and r of the step before have it
    v_j = W_j . (e_m / e_s, 3 N^T N / tr(N^T N) - I, h) + b_j             channels, deviators
    (u, a, b, c, gates) = units(|v|, det v, s, |e_m| / e_s)               two hidden layers of units, the last linear
    (T / e_s, w) = W_out (a_j v_j, b_j 3 dev(v_j v_j) / sqrt(1 + |v_j|^2)),   r = r_0 (u + sqrt(1 + u^2))^4
    e = e_old - x g(x) (e_old - T) + g(x) (e_tr - e_old),   x = r dt       exact for constant T, r and strain rate, if
                                                                    g(x) = (1 - exp(-x)) / x; here (1+x/2)/(1+x+x^2/2)
    e <- e min(1, |e_tr|/|e|)                             relaxation releases energy: plastic power is not negative
    d = e_tr - e,  z = sym(d e_tr) - d, bounded by |z| < 1          then (I + z)^(1/2) takes e_tr to e, to order e^2
    N <- N (I + z/2 - z^2/8) / det^(1/3)                            the root's series; positive definite
    y = (alpha |z| + beta x b(e_tr)) (gate + sqrt(1 + gate^2))      how far a memory relaxes in the step
    h <- h + g(y) (c_k (e_tr - e_old) / e_s + y (w / sqrt(1 + |w|^2) - h)),   s <- s + y g(y) (phi(c) - s)
    b(e) = |e|^2 / (|e|^2 + e_0^2)                        at rest a memory does not age
    D <- D + G/2 (e_old + e)/2 : d                        plastic work per reference volume, J/m3
    p <- p + sqrt(2/3) |z| / 2                            equivalent plastic strain of the mean flow

G, lambda_e Pa; J = det F; e_s, r_0 fixed scales; phi(x) = x / sqrt(1 + x^2) the units' activation; alpha, beta >= 0 and
c_k learned, for each memory: it may be driven and relaxed like the stress of some of the grains (c_k, beta), or forget
by strain (alpha). Norms are Frobenius'. The network is float32, all else float64. No function of the C library is
called, so that loops over points vectorise. The update of N is of order e^2, and memories enter a step as they were at
its start: a step of more equivalent strain than `longest_step` (by |e_tr - e_old|, the square root of 6 times as much)
is taken in equal parts, straight in J^(-2/3) F^T F. A point that has never flowed and has
|e_tr| < 1e-7 is elastic, and blocks of such points, ahead of a wave, are not asked: stress-free they stay, bit for bit.
`outside_envelope` is how far |e|, the shape or p have ever been beyond their largest values in training: 0 inside, 0.1
where one was 10 % beyond.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from constitutive.artefact import Artefact, load_artefact
from constitutive.elastic import DENSITY
from constitutive.jit import njit
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
    load_tensor,
)
from constitutive.network import activate, dense, spread
from constitutive.recurrent_equations import (
    ELASTIC_SCALE,
    between,
    contract,
    deviator,
    flow,
    gated,
    gram,
    invariants,
    memory_rate,
    network_inputs,
    relaxation_rate,
    remembered,
    remembered_tensor,
    transpose,
)
from constitutive.tensor import determinant, isochoric_factor, norm_squared, push_forward

PER_FLOW = 0.5 * math.sqrt(2.0 / 3.0)  # equivalent plastic strain per |z|
HEADER = 10  # G, lambda_e, tensors, scalars, channels, width, reciprocals of the three bounds of the envelope, longest
TARGET, RATE, STRAIN, WORK, OUTSIDE, MEMORY = 9, 14, 15, 16, 17, 18  # where they begin in the state, behind N
LONGEST_STEP, MOST_PARTS = 0.01, 256  # equivalent strain of a step in one part; the most parts
ASLEEP = 1e-7  # |e| below which a point that has never flowed is elastic, as it is ahead of a wave
FIVE = 5 * BLOCK  # numbers of a deviator at all points of a block
MOST = 1024  # units of a layer, channels, memories


@njit
def _load5(block, row, p):
    """The deviator from row on of point p."""
    b = row * BLOCK + p
    return (block[b], block[b + BLOCK], block[b + 2 * BLOCK], block[b + 3 * BLOCK], block[b + 4 * BLOCK])


@njit
def _load6(block, row, p):
    """The symmetric tensor from row on of point p."""
    b = row * BLOCK + p
    return (block[b], block[b + BLOCK], block[b + 2 * BLOCK], block[b + 3 * BLOCK], block[b + 4 * BLOCK],
            block[b + 5 * BLOCK])  # fmt: skip


@njit
def _stretches(F, C):
    """J^(-2/3) F^T F of all points into the six rows of C."""
    for p in range(BLOCK):
        A = load_tensor(F, p)
        factor, metric = isochoric_factor(determinant(A)), gram(A)
        for c in range(6):
            C[c * BLOCK + p] = factor * metric[c]


@njit
def _strains(C, part, dt, state, work, t, size):
    """e_old and e_trial into `work` (10 rows), the first two deviators of t, and |e_m| / e_s, in a part of the step.

    C holds J^(-2/3) F^T F before and after the step, 6 rows each. Rows of work: 12 which points are awake, 13 in how
    many parts each takes the step (told), 14 the time of a part, 0 for a point that has taken all of its own, 15 the
    square of how far e moves. Returns how many points are awake. A point that sleeps is told of no change.
    """
    awake = 0.0
    for p in range(BLOCK):
        N, before, after, parts = load_tensor(state, p), _load6(C, 0, p), _load6(C, 6, p), work[13 * BLOCK + p]
        time = dt / parts if part < parts else 0.0
        e_old = deviator(push_forward(transpose(N), between(before, after, min(part / parts, 1.0))))
        e_trial = deviator(push_forward(transpose(N), between(before, after, min((part + 1.0) / parts, 1.0))))
        mean, shape, length = network_inputs(e_old, e_trial, N, _load5(state, TARGET, p), state[RATE * BLOCK + p], time)
        wakes = 1.0 if contract(e_trial, e_trial) > ASLEEP * ASLEEP or state[STRAIN * BLOCK + p] > 0.0 else 0.0
        change = (e_trial[0] - e_old[0], e_trial[1] - e_old[1], e_trial[2] - e_old[2], e_trial[3] - e_old[3],
                  e_trial[4] - e_old[4])  # fmt: skip
        work[12 * BLOCK + p] = wakes
        work[14 * BLOCK + p] = time
        work[15 * BLOCK + p] = contract(change, change)
        awake += wakes
        for c in range(5):
            work[c * BLOCK + p] = wakes * e_old[c]
            work[(5 + c) * BLOCK + p] = wakes * e_trial[c]
            t[c * BLOCK + p] = mean[c]
            t[(5 + c) * BLOCK + p] = shape[c]
        size[p] = length
    return awake


@njit
def _parts(longest, work):
    """Row 13 of work: in how many parts each point takes the step, by row 15; returns the most.

    longest is |e_tr - e_old| of a part.
    """
    most, per_part = 1.0, 1.0 / longest
    for p in range(BLOCK):
        change = work[15 * BLOCK + p]
        few = change < (MOST_PARTS * longest) ** 2  # not a number: not few
        parts = math.floor(math.sqrt(change) * per_part) + 1.0 if few else float(MOST_PARTS)
        work[13 * BLOCK + p] = parts
        most = max(most, parts)
    return int(most)


@njit
def _invariants(channels, v, x):
    """|v| and det v of each channel, rows of x."""
    for j in range(channels):
        vj = v[j * FIVE : (j + 1) * FIVE]
        size, det = x[j * BLOCK : (j + 1) * BLOCK], x[(channels + j) * BLOCK : (channels + j + 1) * BLOCK]
        for p in range(BLOCK):
            size[p], det[p] = invariants(_load5(vj, 0, p))


@njit
def _gates(channels, v, units, parts):
    """a v and b 3 dev(v v) / sqrt(1 + |v|^2) of each channel."""
    for j in range(channels):
        vj = v[j * FIVE : (j + 1) * FIVE]
        a = units[(1 + j) * BLOCK : (2 + j) * BLOCK]
        b = units[(1 + channels + j) * BLOCK : (2 + channels + j) * BLOCK]
        linear = parts[j * FIVE : (j + 1) * FIVE]
        squared = parts[(channels + j) * FIVE : (channels + j + 1) * FIVE]
        for p in range(BLOCK):
            x, y = gated(_load5(vj, 0, p), a[p], b[p])
            for c in range(5):
                linear[c * BLOCK + p] = x[c]
                squared[c * BLOCK + p] = y[c]


@njit
def _flow(G, out, u, part, work, state):
    """New N, T, r, plastic strain and plastic work; rows 10 and 11 of work receive |z| and x b(e_trial)."""
    awake, parts, dt = work[12 * BLOCK : 13 * BLOCK], work[13 * BLOCK : 14 * BLOCK], work[14 * BLOCK : 15 * BLOCK]
    for p in range(BLOCK):
        e_old, e_trial, T32 = _load5(work, 0, p), _load5(work, 5, p), _load5(out, 0, p)
        T = (
            ELASTIC_SCALE * np.float64(T32[0]),
            ELASTIC_SCALE * np.float64(T32[1]),
            ELASTIC_SCALE * np.float64(T32[2]),
            ELASTIC_SCALE * np.float64(T32[3]),
            ELASTIC_SCALE * np.float64(T32[4]),
        )
        r = relaxation_rate(np.float64(u[p]))
        N, e, length, ageing = flow(e_old, e_trial, T, r * dt[p], load_tensor(state, p))
        work[10 * BLOCK + p] = 0.0
        work[11 * BLOCK + p] = 0.0
        if part < parts[p]:
            for c in range(9):
                state[c * BLOCK + p] = N[c]
            for c in range(5):
                state[(TARGET + c) * BLOCK + p] = awake[p] * T[c]
            state[RATE * BLOCK + p] = awake[p] * r
            state[STRAIN * BLOCK + p] += PER_FLOW * length
            d = (e_trial[0] - e[0], e_trial[1] - e[1], e_trial[2] - e[2], e_trial[3] - e[3], e_trial[4] - e[4])
            state[WORK * BLOCK + p] += max(0.25 * G * (contract(e_old, d) + contract(e, d)), 0.0)
            work[10 * BLOCK + p] = length
            work[11 * BLOCK + p] = ageing


@njit
def _remember(memory, tensors, scalars, out, targets, gates, work, state):
    """New h and s; `memory` holds alpha, beta, c of each."""
    length, ageing = work[10 * BLOCK : 11 * BLOCK], work[11 * BLOCK : 12 * BLOCK]
    for k in range(tensors):
        alpha, beta, drive = memory[3 * k], memory[3 * k + 1], memory[3 * k + 2]
        h = state[MEMORY * BLOCK + k * FIVE : MEMORY * BLOCK + (k + 1) * FIVE]
        w, gate = out[(1 + k) * FIVE : (2 + k) * FIVE], gates[k * BLOCK : (k + 1) * BLOCK]
        for p in range(BLOCK):
            y = memory_rate(alpha, beta, np.float64(gate[p]), length[p], ageing[p])
            new = remembered_tensor(_load5(h, 0, p), _load5(w, 0, p), drive, _load5(work, 0, p), _load5(work, 5, p), y)
            for c in range(5):
                h[c * BLOCK + p] = new[c]
    first = MEMORY * BLOCK + tensors * FIVE
    for k in range(scalars):
        alpha, beta = memory[3 * (tensors + k)], memory[3 * (tensors + k) + 1]
        s, target = state[first + k * BLOCK : first + (k + 1) * BLOCK], targets[k * BLOCK : (k + 1) * BLOCK]
        gate = gates[(tensors + k) * BLOCK : (tensors + k + 1) * BLOCK]
        for p in range(BLOCK):
            y = memory_rate(alpha, beta, np.float64(gate[p]), length[p], ageing[p])
            s[p] = remembered(s[p], np.float64(target[p]), 0.0, y)


@njit
def _respond(params, F_new, stress, state, status):
    """Stress, distance from the envelope and status."""
    G, lambda_e, per_e, per_shape, per_p = params[0], params[1], params[6], params[7], params[8]
    worst = OK
    for p in range(BLOCK):
        F, N = load_tensor(F_new, p), load_tensor(state, p)
        J = determinant(F)
        factor = isochoric_factor(J)
        B = push_forward(F, gram(transpose(N)))
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


@njit
def _network(weights, tensors, scalars, channels, width, t, x, out, units):
    """The network: deviators t and the rows of x behind the invariants to deviators `out` and `units`.

    t ((2 + tensors) FIVE,), x ((2 channels + scalars + 1) BLOCK,), out ((1 + tensors) FIVE,), units: u, a, b, c, gates.
    """
    inputs, outputs = 2 * channels + scalars + 1, 1 + 2 * channels + 2 * scalars + tensors
    v, parts = np.empty(channels * FIVE, np.float32), np.empty(2 * channels * FIVE, np.float32)
    y, z = np.empty(width * BLOCK, np.float32), np.empty(width * BLOCK, np.float32)
    start = spread(weights, 0, 5 * channels, v)
    start = dense(weights, start, 2 + tensors, channels, FIVE, t, v)
    _invariants(channels, v, x)
    start = spread(weights, start, width, y)
    start = dense(weights, start, inputs, width, BLOCK, x, y)
    activate(y, 0, width)
    start = spread(weights, start, width, z)
    start = dense(weights, start, width, width, BLOCK, y, z)
    activate(z, 0, width)
    start = spread(weights, start, outputs, units)
    start = dense(weights, start, width, outputs, BLOCK, z, units)
    _gates(channels, v, units, parts)
    out[:] = np.float32(0.0)
    dense(weights, start, 2 * channels, 1 + tensors, FIVE, parts, out)
    activate(units, 1 + 2 * channels, 1 + 2 * channels + scalars)


@compile_block
def update_block(params, F_old, F_new, dt, stress, state, status):
    """See constitutive/law.py."""
    tensors, scalars, channels, width = int(params[2]), int(params[3]), int(params[4]), int(params[5])
    first = HEADER + 3 * (tensors + scalars)
    memory, weights = params[HEADER:first], params[first:].view(np.float32)
    t, x = np.empty((2 + tensors) * FIVE, np.float32), np.empty((2 * channels + scalars + 1) * BLOCK, np.float32)
    out = np.empty((1 + tensors) * FIVE, np.float32)
    units = np.empty((1 + 2 * channels + 2 * scalars + tensors) * BLOCK, np.float32)
    work, C = np.empty(16 * BLOCK), np.empty(12 * BLOCK)
    work[13 * BLOCK : 14 * BLOCK] = 1.0
    size = x[(2 * channels + scalars) * BLOCK :]
    _stretches(F_old, C[: 6 * BLOCK])
    _stretches(F_new, C[6 * BLOCK :])
    if _strains(C, 0, dt, state, work, t, size) == 0.0:
        return _respond(params, F_new, stress, state, status)
    parts = _parts(params[9], work)
    remembered_from = MEMORY * BLOCK + tensors * FIVE
    targets = units[(1 + 2 * channels) * BLOCK : (1 + 2 * channels + scalars) * BLOCK]
    gates = units[(1 + 2 * channels + scalars) * BLOCK :]
    for part in range(parts):
        if parts > 1:
            _strains(C, part, dt, state, work, t, size)
        for p in range(tensors * FIVE):
            t[2 * FIVE + p] = state[MEMORY * BLOCK + p]
        for p in range(scalars * BLOCK):
            x[2 * channels * BLOCK + p] = state[remembered_from + p]
        _network(weights, tensors, scalars, channels, width, t, x, out, units)
        _flow(params[0], out, units, part, work, state)
        _remember(memory, tensors, scalars, out, targets, gates, work, state)
    return _respond(params, F_new, stress, state, status)


SIZES = ("tensors", "scalars", "channels", "width")


def pack_network(artefact: Artefact) -> np.ndarray:
    """Rows of alpha, beta, c of each memory and, behind them, all layers as float32 in the memory of float64s."""
    sizes = [int(artefact.entry("sizes", key)) for key in SIZES]
    if not all(0 < size <= MOST for size in sizes):
        raise LawError(f"{artefact.path}: sizes {dict(zip(SIZES, sizes, strict=True))} must be from 1 to {MOST}")
    K, S, channels, width = sizes
    inputs, outputs = 2 * channels + S + 1, 1 + 2 * channels + 2 * S + K
    layers = [artefact.array("mix_bias", channels, 5), artefact.array("mix_weight", channels, 2 + K)]
    for name, rows, columns in (("first", width, inputs), ("second", width, width), ("last", outputs, width)):
        layers += [artefact.array(f"{name}_bias", rows), artefact.array(f"{name}_weight", rows, columns)]
    layers.append(artefact.array("out_weight", 1 + K, 2 * channels))
    single = np.concatenate([layer.ravel() for layer in layers]).astype(np.float32)
    single = np.concatenate([single, np.zeros(len(single) % 2, np.float32)])
    drive = np.concatenate([artefact.array("drive", K), np.zeros(S)])
    memory = np.column_stack([*(artefact.array(name, K + S) for name in ("by_flow", "by_rate")), drive])
    return np.concatenate([memory.ravel(), single.view(np.float64)])


def build(values: Mapping[str, Any]) -> Law:
    artefact = load_artefact(values["artefact"], "recurrent")
    G, lambda_e, density = (float(artefact.entry("elastic", k)) for k in ("shear_modulus", "lambda_e", "density"))
    bounds = [float(artefact.entry("envelope", k)) for k in ("elastic_strain", "shape", "plastic_strain")]
    sizes = [int(artefact.entry("sizes", key)) for key in SIZES]
    longest = math.sqrt(6.0) * values["longest_step"]
    header = [G, lambda_e, *sizes, *(1.0 / b for b in bounds), longest]

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
            State("target", "1", 5),
            State("rate", "1/s"),
            State("equivalent_plastic_strain", "1"),
            State("plastic_work", "J/m3"),
            State("outside_envelope", "1"),
            State("tensor_memory", "1", 5 * sizes[0]),
            State("scalar_memory", "1", sizes[1]),
        ),
        update_block=update_block,
        energies=energies,
    )


PARAMETERS = (
    Parameter("artefact", "", "file of the trained law", kind=Path),
    replace(DENSITY, meaning="reference density; the fine scale's by default", required=False),
    Parameter(
        "longest_step",
        "1",
        "equivalent strain above which a step is taken in parts: smaller is closer and slower",
        0.0,
        exclusive=True,
        default=LONGEST_STEP,
    ),
)

LAW = LawDefinition("recurrent", PARAMETERS, build)
