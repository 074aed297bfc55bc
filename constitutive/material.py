"""Material files: TOML with `law`, `name`, `source` (a citation) and the law's parameters, SI units throughout.

    law = "j2"
    name = "copper"
    source = "who measured it, and where it is printed"
    density = 8930.0          # kg/m3
    youngs_modulus = 117e9    # Pa
    ...

A name such as `ofhc_copper` means a file that ships with the project, in `constitutive/materials/`; anything else is a
path.

Learned laws have one parameter above all, `artefact`, the file of the trained law. It is found in four ways:

    load_material("magnesium_liu2022", "recurrent")   the file that ships for this law and material: the name is the
                                                      fine scale's, constitutive/trained/recurrent_magnesium_liu2022.npz
    load_material("mine.npz")                         the artefact itself, which knows its law
    artefact = "mine.npz"                             in a material file of law "recurrent", relative to it
    artefact = "recurrent_magnesium_liu2022"          in a material file, a bare word: the file that ships; so it is
                                                      written by `to_toml`, to be found wherever the project lies
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitutive.artefact import TRAINED, read_artefact
from constitutive.law import Law, LawDefinition, LawError, did_you_mean, law_definition
from constitutive.validation import checked_values, shown

SHIPPED = Path(__file__).parent / "materials"
HEADER = ("law", "name", "source")
FILES = ("artefact", "texture_file")  # parameters that name files
DEFAULTS = {
    "neo_hookean": "elastic_steel",
    "j2": "copper_j2",
    "johnson_cook": "magnesium_empirical",
    "taylor": "magnesium_liu2022",
    "crystal": "magnesium_liu2022",
    "recurrent": "magnesium_liu2022",
    "pca_net": "magnesium_liu2022",
}


@dataclass(frozen=True)
class Material:
    """A law bound to the numbers of a material file.

    `values` are all of the law's parameters, defaults included; `path` is the file they came from, overrides aside.
    """

    name: str
    source: str
    law: Law
    values: Mapping[str, Any]
    path: Path

    def to_toml(self) -> str:
        """A material file that loads as this very material, overrides and defaults included."""
        header = {"law": self.law.name, "name": self.name, "source": self.source}
        values = dict(self.values)
        artefact = Path(values.get("artefact") or "")
        if artefact.parent == TRAINED:
            values["artefact"] = artefact.stem
        texture = Path(values.get("texture_file") or "")
        if texture.parent == SHIPPED:
            values["texture_file"] = texture.name
        return "\n".join([*_toml_lines(header), *_toml_lines(values)]) + "\n"


def material_names(law: str | None = None) -> list[str]:
    """Names of the materials that ship with the project, all or those written for one law."""
    paths = sorted(SHIPPED.glob("*.toml"))
    return [p.stem for p in paths if law is None or tomllib.loads(p.read_text("utf-8")).get("law") == law]


def default_material(law: str) -> str:
    """The shipped material that a law is run with where none is named. Raises LawError where there is none."""
    name = DEFAULTS.get(law) or next(iter(material_names(law)), None)
    definition = law_definition(law)  # an unknown law has its own message
    if name is None:
        raise LawError(f"no material ships for law '{law}'; name a material file")
    if _is_learned(definition) and not shipped_artefact(law, name).is_file():
        raise LawError(
            f"no material ships for law '{law}': none is trained yet; python -m learning.train --kind {law} makes one, "
            "which --material FILE.npz runs"
        )
    return name


def load_material(
    name_or_path: str | Path, law: str | None = None, overrides: Mapping[str, Any] | Sequence[str] = ()
) -> Material:
    """Read, check and build a material.

    `law` is another law than the file's to be run with the file's values, where it can be (all its parameters are in
    the file or overridden). `overrides` replace values: a mapping, or strings "key=value" with the value as in TOML, as
    of the option --set; "slip.0.tau_0=1e6" reaches into the first [[slip]] table. Raises LawError, one line that names
    the file, the key, the value and what to do.
    """
    path = material_path(name_or_path)
    given = _artefact_as_material(path) if path.suffix == ".npz" else _read(path)
    override(given, overrides, str(path))
    own_law = given.pop("law", None)
    if not isinstance(own_law, str):
        raise LawError(f'{path}: no law; give it as law = "johnson_cook", say')
    header = {key: given.pop(key, default) for key, default in (("name", path.stem), ("source", "not stated"))}
    for key, value in header.items():
        if not isinstance(value, str):
            raise LawError(f"{path}: {key} = {shown(value)} must be text in quotes")
    try:
        own = law_definition(own_law)
        used = law_definition(law) if law else own
    except LawError as error:
        raise LawError(f"{path}: {error}") from None
    keys = overrides if isinstance(overrides, Mapping) else [_parse(text)[0] for text in overrides]
    if used is not own:
        _refuse_unused(keys, used, path)
    _refuse_grains(keys, given, path)
    _find_artefact(used, given, path)
    _find_texture(given, path)
    values, built = _build(used, own, given, path)
    return Material(header["name"].strip(), header["source"].strip(), built, values, path)


def shipped_artefact(law: str, material: str) -> Path:
    """Where the artefact of a learned law that ships for a fine-scale material lies, or would lie."""
    return TRAINED / f"{law}_{material}.npz"


def _refuse_unused(keys: Iterable[str], used: LawDefinition, path: Path) -> None:
    """Raise LawError for an override that would be dropped with the file's own law, as grains= of a learned law."""
    known = [*HEADER, *(parameter.name for parameter in used.parameters)]
    for key in keys:
        if key.partition(".")[0] not in known:
            raise LawError(
                f"{path}: --set {key}: law '{used.name}' has no such parameter; it has {', '.join(known[1:])}"
            )


