"""Fit Johnson-Cook constants to a polycrystal: the parameter passing that a learned law replaces (paper, introduction).

The polycrystal is strained at constant rates in isochoric tension, compression and simple shear; its von Mises stress
over equivalent plastic strain p is fitted, in the relative least-squares sense, by

    Y = (A + B p^n) (1 + C ln(rate / reference_rate))        for rates above the reference rate

with the elastic rise (p below SMALLEST_STRAIN) left out. The polycrystal is isothermal, so the fitted material does not
heat (Taylor-Quinney factor 0). Johnson-Cook has one strength for tension, compression and shear: the polycrystal's
tension-compression asymmetry, from its twins, and its hardening by stages stay in the residual.
"""

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.optimize import least_squares

from cases.options import OptionError, add_output, command_parser, count, new_file, user_errors
from constitutive.crystal_state import grain_weights
from constitutive.drive import drive
from constitutive.material import Material, load_material, toml_value
from constitutive.tensor import von_mises
from constitutive.whole_file import replace_text

EXAMPLE = "python -m learning.fit_johnson_cook --material magnesium_liu2022 --output fit.toml"
RATES = (1e4, 3e4, 1e5, 3e5, 1e6)  # 1/s
REFERENCE_RATE = 1e4  # 1/s, the lowest of the fit: below it Johnson-Cook's strength does not change
STRAIN = 0.5  # equivalent strain at the end
SMALLEST_STRAIN = 0.02
STEPS = 250
LEAST_B = 1e-3  # MPa; less is none
GRAINS = 512

# Of no effect, as nothing heats; magnesium's melting point and heat capacity: Avedesian & Baker 1999, ASM.
THERMAL = {
    "m": 1.0,
    "reference_temperature": 298.0,
    "initial_temperature": 298.0,
    "melting_temperature": 923.0,
    "specific_heat": 1025.0,
    "taylor_quinney": 0.0,
}


def paths() -> tuple[list[str], np.ndarray]:
    """Names of the modes of deformation and F (STEPS + 1, modes, 3, 3), equivalent strain growing evenly to STRAIN."""
    e = np.linspace(0.0, STRAIN, STEPS + 1)
    F = np.tile(np.eye(3), (STEPS + 1, 3, 1, 1))
    for mode, sign in ((0, 1.0), (1, -1.0)):
        F[:, mode, 0, 0] = np.exp(sign * e)
        F[:, mode, 1, 1] = F[:, mode, 2, 2] = np.exp(-0.5 * sign * e)
    F[:, 2, 0, 1] = np.sqrt(3.0) * e
    return ["tension", "compression", "shear"], F


def strength(law, rate: float) -> np.ndarray:
    """Von Mises stress, Pa, (STEPS + 1, modes) at a rate of equivalent strain, 1/s."""
    _, F = paths()
    return von_mises(drive(law, np.linspace(0.0, STRAIN / rate, STEPS + 1), F).stress)


def flow_stress(constants: np.ndarray, p: np.ndarray, rate: float) -> np.ndarray:
    """Johnson-Cook's flow stress, Pa, of constants A, B (MPa), n, C."""
    A, B, n, C = constants
    return 1e6 * (A + B * np.maximum(p, 1e-12) ** n) * (1.0 + C * np.log(rate / REFERENCE_RATE))


def fit(stress: dict[float, np.ndarray], shear_modulus: float) -> np.ndarray:
    """Constants A, B (MPa), n, C that fit von Mises stresses {rate: (STEPS + 1, modes)}."""
    e = np.linspace(0.0, STRAIN, STEPS + 1)[:, None]

    def residuals(constants):
        parts = []
        for rate, q in stress.items():
            p = e - q / (3.0 * shear_modulus)
            kept = p > SMALLEST_STRAIN
            parts.append(flow_stress(constants, p, rate)[kept] / q[kept] - 1.0)
        return np.concatenate(parts)

    bounds = ([1.0, 0.0, 0.01, 0.0], [2000.0, 5000.0, 2.0, 1.0])
    A, B, n, C = least_squares(residuals, [200.0, 500.0, 0.3, 0.1], bounds=bounds, x_scale=[100.0, 100.0, 0.1, 0.1]).x
    return np.array([A, B if B > LEAST_B else 0.0, n, C])


