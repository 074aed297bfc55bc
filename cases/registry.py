"""The impact cases by a short name, for commands that run or read any of them.

Each is a module with `parser()`, `build(options, material, controls)`, `finish(solver)` and `rigid_body(options)`.
"""

from types import ModuleType

from cases import plate_impact, taylor_anvil

CASES: dict[str, ModuleType] = {"rod": taylor_anvil, "plate": plate_impact}


def command_name(case: ModuleType) -> str:
    """The name under which a case is run and labels its files: `taylor_anvil`."""
    return case.__name__.rpartition(".")[2]
