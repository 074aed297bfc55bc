"""Johnson-Cook viscoplasticity with adiabatic heating at finite strain (Johnson & Cook 1983).

q <= Y                                                             yield condition, q von Mises stress of J sigma
Y = (A + B p^n) (1 + C ln(max(pdot / pdot_0, 1))) (1 - theta^m)    flow stress, Pa
theta = (T - T_ref) / (T_melt - T_ref), between 0 and 1            homologous temperature: no strength once molten
pdot = dp / dt                                                     plastic strain rate of the step, 1/s
rho c dT = chi q dp                                                heating by plastic work, Taylor-Quinney factor chi

Elasticity, energies and the radial return q = q_tr - M dp are those of radial_return.py. Strain, rate and temperature
are those at the end of the step, so dp solves  q_tr - M dp = Y(p + dp, dp / dt, T + chi (q_tr - M dp) dp / (rho c)),
to round-off, by Newton's method inside a bracket. The block is worked through in three vectorised loops: trial,
iterations, return.
"""

import math

import numpy as np

from constitutive import elastic
from constitutive.elementary import exp, log, power
from constitutive.j2 import ELASTIC_METRIC, PLASTIC_STRAIN
from constitutive.jit import inline, njit
from constitutive.law import (
    BLOCK,
    INVERTED,
    NOT_CONVERGED,
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
from constitutive.neo_hookean import cauchy_stress, energy
from constitutive.radial_return import (
    TINY,
    deviator_invariants,
    elastic_trial,
    return_modulus,
    returned,
    von_mises_kirchhoff,
)
from constitutive.tensor import LARGEST_J, SMALLEST_J, determinant

# Rows of the state; rows 0 to 5 are the elastic metric, and hold its trial value between the first loop and the last.
STRAIN, TEMPERATURE, WORK = 6, 7, 8
# Rows of the stress block, which serves as scratch until the last loop.
Q_TRIAL, MODULUS, STEP, LOWER, UPPER, RESIDUAL = range(6)

SMALLEST = 1e-200  # plastic strain step, far below round-off, at which the bracket starts
CLOSED = 1.0 - 1e-15  # a bracket narrower than this ratio holds nothing but round-off
ROUND_OFF = 1e-15
NEARLY = 1e-9  # relative residual from which one more Newton step reaches round-off
ITERATIONS = 100


@inline
def constants_of(params):
    """Constants of `flow_stress` as a tuple: an array handed on inside a loop would keep it from being vectorised."""
    return params[2], params[3], params[4], params[5], params[6], params[8], params[9]


@inline
def flow_stress(constants, p, dp, per_step, T, dT):
    """Y (Pa) and its slope dY/d(dp), for p and T at the end of a step in which T grows by dT per plastic strain.

    per_step is 1 / (pdot_0 dt).
    """
    A, B, n, C, m, T_ref, per_range = constants
    strain = max(p, SMALLEST)
    hardening = B * power(strain, n)
    step = max(dp, SMALLEST)
    logarithm = log(step * per_step)
    rate = 1.0 + C * max(logarithm, 0.0)
    theta = (T - T_ref) * per_range
    inside = min(max(theta, SMALLEST), 1.0)
    softening = power(inside, m) if theta > 0.0 else 0.0
    thermal = 1.0 - softening
    slope = hardening * n / strain * rate * thermal
    slope = slope + ((A + hardening) * C / step * thermal if logarithm > 0.0 else 0.0)
    heating = (A + hardening) * rate * softening * m / inside * per_range * dT
    slope = slope - (heating if theta < 1.0 else 0.0)
    return (A + hardening) * rate * thermal, slope


@inline
def improve(x, lower, upper, residual, last_residual, slope, nearly):
    """Next plastic strain step and bracket; `residual` = q - Y falls with x, `slope` is its derivative's negative.

    Moves to the right are Newton's: Y is concave in x but for thermal softening, so they do not overshoot. Long moves
    to the left are Newton's in ln x, which stay positive. A step that leaves the bracket or follows one that did not
    halve the residual is replaced by the geometric mean of the bracket, or left out where x is `nearly` the root.
    """
    lower = x if residual > 0.0 else lower
    upper = x if residual <= 0.0 else upper
    newton = residual / slope
    x_new = x + newton if newton > -0.5 * x else x * exp(newton / x)
    good = slope > 0.0 and x_new >= lower and x_new <= upper and abs(residual) < 0.5 * abs(last_residual)
    otherwise = x if nearly else math.sqrt(max(lower, 1e-8 * upper) * upper)
    return (x_new if good else otherwise), lower, upper


@njit
def try_elastic(params, F_old, F_new, dt, stress, state, status):
    """Elastic trial of a block; returns how many points yield, with bracket and first guess of their plastic steps."""
    G = params[0]
    constants, per_step = constants_of(params), 1.0 / (params[7] * dt)
    yielding = 0
    for p in range(BLOCK):
        b_old = load_symmetric(state, p)
        b, J, j = elastic_trial(load_tensor(F_old, p), load_tensor(F_new, p), b_old)
        _, square_old, _ = deviator_invariants(b_old)
        m, square, det = deviator_invariants(b)
        q = von_mises_kirchhoff(G, square)
        T = state[TEMPERATURE * BLOCK + p]
        Y, _ = flow_stress(constants, state[STRAIN * BLOCK + p], 0.0, per_step, T, 0.0)
        q_estimate = max(von_mises_kirchhoff(G, square_old), Y)  # q at the end, if the rate does not change
        modulus = return_modulus(G, m, square, det, 0.5 + 0.5 * min(q_estimate / max(q, TINY), 1.0))
        upper = q / modulus
        yields = q > Y
        for c in range(6):
            state[c * BLOCK + p] = b[c]
        stress[Q_TRIAL * BLOCK + p] = q
        stress[MODULUS * BLOCK + p] = modulus
        stress[STEP * BLOCK + p] = max((q - q_estimate) / modulus, 1e-6 * upper) if yields else 0.0
        stress[LOWER * BLOCK + p] = SMALLEST if yields else 0.0
        stress[UPPER * BLOCK + p] = upper if yields else 0.0
        stress[RESIDUAL * BLOCK + p] = np.inf
        status[p] = OK if J > 0.0 and SMALLEST_J < j < LARGEST_J and q < np.inf else INVERTED
        yielding += 1 if yields else 0
    return yielding


@njit
def solve_plastic_steps(params, dt, stress, state):
    """One iteration for the plastic steps of a block; returns how many need another."""
    heat = params[10]
    constants, per_step = constants_of(params), 1.0 / (params[7] * dt)
    unsolved = 0
    for p in range(BLOCK):
        q_trial, modulus = stress[Q_TRIAL * BLOCK + p], stress[MODULUS * BLOCK + p]
        x, lower, upper = stress[STEP * BLOCK + p], stress[LOWER * BLOCK + p], stress[UPPER * BLOCK + p]
        q = q_trial - modulus * x
        T = state[TEMPERATURE * BLOCK + p] + heat * q * x
        Y, slope = flow_stress(constants, state[STRAIN * BLOCK + p] + x, x, per_step, T, heat * (q - modulus * x))
        residual = q - Y
        unsettled = lower < upper * CLOSED
        nearly = abs(residual) <= NEARLY * Y + ROUND_OFF * q_trial
        last = stress[RESIDUAL * BLOCK + p]
        x_new, low, high = improve(x, lower, upper, residual, last, slope + modulus, nearly)
        again = unsettled and not nearly
        x_new = x_new if unsettled else x
        stress[STEP * BLOCK + p] = x_new
        stress[LOWER * BLOCK + p] = low if again else x_new
        stress[UPPER * BLOCK + p] = high if again else x_new
        stress[RESIDUAL * BLOCK + p] = residual
        unsolved += 1 if again else 0
    return unsolved


@njit
def return_radially(params, F_new, stress, state, status):
    """Stress and state of a block whose plastic steps are known; returns the worst status."""
    G, K, heat = params[0], params[1], params[10]
    worst = OK
    for p in range(BLOCK):
        b = load_symmetric(state, p)
        m, square, det = deviator_invariants(b)
        q_trial, x = stress[Q_TRIAL * BLOCK + p], stress[STEP * BLOCK + p]
        q = max(q_trial - stress[MODULUS * BLOCK + p] * x, 0.0)
        solved = stress[LOWER * BLOCK + p] >= stress[UPPER * BLOCK + p] * CLOSED
        b = returned(b, m, square, det, q / max(q_trial, TINY))
        sigma = cauchy_stress(G, K, determinant(load_tensor(F_new, p)), b)
        for c in range(6):
            state[c * BLOCK + p] = b[c]
            stress[c * BLOCK + p] = sigma[c]
        state[STRAIN * BLOCK + p] += x
        state[TEMPERATURE * BLOCK + p] += heat * q * x
        state[WORK * BLOCK + p] += q * x
        code = max(status[p], OK if solved else NOT_CONVERGED)
        status[p] = code
        worst = max(worst, code)
    return worst


@compile_block
def update_block(params, F_old, F_new, dt, stress, state, status):
    unsolved = try_elastic(params, F_old, F_new, dt, stress, state, status)
    for _ in range(ITERATIONS):
        if unsolved == 0:
            break
        unsolved = solve_plastic_steps(params, dt, stress, state)
    return return_radially(params, F_new, stress, state, status)


def build(values) -> Law:
    G, K = elastic.moduli(values)
    reference, melting = values["reference_temperature"], values["melting_temperature"]
    initial = values["initial_temperature"]
    if not reference < melting:
        raise LawError(f"melting_temperature = {melting:g} K is not above reference_temperature = {reference:g} K")
    heat = values["taylor_quinney"] / (values["density"] * values["specific_heat"])
    strength = [values[name] for name in ("A", "B", "n", "C", "m", "reference_strain_rate")]

    def energies(F, state):
        return energy(G, K, F, state[:, :3].sum(axis=1)), state[:, WORK]

    return Law(
        name="johnson_cook",
        density=values["density"],
        p_wave_modulus=K + 4.0 / 3.0 * G,
        shear_modulus=G,
        params=np.array([G, K, *strength, reference, 1.0 / (melting - reference), heat]),
        states=(ELASTIC_METRIC, PLASTIC_STRAIN, State("temperature", "K", 1, initial), PLASTIC_WORK),
        update_block=update_block,
        energies=energies,
    )


PLASTIC_WORK = State("plastic_work", "J/m3")

PARAMETERS = (
    *elastic.PARAMETERS,
    Parameter("A", "Pa", "initial flow stress", 1e3, 1e12),
    Parameter("B", "Pa", "strain hardening coefficient", 1e3, 1e12, or_zero=True),
    Parameter("n", "1", "strain hardening exponent", 0.0, 2.0),
    Parameter("C", "1", "strain rate sensitivity", 0.0, 1.0),
    Parameter("m", "1", "thermal softening exponent", 0.0, 10.0, exclusive=True),
    Parameter(
        "reference_strain_rate", "1/s", "rate of the test that gave A, B and n", 0.0, exclusive=True, default=1.0
    ),
    Parameter("reference_temperature", "K", "temperature up to which there is no softening", 0.0, 3000.0),
    Parameter("initial_temperature", "K", "temperature at the start", 0.0, 5000.0),
    Parameter("melting_temperature", "K", "temperature from which there is no strength", 0.0, 5000.0),
    Parameter("specific_heat", "J/(kg K)", "heat capacity", 10.0, 10000.0),
    Parameter("taylor_quinney", "1", "fraction of the plastic work that turns into heat", 0.0, 1.0, default=0.9),
)

LAW = LawDefinition("johnson_cook", PARAMETERS, build)