def residual_table(stress: dict[float, np.ndarray], fitted: dict[float, np.ndarray]) -> list[str]:
    """Relative root mean square differences, a line for each mode of deformation and rate and one for all."""
    e = np.linspace(0.0, STRAIN, STEPS + 1)
    kept = e > SMALLEST_STRAIN + 0.01
    difference = np.array([fitted[rate][kept] / q[kept] - 1.0 for rate, q in stress.items()])
    rms = np.sqrt(np.mean(difference**2, axis=1))
    lines = [f"all: {100.0 * np.sqrt(np.mean(difference**2)):.1f} %"]
    for mode, name in enumerate(paths()[0]):
        values = ", ".join(f"{100.0 * rms[i, mode]:.1f}" for i in range(len(stress)))
        lines.append(f"{name}: {values} %")
    return lines


def material_text(source: Material, constants: np.ndarray, grains: int, table: list[str], command: str) -> str:
    """The fitted material as TOML."""
    A, B, n, C = constants
    law = source.law
    rates = ", ".join(f"{rate:.0e}" for rate in RATES)
    bulk = law.p_wave_modulus - 4.0 / 3.0 * law.shear_modulus
    lines = [
        'law = "johnson_cook"',
        f"name = {toml_value(f'{source.name}, empirical')}",
        'source = """',
        f"Fitted to the Taylor polycrystal of {grains} grains '{toml_value(source.path.stem)[1:-1]}' by",
        f"    {toml_value(command)[1:-1]}",
        f"in isochoric tension, compression and shear to an equivalent strain of {STRAIN}, at {rates} 1/s;",
        "isothermal, so nothing heats. Relative root mean square difference of von Mises stress at these rates:",
        *table,
        '"""',
        f"density = {law.density:g}  # kg/m3",
        f"shear_modulus = {law.shear_modulus / 1e9:g}e9  # Pa",
        f"bulk_modulus = {bulk / 1e9:g}e9  # Pa",
        f"A = {A:.4g}e6  # Pa",
        f"B = {B:.4g}e6  # Pa",
        f"n = {n:.4g}",
        f"C = {C:.4g}",
        f"reference_strain_rate = {REFERENCE_RATE:g}  # 1/s",
        "# of no effect, as nothing heats (taylor_quinney is 0); numbers of magnesium",
        *[f"{name} = {value!r}" for name, value in THERMAL.items()],
    ]
    return "\n".join(lines) + "\n"


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Fit, write the material file, and print constants and residuals."""
    parser = command_parser("fit_johnson_cook", __doc__, EXAMPLE, package="learning")
    parser.add_argument("--material", default="magnesium_liu2022", help="crystals")
    parser.add_argument(
        "--grains", type=count, help=f"random orientations (default: {GRAINS}, or those of the material's texture file)"
    )
    add_output(parser, "FILE.toml", "material file to write")
    options = parser.parse_args(arguments)
    output = new_file(options.output, options.overwrite, ".toml")
    source = load_material(options.material, "taylor")
    if source.values.get("texture_file") and options.grains:
        raise OptionError(f"--grains: {source.name} has the grains of its texture file; leave it out")
    if not source.values.get("texture_file"):
        source = load_material(options.material, "taylor", {"grains": options.grains or GRAINS})
    grains = len(grain_weights(source.law))
    stress = {rate: strength(source.law, rate) for rate in RATES}
    constants = fit(stress, source.law.shear_modulus)
    words = ["--material", options.material, "--grains", str(grains), "--output", options.output]
    command = shlex.join(["python", "-m", "learning.fit_johnson_cook", *words])
    with TemporaryDirectory() as place:  # as it will be written, so as rounded
        draft = Path(place) / output.name
        draft.write_text(material_text(source, constants, grains, [], command), encoding="utf-8")
        fitted = load_material(draft).law
    table = residual_table(stress, {rate: strength(fitted, rate) for rate in RATES})
    replace_text(output, material_text(source, constants, grains, table, command))
    print("\n".join(["A, B (MPa), n, C: " + ", ".join(f"{x:.4g}" for x in constants), *table, f"{output}"]))


if __name__ == "__main__":
    main()
