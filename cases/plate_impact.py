"""Plate impact: a rigid cylinder flies against a plate that is simply supported at its rim (paper, section 4.2).

The plate fills -thickness <= z <= 0; the projectile starts at z = 0 and moves with constant -velocity in z
(infinite mass).
"""

import argparse

import numpy as np

from cases.impact import add_impact_options, parse, run_case, symmetric_model
from cases.options import command_parser, count, positive, user_errors
from constitutive.material import Material
from fem.contact import RigidBody, cylinder
from fem.elements import Controls
from fem.meshing import plate
from fem.model import Model
from fem.run import Monitor
from fem.solver import Solver

MARGIN = 1.25  # fine elements reach this far beyond the projectile's radius
TOUCHING = 0.002  # plate thicknesses, assumed: light surface nodes bounce by as much, and by the way of one step
FILLET = 0.05  # radius of the projectile's rounded edge over its radius (assumed; the paper does not say)


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = command_parser(
        "plate_impact",
        __doc__,
        "python -m cases.plate_impact --law johnson_cook --material steel_4340 --thickness 0.5e-3 --symmetry quarter "
        "--output runs/thin_plate",
    )
    made.add_argument("--projectile-radius", type=positive, default=2e-3, help="radius of the projectile, m")
    made.add_argument("--thickness", type=positive, default=1e-3, help="thickness of the plate, m")
    made.add_argument("--plate-radius", type=positive, default=8e-3, help="radius of the plate, m")
    made.add_argument("--elements-through", type=count, default=8, help="elements through the thickness")
    add_impact_options(made, "plate_impact")
    return made


def build(options: argparse.Namespace, material: Material, controls: Controls) -> tuple[Model, dict[str, Monitor]]:
    """The model and the plate's own columns of the history."""
    fine = MARGIN * options.projectile_radius
    mesh = plate(options.plate_radius, options.thickness, fine, options.elements_through, options.symmetry)
    model = symmetric_model(mesh, material, options, controls)
    model.fix("rim_back", "z")
    model.contact(rigid_body(options), method=options.contact)
    return model, {"deflection": Monitor("m, of the back face's centre", deflection)}


def rigid_body(options: argparse.Namespace) -> RigidBody:
    """The projectile."""
    return cylinder(
        face=(0.0, 0.0, 0.0),
        axis=(0.0, 0.0, 1.0),
        radius=options.projectile_radius,
        length=2.0 * options.projectile_radius,
        fillet=FILLET * options.projectile_radius,
        velocity=(0.0, 0.0, -options.velocity),
        friction=options.friction,
    )


def deflection(solver: Solver) -> float:
    """How far the centre of the back face has moved away from the projectile, m."""
    centre = np.intersect1d(solver.model.nodes("axis"), solver.model.nodes("back_face"))
    return float(-solver.displacement[centre, 2].mean())


def contact_radius(solver: Solver) -> float:
    """Largest radius, m, at which the front face is within TOUCHING and a step's way of the projectile."""
    mesh, body = solver.model.mesh, solver.accounts[0].contact.body
    face = solver.model.nodes("front_face")
    position = mesh.points[face] + solver.displacement[face]
    gap = body.distance(position, solver.time)
    touching = gap < TOUCHING * np.ptp(mesh.points[:, 2]) + solver.dt * np.linalg.norm(body.velocity)
    return float(np.hypot(position[touching, 0], position[touching, 1]).max(initial=0.0))


def centre_gap(solver: Solver) -> float:
    """Distance between the projectile and the front face on the axis, m: above zero where thin plates come off."""
    centre = np.intersect1d(solver.model.nodes("axis"), solver.model.nodes("front_face"))
    position = solver.model.mesh.points[centre] + solver.displacement[centre]
    return float(solver.accounts[0].contact.body.distance(position, solver.time).mean())


def finish(solver: Solver) -> dict[str, float]:
    """The plate's own keys of the summary."""
    return {
        "back_face_deflection": deflection(solver),
        "contact_radius": contact_radius(solver),
        "centre_gap": centre_gap(solver),
    }


@user_errors
def main(arguments: list[str] | None = None) -> None:
    """Run the case from the command line."""
    run_case(parse(parser(), arguments), build, finish)


if __name__ == "__main__":
    main()
