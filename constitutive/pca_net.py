"""PCA-Net: stress as a learned functional of the whole stretch path (Liu et al. 2022, section 3), without its history.

F = R U,   sigma = R s R^T,   s(t) = sum_j q_j chi_j(t),   q = N(p) - N(0),   p_i = 1/T integral_0^T phi_i (U - I) dt

phi_i, chi_j   modes of each component of U - I and of the stress, piecewise linear on equal intervals of (0, T)
N              network with SELU activation; N(0) is subtracted, so that a point that has never moved is free of stress
T              duration that the network was trained for: the law stops beyond it
K              where an artefact has it (`pressure` exact), s = dev s + K (J - 1) I, J = det F, is taken, so that
               the network gives the deviator alone; so it is for crystals with the energy (A.3), K = 2 lambda_e

At t_n the path is known up to t_n only. The rest is completed: held at U_n (constant), or continued at the rate of the
last step V_n = (U_n - U_{n-1}) / (t_n - t_{n-1}) (linear, as the authors do). The paper projects the stored path anew
at every step. But a path that is straight from step to step is a sum of ramps,

    (U - I)(t) = sum_k (V_{k+1} - V_k) (t - t_k)_+,    and with    Psi_i(t) = 1/T integral_t^T (s - t) phi_i(s) ds

(whose second derivative is phi_i / T: piecewise cubic) p follows from that of the step before, exactly, for any steps:

    linear:    p_i += Psi_i(t_n) (V_{n+1} - V_n)
    constant:  p_i += (Psi_i(t_n) - Psi_i(t_{n+1})) V_{n+1}

t_n is common to all points, so the first layer is folded into this: its width pre-activations z are the state, updated
by a product with the width x 6 matrix K(t_n) = W_1 Psi(t_n); and the last layer is folded into the modes: s(t_n) is a
product with a 6 x width matrix. Nothing is stored of the history and nothing grows with the number of steps.

F = R U by Newton's iteration R <- (R + R^-T)/2 from F, which ten times settle stretches between 1/40 and 40. Time
counts from the first step on, also in blocks that nothing has reached yet, which are otherwise skipped. The layers are
float32 (`precision` single) or float64 (double); z is float64 always. `outside_envelope` is how far |U - I|, |J - 1| or
|V| have ever been beyond their largest values in training: 0 inside, 0.1 where one was 10 % beyond.
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
    load_symmetric,
    load_tensor,
)
from constitutive.network import SELU_ALPHA, SELU_SCALE, dense, selu
from constitutive.tensor import adjugate, determinant, norm_squared, push_forward

LATE, APART, INSTANT = 3, 4, 5  # reasons of failure
HEADER = 9  # T, intervals, width, layers, linear, reciprocals of the bounds of strain, volume change and rate, K
TIME, STRETCH, RATE, MOVED, OUTSIDE, Z = 0, 1, 7, 13, 14, 15  # where they begin in the state
POLAR_STEPS = 10
COMPLETIONS, PRESSURES = ("linear", "constant"), ("exact", "learned")
PRECISIONS = {"single": np.float32, "double": np.float64}
MOST = 4096  # units of a layer


@njit
def _polar(F, R, U):
    """R (9 * BLOCK,) and U (6 * BLOCK,) of F = R U."""
    R[:] = F
    for _ in range(POLAR_STEPS):
        for p in range(BLOCK):
            A = load_tensor(R, p)
            C = adjugate(A)
            half = 0.5 / (A[0] * C[0] + A[1] * C[3] + A[2] * C[6])
            for i in range(3):
                for j in range(3):
                    R[(3 * i + j) * BLOCK + p] = 0.5 * A[3 * i + j] + half * C[3 * j + i]
    for p in range(BLOCK):
        A, B = load_tensor(R, p), load_tensor(F, p)
        U[p] = A[0] * B[0] + A[3] * B[3] + A[6] * B[6]
        U[BLOCK + p] = A[1] * B[1] + A[4] * B[4] + A[7] * B[7]
        U[2 * BLOCK + p] = A[2] * B[2] + A[5] * B[5] + A[8] * B[8]
        U[3 * BLOCK + p] = 0.5 * (A[0] * B[1] + A[3] * B[4] + A[6] * B[7] + A[1] * B[0] + A[4] * B[3] + A[7] * B[6])
        U[4 * BLOCK + p] = 0.5 * (A[1] * B[2] + A[4] * B[5] + A[7] * B[8] + A[2] * B[1] + A[5] * B[4] + A[8] * B[7])
        U[5 * BLOCK + p] = 0.5 * (A[0] * B[2] + A[3] * B[5] + A[6] * B[8] + A[2] * B[0] + A[5] * B[3] + A[8] * B[6])


@njit
def _start(T, dt, F_new, state, status):
    """Advance the clock, tell which points have moved. Returns the time before, and whether any point has moved."""
    before = state[TIME * BLOCK]
    after, any_moved = before + dt, False
    for p in range(BLOCK):
        moved = state[MOVED * BLOCK + p] != 0.0
        code = OK if after <= T * (1.0 + 1e-9) else LATE
        if moved and state[TIME * BLOCK + p] != before:
            code = APART
        F = load_tensor(F_new, p)
        J = determinant(F)
        at_rest = F[0] == 1.0 and F[4] == 1.0 and F[8] == 1.0 and F[1] == 0.0 and F[2] == 0.0 and F[3] == 0.0
        at_rest = at_rest and F[5] == 0.0 and F[6] == 0.0 and F[7] == 0.0
        moved = moved or not at_rest
        any_moved = any_moved or moved
        if moved and not dt > 0.0:
            code = INSTANT
        state[MOVED * BLOCK + p] = 1.0 if moved else 0.0
        state[TIME * BLOCK + p] = after
        status[p] = code if 0.0 < J < np.inf else INVERTED
    return before, any_moved


@njit
def _second_integral(table, rows, intervals, t, K):
    """K (rows,) = Psi at t in units of T, from nodal values of phi, its integral and second integral from t to T."""
    k = min(int(t * intervals), intervals - 1)
    size = rows * (intervals + 1)
    left, right = k * rows, (k + 1) * rows
    h = 1.0 / intervals
    s = (k + 1) * h - t
    half, sixth = 0.5 * s * s, s * s * s / (6.0 * h)
    for row in range(rows):
        phi, phi_next = table[left + row], table[right + row]
        K[row] = table[2 * size + right + row] + s * table[size + right + row] + half * phi_next
        K[row] += sixth * (phi - phi_next)


@njit
def _advance(T, linear, dt, U, state, change):
    """What K is multiplied with, `change` (6 * BLOCK,), in 1/T; the new U and rate, 1/s, into the state."""
    for c in range(6):
        for p in range(BLOCK):
            rate = (U[c * BLOCK + p] - state[(STRETCH + c) * BLOCK + p]) / dt
            change[c * BLOCK + p] = T * (rate - state[(RATE + c) * BLOCK + p] if linear else rate)
            state[(STRETCH + c) * BLOCK + p] = U[c * BLOCK + p]
            state[(RATE + c) * BLOCK + p] = rate


@njit
def _first_layer(K, width, bias, change, state, x):
    """z += K change, and x = z + bias."""
    for j in range(width):
        k0, k1, k2, k3, k4, k5 = K[6 * j], K[6 * j + 1], K[6 * j + 2], K[6 * j + 3], K[6 * j + 4], K[6 * j + 5]
        z, unit, b = state[(Z + j) * BLOCK : (Z + j + 1) * BLOCK], x[j * BLOCK : (j + 1) * BLOCK], bias[j]
        for p in range(BLOCK):
            c = load_symmetric(change, p)
            z[p] += k0 * c[0] + k1 * c[1] + k2 * c[2] + k3 * c[3] + k4 * c[4] + k5 * c[5]
            unit[p] = z[p] + b


@njit
def _respond(params, F_new, R, s, stress, state, status):
    """Complete the stress and turn it back, note the distance from the envelope; the worst status."""
    per_strain, per_volume, per_rate, K = params[5], params[6], params[7], params[8]
    worst = OK
    for p in range(BLOCK):
        a = load_symmetric(s, p)
        growth = determinant(load_tensor(F_new, p)) - 1.0
        mean = K * growth - (a[0] + a[1] + a[2]) * (1.0 / 3.0) if K > 0.0 else 0.0
        sigma = push_forward(load_tensor(R, p), (a[0] + mean, a[1] + mean, a[2] + mean, a[3], a[4], a[5]))
        moved = state[MOVED * BLOCK + p] != 0.0
        for c in range(6):
            stress[c * BLOCK + p] = sigma[c] if moved else 0.0
        b = STRETCH * BLOCK + p
        U = (state[b] - 1.0, state[b + BLOCK] - 1.0, state[b + 2 * BLOCK] - 1.0, state[b + 3 * BLOCK],
             state[b + 4 * BLOCK], state[b + 5 * BLOCK])  # fmt: skip
        b = RATE * BLOCK + p
        V = (state[b], state[b + BLOCK], state[b + 2 * BLOCK], state[b + 3 * BLOCK], state[b + 4 * BLOCK],
             state[b + 5 * BLOCK])  # fmt: skip
        strain, rate = per_strain * math.sqrt(norm_squared(U)), per_rate * math.sqrt(norm_squared(V))
        volume = per_volume * abs(growth)
        state[OUTSIDE * BLOCK + p] = max(state[OUTSIDE * BLOCK + p], max(max(strain, volume), rate) - 1.0)
        worst = max(worst, status[p])
    return worst


@njit
def _update(params, weights, start, F_new, dt, stress, state, status):
    """`update_block` with layers `weights` (float32 or float64); `start` is where they begin in `params`."""
    T, intervals, width, layers = params[0], int(params[1]), int(params[2]), int(params[3])
    linear = params[4] != 0.0
    before, any_moved = _start(T, dt, F_new, state, status)
    if not any_moved:
        stress[:] = 0.0
        return status[0]  # as all others
    R, U, change = np.empty(9 * BLOCK), np.empty(6 * BLOCK), np.empty(6 * BLOCK)
    _polar(F_new, R, U)
    _advance(T, linear, dt, U, state, change)
    rows, nodes = 6 * width, intervals + 1
    table, K = params[HEADER : HEADER + 3 * rows * nodes], np.empty(rows)
    t_old, t = min(before / T, 1.0), min((before + dt) / T, 1.0)
    _second_integral(table, rows, intervals, t_old, K)
    if not linear:
        K_new = np.empty(rows)
        _second_integral(table, rows, intervals, t, K_new)
        K -= K_new
    x, y = np.empty(max(width, 6) * BLOCK, weights.dtype), np.empty(max(width, 6) * BLOCK, weights.dtype)
    _first_layer(K, width, params[start - width : start], change, state, x)
    selu(x[: width * BLOCK])
    place = 0
    for _ in range(layers):
        place = dense(weights, place, width, width, 1, BLOCK, x, y)
        selu(y[: width * BLOCK])
        x, y = y, x
    size = 6 + 6 * width
    k = min(int(t * intervals), intervals - 1)
    part = weights.dtype.type(t * intervals - k)
    left, last = place + k * size, np.empty(size, weights.dtype)
    for i in range(size):
        last[i] = weights[left + i] + part * (weights[left + size + i] - weights[left + i])
    dense(last, 0, width, 6, 1, BLOCK, x, y)
    s = y[: 6 * BLOCK].astype(np.float64)
    return _respond(params, F_new, R, s, stress, state, status)


@njit
def _layers_start(params):
    intervals, width = int(params[1]), int(params[2])
    return HEADER + 18 * width * (intervals + 1) + width


@compile_block
def update_single(params, F_old, F_new, dt, stress, state, status):
    """See constitutive/law.py; layers in float32."""
    start = _layers_start(params)
    return _update(params, params[start:].view(np.float32), start, F_new, dt, stress, state, status)


@compile_block
def update_double(params, F_old, F_new, dt, stress, state, status):
    """See constitutive/law.py; layers in float64."""
    start = _layers_start(params)
    return _update(params, params[start:], start, F_new, dt, stress, state, status)


def selu_of(x: np.ndarray) -> np.ndarray:
    """SELU of an array of float64."""
    return SELU_SCALE * np.where(x > 0.0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0.0)))


def integrals_to_the_end(phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integrals of phi, and of these, from each of k+1 equally spaced times to 1; phi (..., k+1), piecewise linear."""
    h = 1.0 / (phi.shape[-1] - 1)
    left, right = phi[..., :-1], phi[..., 1:]
    first = _sums_to_the_end(0.5 * h * (left + right))
    second = _sums_to_the_end(h * first[..., 1:] + h * h * (left / 6.0 + right / 3.0))
    return first, second