def _refuse_grains(keys: Iterable[str], given: Mapping[str, Any], path: Path) -> None:
    """Raise LawError for random grains that are asked for where a texture file gives the grains."""
    for key in keys:
        if key in ("grains", "texture_seed") and given.get("texture_file"):
            raise LawError(
                f"{path}: --set {key}: the grains are those of texture_file = {shown(given['texture_file'])}; "
                "for random ones add --set texture_file="
            )


def _is_learned(definition: LawDefinition) -> bool:
    return any(parameter.name == "artefact" for parameter in definition.parameters)


def _artefact_as_material(path: Path) -> dict[str, Any]:
    """What a material file for this artefact would say. Raises LawError."""
    artefact = read_artefact(path)
    try:
        name = tomllib.loads(str(artefact.header.get("material", ""))).get("name")
    except tomllib.TOMLDecodeError:
        name = None
    name = name if isinstance(name, str) else path.stem
    source = f"trained law {path.name}, made by: {artefact.header.get('command', 'not stated')}"
    return {"law": artefact.entry("kind"), "name": name, "source": source, "artefact": str(path.absolute())}


def _find_artefact(used: LawDefinition, given: dict[str, Any], path: Path) -> None:
    """Complete `given` for a learned law by the shipped artefact. Raises LawError where none ships."""
    if not _is_learned(used):
        return
    word = given.get("artefact", f"{used.name}_{path.stem}")
    if not isinstance(word, str) or not re.fullmatch(r"\w+", word):
        return  # a path, or a wrong value, which has its own message
    shipped = TRAINED / f"{word}.npz"
    if not shipped.is_file() or ("artefact" not in given and path.parent != SHIPPED):
        names = ", ".join(sorted(file.stem for file in TRAINED.glob(f"{used.name}_*.npz"))) or "none"
        raise LawError(
            f"{path}: no trained law '{word}' ships (of law '{used.name}': {names}); make one with python -m "
            f"learning.train --kind {used.name} and run it by --material FILE.npz"
        )
    given["artefact"] = str(shipped)


