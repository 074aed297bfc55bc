"""Taylor anvil: a rod flies against a rigid wall (paper, section 4.1).

The rod lies along z, its impact face at z = 0 on the wall, and moves with -velocity in z.
"""

import argparse

import numpy as np

from cases.impact import add_impact_options, parse, run_case, symmetric_model
from cases.options import command_parser, number_at_least, positive, user_errors
from constitutive.material import Material
from fem.contact import RigidBody, plane
from fem.elements import Controls
from fem.meshing import cylinder
from fem.model import Model
from fem.run import Monitor
from fem.solver import Solver


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "taylor_anvil",
        __doc__,
        "python -m cases.taylor_anvil --law johnson_cook --material ofhc_copper --velocity 227 --length 32.4e-3 "
        "--diameter 6.4e-3 --end-time 90e-6 --output runs/copper_rod",
    )
    made.add_argument("--length", type=positive, default=5e-3, help="length of the rod, m")
    made.add_argument("--diameter", type=positive, default=1e-3, help="diameter of the rod, m")
    made.add_argument(
        "--elements-across", type=number_at_least(2, int), default=12, help="elements along a diameter, even"
    )
    add_impact_options(made, "taylor_anvil")
    return made


def build(options: argparse.Namespace, material: Material, controls: Controls) -> tuple[Model, dict[str, Monitor]]:
    """The model and the rod's own columns of the history."""
    mesh = cylinder(options.diameter, options.length, options.elements_across, options.symmetry)
    model = symmetric_model(mesh, material, options, controls)
    model.initial_velocity((0.0, 0.0, -options.velocity))
    model.contact(rigid_body(options), method=options.contact)
    return model, {
        "length": Monitor("m, of the rod", length),
        "radius": Monitor("m, largest of the impact face", radius),
    }


def rigid_body(options: argparse.Namespace) -> RigidBody:
    """The wall."""
    return plane(friction=options.friction)


def length(solver: Solver) -> float:
    """Current length of the rod, m."""
    z = solver.model.mesh.points[:, 2] + solver.displacement[:, 2]
    return float(z.max() - z.min())


def radius(solver: Solver) -> float:
    """Largest current radius of the impact face, m."""
    face = solver.model.nodes("impact_face")
    position = solver.model.mesh.points[face] + solver.displacement[face]
    return float(np.hypot(position[:, 0], position[:, 1]).max())


def finish(solver: Solver) -> dict[str, float]:
    """The rod's own keys of the summary."""
    return {"final_length": length(solver), "final_radius": radius(solver)}


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Run the case from the command line."""
    run_case(parse(parser(), arguments), build, finish)


if __name__ == "__main__":
    main()