def _sums_to_the_end(parts: np.ndarray) -> np.ndarray:
    sums = np.zeros((*parts.shape[:-1], parts.shape[-1] + 1))
    sums[..., :-1] = np.cumsum(parts[..., ::-1], axis=-1)[..., ::-1]
    return sums


def pack_network(artefact: Artefact, real: type) -> np.ndarray:
    """All numbers behind the header: phi folded with the first layer and its integrals, its biases, and the layers."""
    width = artefact.size("width", MOST)
    layers, modes_in, modes_out, intervals = map(artefact.size, ("layers", "modes_in", "modes_out", "intervals"))
    phi = artefact.array("input_modes", 6, modes_in, intervals + 1).astype(float)
    chi = artefact.array("output_modes", 6, modes_out, intervals + 1).astype(float)
    first = artefact.array("layer_0_weight", width, 6 * modes_in).astype(float).reshape(width, 6, modes_in)
    bias = artefact.array("layer_0_bias", width).astype(float)
    inner = [
        (artefact.array(f"layer_{k}_weight", width, width).astype(float), artefact.array(f"layer_{k}_bias", width))
        for k in range(1, layers)
    ]
    last = artefact.array("last_weight", 6 * modes_out, width).astype(float).reshape(6, modes_out, width)
    folded = np.einsum("wcm,cmk->wck", first, phi)
    tables = [np.moveaxis(table, -1, 0).ravel() for table in (folded, *integrals_to_the_end(folded))]
    rest = selu_of(bias)
    for W, b in inner:
        rest = selu_of(W @ rest + b)
    outputs = np.einsum("cmw,cmk->kcw", last, chi)
    packed = [part.ravel() for W, b in [*inner, *((W, -W @ rest) for W in outputs)] for part in (b, W)]
    network: np.ndarray = np.concatenate(packed).astype(real)
    network = np.concatenate([network, np.zeros(len(network) % 2, real)])  # a whole number of float64s
    return np.concatenate([*tables, bias, network.view(np.float64)])


