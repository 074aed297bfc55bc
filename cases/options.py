"""What all commands share: their parser, the material options, and one-line errors.

Errors that are meant for the user are the project's own classes (LawError, MeshError, ...) and the system's (OSError,
MemoryError); the message of each says what is wrong, where, and what to do. Any other exception is a bug and keeps its
traceback.
"""

import argparse
import functools
import math
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from constitutive.law import LawError, law_names
from constitutive.material import Material, default_material, load_material, material_names

DEFAULT_LAW = "recurrent"
PACKAGES = ("cases", "constitutive", "fem", "learning")


class OptionError(ValueError):
    """An option that cannot be used as given; the message says which, why and what to do."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")  # Python < 3.14: no exponent

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help shows all options)\n")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there is one, and leaves the example as it is written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if any(action.default is nothing for nothing in (None, False, argparse.SUPPRESS)) or action.default == []:
            return action.help
        if not action.help:
            return action.help
        return f"{action.help} (default: %(default)s)"


def command_parser(
    command: str, description: str | None, example: str, package: str = "cases"
) -> argparse.ArgumentParser:
    """A parser for `python -m <package>.<command>`; `example` is a whole command line."""
    return _Parser(
        prog=f"python -m {package}.{command}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )


def add_material_options(parser: argparse.ArgumentParser, default_law: str = DEFAULT_LAW) -> None:
    """--law, --material, --set and --quiet; `default_law` is that of `chosen_material`."""
    parser.add_argument(
        "--law",
        metavar="NAME",
        help=f"{', '.join(law_names())} (default: the law of the material, else {default_law})",
    )
    parser.add_argument(
        "--material",
        metavar="NAME|FILE",
        help=f"{', '.join(material_names())}, or a file of yours: a material's (.toml) or a trained law's (.npz) "
        "(default: the law's own)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="replace a parameter of the material, SI units; can be given again and again",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def chosen_material(options: argparse.Namespace, default_law: str = DEFAULT_LAW) -> Material:
    """The material of --law, --material and --set; without the first two, that of `default_law`. Raises LawError."""
    law, material = options.law, options.material
    if material is None:
        law = law or default_law
        material = default_material(law)
    return load_material(material, law, options.set)


def split_name(text: str) -> tuple[str | None, str | None, list[str]]:
    """Law, material and KEY=VALUEs of a word LAW, MATERIAL, LAW:MATERIAL or FILE, with :KEY=VALUE as often as wanted.

    "taylor:magnesium:texture_seed=7" is the law taylor on the material magnesium with another texture; what is None is
    left to `chosen_material`. Raises OptionError.
    """
    words = text.split(":")
    overrides = [word for word in words if "=" in word]
    names: list[str | None] = [word for word in words if "=" not in word]
    if not names or len(names) > 2 or not all(names):
        raise OptionError(f"'{text}': give LAW, MATERIAL, LAW:MATERIAL or a file, and KEY=VALUE after further colons")
    if len(names) == 1:
        names = [names[0], None] if names[0] in law_names() else [None, names[0]]
    return names[0], names[1], overrides


def named_material(text: str) -> Material:
    """The material of a word as of `split_name`. Raises OptionError and LawError."""
    law, material, overrides = split_name(text)
    return chosen_material(argparse.Namespace(law=law, material=material, set=overrides))


def shown_name(word: str) -> str:
    """What tables and pictures call the law of a word as of `split_name`: a file without folder and ending."""
    return Path(word).stem if Path(word).suffix in (".npz", ".toml") else word


def chosen_laws(given: Sequence[str] | None, defaults: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Words of the laws to run by shown name, and a line on each default law that cannot. LawError, OptionError."""
    words: dict[str, str] = {}
    left_out = []
    for word in given or defaults:
        try:
            named_material(word)
        except LawError as error:
            if given:
                raise
            left_out.append(f"`{word}`: {one_line(error)}")
            continue
        if shown_name(word) in words:
            raise OptionError(f"--laws: two are called '{shown_name(word)}'; name each once, and files differently")
        words[shown_name(word)] = word
    return words, left_out


def add_output(parser: argparse.ArgumentParser, metavar: str, meaning: str) -> None:
    """--output, which must be given, and --overwrite: see `new_file`."""
    parser.add_argument("--output", required=True, metavar=metavar, help=meaning)
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")


def new_file(path: str | Path, overwrite: bool, suffix: str | None = None) -> Path:
    """A file to write. Raises OptionError for a folder, a wrong ending, a file not to be replaced, or no place."""
    path = Path(path)
    if path.is_dir():
        raise OptionError(f"{path} is a folder: name a file in it")
    if suffix is not None and path.suffix != suffix:
        raise OptionError(f"{path}: the name must end in {suffix}")
    if path.exists() and not overwrite:
        raise OptionError(f"{path} exists: name another file, or add --overwrite to replace it")
    if not path.parent.is_dir():
        raise OptionError(f"{path.parent} is not a folder: make it, or name another place for {path.name}")
    return path


def finite(text: str) -> float:
    """Argument type: a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def positive(text: str) -> float:
    """Argument type: a finite number above zero."""
    value = finite(text)
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def number_at_least(least: float, kind: type = float) -> Callable[[str], Any]:
    """Argument type: a finite number, or one of `kind` int, not below `least`."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number of at least {least}")
        return value

    convert.__name__ = "whole number" if kind is int else "number"
    return convert


natural, count = number_at_least(0, int), number_at_least(1, int)

# argparse names a type in its messages
finite.__name__ = positive.__name__ = "number"


_formatwarning = warnings.formatwarning


def user_errors(main: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command: errors meant for the user end it with one line on stderr and exit code 2, Ctrl-C with 130.

    Warnings meant for the user are one line too.
    """

    @functools.wraps(main)
    def command(*args: Any, **kwargs: Any) -> Any:
        before, warnings.formatwarning = warnings.formatwarning, _warning
        try:
            return main(*args, **kwargs)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            if not _is_for_user(error):
                raise
            print(f"error: {one_line(error)}", file=sys.stderr)
            sys.exit(getattr(error, "exit_code", 2))
        finally:
            warnings.formatwarning = before

    return command


def _warning(message: Warning | str, category: type[Warning], *where: Any, **line: Any) -> str:
    """A warning meant for the user on one line, without the place in the program."""
    if issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return _formatwarning(message, category, *where, **line)


def _is_for_user(error: Exception) -> bool:
    return isinstance(error, OSError | MemoryError) or type(error).__module__.split(".")[0] in PACKAGES


def one_line(error: Exception) -> str:
    """The message of an error on one line; an OSError as 'file: reason'."""
    if isinstance(error, MemoryError):
        return f"the memory does not suffice, ask for less ({error})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