def _find_texture(given: dict[str, Any], path: Path) -> None:
    """Complete the bare name of a texture file that ships, where the material file has none of that name beside it."""
    word = given.get("texture_file")
    if isinstance(word, str) and Path(word).name == word and not (path.parent / word).exists():
        shipped = SHIPPED / word
        given["texture_file"] = str(shipped) if shipped.exists() else word


def _build(used: LawDefinition, own: LawDefinition, given: dict[str, Any], path: Path) -> tuple[dict[str, Any], Law]:
    """Checked values and law; when the law is not the file's own, the file's other parameters are dropped."""
    own_keys = {parameter.name for parameter in own.parameters} if used is not own else set()
    try:
        values = checked_values(used.parameters, given, str(path), path.parent, own_keys)
        return values, used.build(values)
    except LawError as error:
        message = str(error) if str(path) in str(error) else f"{path}: {error}"
        if used is not own:
            names = material_names(used.name)
            others = f"; made for '{used.name}': {', '.join(names)}" if names else ""
            message += f" (this file is for law '{own.name}', run with '{used.name}'{others})"
        raise LawError(message) from None


def material_path(name_or_path: str | Path) -> Path:
    """The file of a shipped material's name, or a path as it is. Raises LawError where there is no such file."""
    word = str(name_or_path)
    shipped = SHIPPED / f"{word}.toml"
    if re.fullmatch(r"\w+", word) and shipped.is_file():
        return shipped
    path = Path(word)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):
        pass  # not even a possible file name
    if path.suffix in (".toml", ".npz") or path.name != word:
        raise LawError(f"{shown(word)[1:-1]}: no such material file; shipped are {', '.join(material_names())}")
    raise LawError(
        f"no material is called '{shown(word)[1:-1]}'{did_you_mean(word, material_names())}; "
        f"shipped are {', '.join(material_names())}, or give the path of a .toml file"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # editors on Windows begin files with a mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LawError(f"{path}: not a TOML file: {' '.join(str(error).split())}") from None
    except ValueError as error:  # a number of thousands of digits
        raise LawError(f"{path}: {error}") from None
    except OSError as error:
        raise LawError(f"{path}: cannot be read: {error.strerror}") from None


def override(values: dict[str, Any], overrides: Mapping[str, Any] | Sequence[str], where: str) -> None:
    """Replace values of a material file in place; see `load_material`."""
    pairs = overrides.items() if isinstance(overrides, Mapping) else [_parse(text) for text in overrides]
    for key, value in pairs:
        if key == "law":
            raise LawError(f"{where}: law = {shown(value)}: another law is chosen by --law, not by --set")
        *tables, last = key.split(".")
        target: Any = values
        for step in tables:
            try:
                target = target[int(step)] if isinstance(target, list) else target[step]
            except (LookupError, ValueError, TypeError):
                raise LawError(f"{where}: --set {key}: there is no '{step}' to reach into") from None
        if not isinstance(target, dict):
            raise LawError(f"{where}: --set {key}: name a key inside a table, as in slip.0.tau_0=1e6")
        if last in FILES and isinstance(value, str) and Path(value).is_file():
            value = str(Path(value).absolute())  # named from here, not from where the material file lies
        target[last] = value


def _parse(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise LawError(f"--set {shown(text)}: must be KEY=VALUE, as in density=7830")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key, value.strip()  # a word without quotes


def _toml_lines(values: Mapping[str, Any]) -> list[str]:
    def is_tables(value):
        return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)

    lines = [f"{k} = {toml_value(v)}" for k, v in values.items() if v is not None and not is_tables(v)]
    for key, value in values.items():
        if is_tables(value):
            for table in value:
                lines += ["", f"[[{key}]]", *_toml_lines(table)]
    return lines


def toml_value(value: Any) -> str:
    """A number, text or list as TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return repr(value)