def build(values: Mapping[str, Any]) -> Law:
    if values["precision"] not in PRECISIONS:
        raise LawError(f"precision '{values['precision']}' must be one of {', '.join(PRECISIONS)}")
    artefact = load_artefact(values["artefact"], "pca_net")
    density, p_wave, shear = (artefact.number("elastic", key) for key in ("density", "p_wave_modulus", "shear_modulus"))
    T, completion = artefact.number("duration"), artefact.choice("completion", COMPLETIONS)
    bounds = [artefact.number("envelope", key) for key in ("strain", "volume_change", "rate")]
    width, layers, intervals = map(artefact.size, ("width", "layers", "intervals"))
    bulk = artefact.number("elastic", "bulk_modulus") if artefact.choice("pressure", PRESSURES) == "exact" else 0.0
    header = [T, intervals, width, layers - 1, completion == "linear", *(1.0 / bound for bound in bounds), bulk]

    def fields(F, state):
        return {"outside_envelope": state[:, OUTSIDE]}

    return Law(
        name="pca_net",
        density=density if values["density"] is None else values["density"],
        p_wave_modulus=p_wave,
        shear_modulus=shear,
        params=np.concatenate([header, pack_network(artefact, PRECISIONS[values["precision"]])]),
        states=(
            State("time", "s"),
            State("stretch", "1", 6, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)),
            State("stretch_rate", "1/s", 6),
            State("moved", "1"),
            State("outside_envelope", "1"),
            State("first_layer", "1", width),
        ),
        update_block=update_single if values["precision"] == "single" else update_double,
        reasons={
            LATE: f"the time is beyond the {T:g} s that this network was trained for: end the run before, or train "
            "one for longer",
            INSTANT: "a step of no duration has no rate of strain, which this law needs",
            APART: "the points of a block have different times, which this law cannot do: drive them together",
        },
        fields=fields,
    )


PARAMETERS = (
    Parameter("artefact", "", "file of the trained law", kind=Path),
    replace(DENSITY, meaning="reference density; the fine scale's by default", required=False),
    Parameter("precision", "", "of the network: single or double", kind=str, default="single"),
)

LAW = LawDefinition("pca_net", PARAMETERS, build)
