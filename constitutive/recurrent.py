"""The learned law `recurrent`: an internal-variable surrogate of a polycrystal.

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
    h_m = h + min(dt / dt', 1) h' / 2, s_m alike                          h' of the step before, which took dt'
    v_j = W_j . (e_m / e_s, 3 N^T N / tr(N^T N) - I, h_m) + b_j           channels, deviators
    (u, a, b, c, gates) = units(|v|, det v, s_m, |e_m| / e_s)             two hidden layers of units, the last linear
    (T / e_s, w) = W_out (a_j v_j, b_j 3 dev(v_j v_j) / sqrt(1 + |v_j|^2)),   r = r_0 (u + sqrt(1 + u^2))^4
    e = e_old - x g(x) (e_old - T) + g(x) (e_tr - e_old),   x = r dt       exact for constant T, r and strain rate, if
                                                                    g(x) = (1 - exp(-x)) / x; here (1+x/2)/(1+x+x^2/2)
    e <- e min(1, |e_tr|/|e|)                             relaxation releases energy: plastic power is not negative
    d = e_tr - e,  z = sym(d e_tr) - d, bounded by |z| < 1          then (I + z)^(1/2) takes e_tr to e, to order e^2
    N <- N (I + z/2 - z^2/8) / det^(1/3)                            the root's series; positive definite
    y = (alpha |z| + beta x b(e_tr)) (gate + sqrt(1 + gate^2))      how far a memory relaxes in the step
    h <- h + g(y) (c_k (e_tr - e_old) / e_s + y (w / sqrt(1 + |w|^2) - h)),   s <- s + y g(y) (phi(c) - s)
    h' <- g(y) (h_new - h_old), s' alike                  what has relaxed fast does not go on
    b(e) = |e|^2 / (|e|^2 + e_0^2)                        at rest a memory does not age
    D <- D + G/2 (e_old + e)/2 : d                        plastic work per reference volume, J/m3
    p <- p + sqrt(2/3) |z| / 2                            equivalent plastic strain of the mean flow

G, lambda_e Pa; J = det F; e_s, r_0 fixed scales; phi(x) = x / sqrt(1 + x^2) the units' activation; alpha, beta >= 0 and
c_k learned, for each memory: it may be driven and relaxed like the stress of some of the grains (c_k, beta), or forget
by strain (alpha). Norms are Frobenius'. The network is float32, all else float64. No function of the C library is
called, so that loops over points vectorise. A point that has never flowed and has |e_tr| < 1e-7 is elastic, and where
all VECTOR points are, ahead of a wave, the network is not asked: stress-free they stay, bit for bit. `outside_envelope`
is how far |e|, the shape or p have ever been beyond their largest values in training: 0 inside, 0.1 where one was 10 %
beyond.

Errors of a step are of second order where the strain turns smoothly. A step of more equivalent strain than
`longest_step` (by |e_tr - e_old|, the square root of 6 times as much), or in which e is expected to move by more than a
tenth of that, is taken in equal parts, straight in J^(-2/3) F^T F. VECTOR points at a time take as many parts as the
one of them that needs most; one that has taken its own does not change any more.
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
    Parameter,
    State,
    compile_block,
    load_tensor,
)
from constitutive.network import activate, dense
from constitutive.products import VECTOR
from constitutive.recurrent_equations import (
    ELASTIC_SCALE,
    ahead,
    between,
    change,
    contract,
    deviator,
    flow,
    gated,
    invariants,
    memory_rate,
    minus,
    network_inputs,
    ratio_of_steps,
    relaxation_rate,
    remembered,
    remembered_tensor,
    scaled,
)
from constitutive.tensor import (
    LARGEST_J,
    SMALLEST_J,
    determinant,
    gram,
    isochoric_factor,
    norm_squared,
    push_forward,
    transpose,
)

PER_FLOW = 0.5 * math.sqrt(2.0 / 3.0)  # equivalent plastic strain per |z|
HEADER = 10  # G, lambda_e, tensors, scalars, channels, width, reciprocals of the three bounds of the envelope, longest
TARGET, RATE, STRAIN, WORK, OUTSIDE, STEP, MEMORY = 9, 14, 15, 16, 17, 18, 19  # where they begin in the state, behind N
TOLD = 17  # where in the rows of `work` begins what the network is told and tells
LONGEST_STEP, MOST_PARTS = 0.003, 256  # equivalent strain of a step in one part; the most parts
TURN = 10.0  # elastic strain may be expected to move by a TURNth of that in a part
LONG = 1e9  # ageing beyond which a memory does not change any more; its square is a float32
ASLEEP = 1e-7  # |e| below which a point that has never flowed is elastic, as it is ahead of a wave
FIVE = 5 * VECTOR  # numbers of a deviator at all points that take their parts together
MOST = 1024  # units of a layer, channels, memories


@njit
def _load5(rows, row, p):
    """The deviator from row on of point p, where rows are BLOCK apart."""
    b = row * BLOCK + p
    return (rows[b], rows[b + BLOCK], rows[b + 2 * BLOCK], rows[b + 3 * BLOCK], rows[b + 4 * BLOCK])


@njit
def _near5(rows, row, p):
    """The deviator from row on of point p, where rows are VECTOR apart."""
    b = row * VECTOR + p
    return (rows[b], rows[b + VECTOR], rows[b + 2 * VECTOR], rows[b + 3 * VECTOR], rows[b + 4 * VECTOR])


@njit
def _load6(rows, row, p):
    """The symmetric tensor from row on of point p, where rows are BLOCK apart."""
    b = row * BLOCK + p
    return (rows[b], rows[b + BLOCK], rows[b + 2 * BLOCK], rows[b + 3 * BLOCK], rows[b + 4 * BLOCK],
            rows[b + 5 * BLOCK])  # fmt: skip


@njit
def _stretches(F, C):
    """J^(-2/3) F^T F of all points into the six rows of C."""
    for p in range(BLOCK):
        A = load_tensor(F, p)
        factor, metric = isochoric_factor(determinant(A)), gram(A)
        for c in range(6):
            C[c * BLOCK + p] = factor * metric[c]


@njit
def _strains(C, part, dt, state, work):
    """What a part of the step begins with, into rows of work; C holds J^(-2/3) F^T F before and after the step.

    Rows: 0 e_old, 5 e_trial, 12 awake or not, 13 in how many parts the point takes the step (told), 14 the time of a
    part, 0 for a point that has taken all of its own, 15 the square of |e_tr - e_old| or of TURN times how far e is
    expected to move, 16 the ratio of steps, 17 what the network is told: e_m / e_s, shape, |e_m| / e_s. A point that
    sleeps is told of no change.
    """
    for p in range(VECTOR):
        N, before, after, parts = load_tensor(state, p), _load6(C, 0, p), _load6(C, 6, p), work[13 * VECTOR + p]
        time = dt / parts if part < parts else 0.0
        e_old = deviator(push_forward(transpose(N), between(before, after, min(part / parts, 1.0))))
        e_trial = deviator(push_forward(transpose(N), between(before, after, min((part + 1.0) / parts, 1.0))))
        mean, shape, length = network_inputs(e_old, e_trial, N, _load5(state, TARGET, p), state[RATE * BLOCK + p], time)
        wakes = 1.0 if contract(e_trial, e_trial) > ASLEEP * ASLEEP or state[STRAIN * BLOCK + p] > 0.0 else 0.0
        strain, half = minus(e_trial, e_old), minus(scaled(ELASTIC_SCALE, mean), e_old)
        for c in range(5):
            work[c * VECTOR + p] = wakes * e_old[c]
            work[(5 + c) * VECTOR + p] = wakes * e_trial[c]
            work[(TOLD + c) * VECTOR + p] = mean[c]
            work[(TOLD + 5 + c) * VECTOR + p] = shape[c]
        work[12 * VECTOR + p] = wakes
        work[14 * VECTOR + p] = time
        work[15 * VECTOR + p] = max(contract(strain, strain), (2.0 * TURN) ** 2 * contract(half, half))
        work[16 * VECTOR + p] = ratio_of_steps(time, state[STEP * BLOCK + p])
        work[(TOLD + 10) * VECTOR + p] = length


@njit
def _copy(rows, others):
    """Rows of one type into those of another."""
    for p in range(len(others)):
        others[p] = rows[p]


@njit
def _parts(longest, work):
    """Row 13 of work: in how many parts each point takes the step, by row 15; returns the most.

    longest is |e_tr - e_old| of a part.
    """
    most, per_part = 1.0, 1.0 / longest
    for p in range(VECTOR):
        change = work[15 * VECTOR + p]
        few = change < (MOST_PARTS * longest) ** 2  # not a number: not few
        parts = math.floor(math.sqrt(change) * per_part) + 1.0 if few else float(MOST_PARTS)
        work[13 * VECTOR + p] = parts
        most = max(most, parts)
    return int(most)


@njit
def _ahead(tensors, scalars, memory, changes, ratio, h, s):
    """Memories as they are expected in the middle of the step: rows h_m and s_m."""
    for k in range(tensors):
        old, moved, middle = memory[5 * k * BLOCK :], changes[5 * k * BLOCK :], h[k * FIVE : (k + 1) * FIVE]
        for p in range(VECTOR):
            for c in range(5):
                middle[c * VECTOR + p] = ahead(old[c * BLOCK + p], moved[c * BLOCK + p], ratio[p])
    for k in range(scalars):
        row = (5 * tensors + k) * BLOCK
        for p in range(VECTOR):
            s[k * VECTOR + p] = ahead(memory[row + p], changes[row + p], ratio[p])


@njit
def _invariants(channels, v, x):
    """|v| and det v of each channel, rows of x."""
    for j in range(channels):
        vj = v[j * FIVE : (j + 1) * FIVE]
        size, det = x[j * VECTOR : (j + 1) * VECTOR], x[(channels + j) * VECTOR : (channels + j + 1) * VECTOR]
        for p in range(VECTOR):
            size[p], det[p] = invariants(_near5(vj, 0, p))


@njit
def _gates(channels, v, units, parts):
    """a v and b 3 dev(v v) / sqrt(1 + |v|^2) of each channel."""
    for j in range(channels):
        vj = v[j * FIVE : (j + 1) * FIVE]
        a = units[(1 + j) * VECTOR : (2 + j) * VECTOR]
        b = units[(1 + channels + j) * VECTOR : (2 + channels + j) * VECTOR]
        linear = parts[j * FIVE : (j + 1) * FIVE]
        squared = parts[(channels + j) * FIVE : (channels + j + 1) * FIVE]
        for p in range(VECTOR):
            x, y = gated(_near5(vj, 0, p), a[p], b[p])
            for c in range(5):
                linear[c * VECTOR + p] = x[c]
                squared[c * VECTOR + p] = y[c]


@njit
def _flow(G, part, work, state):
    """New N, T, r, plastic strain and plastic work, by the rows of work behind TOLD: T / e_s and u.

    Rows 10 and 11 of work receive |z| and x b(e_trial).
    """
    for p in range(VECTOR):
        e_old, e_trial, T = _near5(work, 0, p), _near5(work, 5, p), scaled(ELASTIC_SCALE, _near5(work, TOLD, p))
        awake, takes, dt = work[12 * VECTOR + p], part < work[13 * VECTOR + p], work[14 * VECTOR + p]
        r = relaxation_rate(work[(TOLD + 5) * VECTOR + p])
        N, e, length, ageing = flow(e_old, e_trial, T, r * dt, load_tensor(state, p))
        d = minus(e_trial, e)
        work_done = max(0.25 * G * (contract(e_old, d) + contract(e, d)), 0.0)
        for c in range(9):
            state[c * BLOCK + p] = N[c] if takes else state[c * BLOCK + p]
        for c in range(5):
            state[(TARGET + c) * BLOCK + p] = awake * T[c] if takes else state[(TARGET + c) * BLOCK + p]
        state[RATE * BLOCK + p] = awake * r if takes else state[RATE * BLOCK + p]
        state[STEP * BLOCK + p] = awake * dt if takes else state[STEP * BLOCK + p]
        state[STRAIN * BLOCK + p] += PER_FLOW * length if takes else 0.0
        state[WORK * BLOCK + p] += work_done if takes else 0.0
        work[10 * VECTOR + p] = length if takes else 0.0
        work[11 * VECTOR + p] = min(ageing, LONG) if takes else 0.0


@njit
def _remember(coefficients, tensors, scalars, out, targets, gates, part, work, memory, changes):
    """New h and s, and their changes h', s'; `coefficients` holds alpha, beta, c of each."""
    length, ageing = work[10 * VECTOR : 11 * VECTOR], work[11 * VECTOR : 12 * VECTOR]
    parts = work[13 * VECTOR : 14 * VECTOR]
    for k in range(tensors):
        alpha, beta, drive = (
            np.float32(coefficients[3 * k]),
            np.float32(coefficients[3 * k + 1]),
            coefficients[3 * k + 2],
        )
        h, moved = memory[5 * k * BLOCK :], changes[5 * k * BLOCK :]
        w, gate = out[(1 + k) * FIVE : (2 + k) * FIVE], gates[k * VECTOR : (k + 1) * VECTOR]
        for p in range(VECTOR):
            y, old = memory_rate(alpha, beta, gate[p], np.float32(length[p]), np.float32(ageing[p])), _load5(h, 0, p)
            new = remembered_tensor(old, _near5(w, 0, p), drive, _near5(work, 0, p), _near5(work, 5, p), y)
            takes = part < parts[p]
            for c in range(5):
                moved[c * BLOCK + p] = change(old[c], new[c], y) if takes else moved[c * BLOCK + p]
                h[c * BLOCK + p] = new[c] if takes else old[c]
    for k in range(tensors, tensors + scalars):
        alpha, beta, row = np.float32(coefficients[3 * k]), np.float32(coefficients[3 * k + 1]), 4 * tensors + k
        s, moved = memory[row * BLOCK :], changes[row * BLOCK :]
        target = targets[(k - tensors) * VECTOR : (k - tensors + 1) * VECTOR]
        gate = gates[k * VECTOR : (k + 1) * VECTOR]
        for p in range(VECTOR):
            y, old = memory_rate(alpha, beta, gate[p], np.float32(length[p]), np.float32(ageing[p])), s[p]
            new = remembered(old, np.float64(target[p]), 0.0, y)
            takes = part < parts[p]
            moved[p] = change(old, new, y) if takes else moved[p]
            s[p] = new if takes else old


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
        status[p] = OK if SMALLEST_J < J < LARGEST_J and elastic < np.inf else INVERTED
        worst = max(worst, status[p])
    return worst


@njit
def _network(weights, tensors, scalars, channels, width, t, x, out, units, v, parts, y, z):
    """The network: deviators t and the rows of x behind the invariants to deviators `out` and `units`.

    t ((2 + tensors) FIVE,), x ((2 channels + scalars + 1) VECTOR,), out ((1 + tensors) FIVE,), units: u, a, b, c,
    gates. The last four are room to work in.
    """
    inputs, outputs = 2 * channels + scalars + 1, 1 + 2 * channels + 2 * scalars + tensors
    start = dense(weights, 0, 2 + tensors, channels, 5, VECTOR, t, v)
    _invariants(channels, v, x)
    start = dense(weights, start, inputs, width, 1, VECTOR, x, y)
    activate(y)
    start = dense(weights, start, width, width, 1, VECTOR, y, z)
    activate(z)
    start = dense(weights, start, width, outputs, 1, VECTOR, z, units)
    _gates(channels, v, units, parts)
    dense(weights, start, 2 * channels, 1 + tensors, 5, VECTOR, parts, out)
    activate(units[(1 + 2 * channels) * VECTOR : (1 + 2 * channels + scalars) * VECTOR])


@compile_block
def update_block(params, F_old, F_new, dt, stress, state, status):
    """See constitutive/law.py. VECTOR points at a time take as many parts as the one of them that needs most."""
    tensors, scalars, channels, width = int(params[2]), int(params[3]), int(params[4]), int(params[5])
    first = HEADER + 3 * (tensors + scalars)
    coefficients, weights = params[HEADER:first], params[first:].view(np.float32)
    t, x = np.empty((2 + tensors) * FIVE, np.float32), np.empty((2 * channels + scalars + 1) * VECTOR, np.float32)
    out = np.empty((1 + tensors) * FIVE, np.float32)
    units = np.empty((1 + 2 * channels + 2 * scalars + tensors) * VECTOR, np.float32)
    v, gated_v = np.empty(channels * FIVE, np.float32), np.empty(2 * channels * FIVE, np.float32)
    y, z = np.empty(width * VECTOR, np.float32), np.empty(width * VECTOR, np.float32)
    size = x[(2 * channels + scalars) * VECTOR :]
    targets, gates = units[(1 + 2 * channels) * VECTOR :], units[(1 + 2 * channels + scalars) * VECTOR :]
    changes = (5 * tensors + scalars) * BLOCK
    work, stretches = np.empty((TOLD + 11) * VECTOR), np.empty(12 * BLOCK)
    ratio, told = work[16 * VECTOR : 17 * VECTOR], work[TOLD * VECTOR :]
    _stretches(F_old, stretches[: 6 * BLOCK])
    _stretches(F_new, stretches[6 * BLOCK :])
    for point in range(0, BLOCK, VECTOR):
        C, own = stretches[point:], state[point:]
        memory = own[MEMORY * BLOCK :]
        work[13 * VECTOR : 14 * VECTOR] = 1.0
        _strains(C, 0, dt, own, work)
        if work[12 * VECTOR : 13 * VECTOR].max() == 0.0:
            continue
        parts = _parts(params[9], work)
        for part in range(parts):
            if parts > 1:
                _strains(C, part, dt, own, work)
            _copy(told, t[: 2 * FIVE])
            _copy(told[10 * VECTOR :], size)
            _ahead(tensors, scalars, memory, memory[changes:], ratio, t[2 * FIVE :], x[2 * channels * VECTOR :])
            _network(weights, tensors, scalars, channels, width, t, x, out, units, v, gated_v, y, z)
            _copy(out, told[:FIVE])
            _copy(units, told[FIVE : FIVE + VECTOR])
            _flow(params[0], part, work, own)
            _remember(coefficients, tensors, scalars, out, targets, gates, part, work, memory, memory[changes:])
    return _respond(params, F_new, stress, state, status)


SIZES = ("tensors", "scalars", "channels", "width")


def pack_network(artefact: Artefact) -> np.ndarray:
    """Rows of alpha, beta, c of each memory and, behind them, all layers as float32 in the memory of float64s."""
    K, S, channels, width = (artefact.size(name, MOST) for name in SIZES)
    inputs, outputs = 2 * channels + S + 1, 1 + 2 * channels + 2 * S + K
    layers = [artefact.array("mix_bias", channels, 5), artefact.array("mix_weight", channels, 2 + K)]
    for name, rows, columns in (("first", width, inputs), ("second", width, width), ("last", outputs, width)):
        layers += [artefact.array(f"{name}_bias", rows), artefact.array(f"{name}_weight", rows, columns)]
    layers += [np.zeros((1 + K, 5)), artefact.array("out_weight", 1 + K, 2 * channels)]
    single = np.concatenate([layer.ravel() for layer in layers]).astype(np.float32)
    single = np.concatenate([single, np.zeros(len(single) % 2, np.float32)])
    drive = np.concatenate([artefact.array("drive", K), np.zeros(S)])
    memory = np.column_stack([*(artefact.array(name, K + S) for name in ("by_flow", "by_rate")), drive])
    return np.concatenate([memory.ravel(), single.view(np.float64)])


def build(values: Mapping[str, Any]) -> Law:
    artefact = load_artefact(values["artefact"], "recurrent")
    G, lambda_e, density = (artefact.number("elastic", key) for key in ("shear_modulus", "lambda_e", "density"))
    bounds = [artefact.number("envelope", key) for key in ("elastic_strain", "shape", "plastic_strain")]
    sizes = [artefact.size(name, MOST) for name in SIZES]
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
            State("last_step", "s", internal=True),
            State("tensor_memory", "1", 5 * sizes[0]),
            State("scalar_memory", "1", sizes[1]),
            State("tensor_change", "1", 5 * sizes[0]),
            State("scalar_change", "1", sizes[1]),
        ),
        update_block=update_block,
        energies=energies,
        energy_states=("inelastic_map", "plastic_work"),
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
