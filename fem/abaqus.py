"""Nodes, hexahedra and sets of an Abaqus input file.

Read here rather than by meshio 5.3.5, which drops `*NODE, NSET=`, keeps only the last of several *NODE blocks, does not
resolve sets of sets, and may end the process. Keywords that a mesh does not need are skipped; those that would change
it in ways that are not read here are refused.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from fem.mesh import require_hexahedra

SOLIDS = ("C3D", "AC3D", "DC3D", "SC", "CSS")  # Abaqus names of solid elements begin so
HEXAHEDRON = "C3D8"  # with any suffix: R, I, H, T ...
NODES = re.compile(r"3D(\d+)")  # their number in the name of an element, which then may have several lines
MESH = ("NODE", "ELEMENT", "NSET", "ELSET")
GENERATORS = ("NGEN", "NFILL", "NCOPY", "NMAP", "ELGEN", "ELCOPY")  # would add to the mesh or move it


@dataclass
class Block:
    """A keyword line, its parameters, and its data lines with their line numbers."""

    line: int
    keyword: str
    parameters: dict[str, str]
    data: list[tuple[int, list[str]]] = field(default_factory=list)


class Sets:
    """Named sets of labels; names are found in any case, as in Abaqus, and keep their first spelling."""

    def __init__(self) -> None:
        self.spelling: dict[str, str] = {}
        self.labels: dict[str, list[int]] = {}

    def add(self, name: str, labels: list[int]) -> None:
        self.spelling.setdefault(name.upper(), name)
        self.labels.setdefault(name.upper(), []).extend(labels)

    def read(self, block: Block, name: str) -> None:
        """Add the set of a *NSET or *ELSET block: labels, names of sets, or `first, last, step` with GENERATE."""
        if not name:
            raise ValueError(f"line {block.line}: *{block.keyword} has no name")
        self.add(name, [])
        for line, words in block.data:
            if "GENERATE" in block.parameters:
                self.add(name, _generated(line, words))
            else:
                for word in filter(None, words):
                    self.add(name, [int(word)] if word.isdigit() else self.find(line, word))

    def find(self, line: int, name: str) -> list[int]:
        """Labels of a set that a line refers to; raises ValueError where there is none yet."""
        if name.upper() not in self.labels:
            raise ValueError(f"line {line}: there is no set '{name}' before this line")
        return list(self.labels[name.upper()])


def read_inp(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Points (n, 3) in the file's unit, hexes (m, 8) and node sets.

    Sets: *NSET (labels, GENERATE, names of other sets, nodes of ELSET=), *NODE, NSET=, and the nodes of each *ELSET
    and *ELEMENT, ELSET= whose name no node set has. Raises ValueError with the line number.
    """
    nodes: dict[int, list[float]] = {}
    elements: dict[int, list[int]] = {}
    hexes: list[int] = []
    others: dict[str, int] = {}
    node_sets, element_sets = Sets(), Sets()
    for block in _blocks(path):
        _refuse_unread(block)
        parameters = block.parameters
        if block.keyword == "NODE":
            labels = _read_nodes(block, nodes)
            if "NSET" in parameters:
                node_sets.add(parameters["NSET"], labels)
        elif block.keyword == "ELEMENT":
            labels = _read_elements(block, elements)
            kind = parameters.get("TYPE", "").upper()
            if kind.startswith(HEXAHEDRON):
                hexes += labels
            elif kind.startswith(SOLIDS):
                others[kind] = others.get(kind, 0) + len(labels)
            if "ELSET" in parameters:
                element_sets.add(parameters["ELSET"], labels)
        elif block.keyword == "NSET":
            node_sets.read(block, name := parameters.get("NSET", ""))
            if "ELSET" in parameters:
                node_sets.add(name, _corners(elements, element_sets.find(block.line, parameters["ELSET"])))
        elif block.keyword == "ELSET":
            element_sets.read(block, parameters.get("ELSET", ""))
    require_hexahedra(others, found=bool(hexes))
    return _assemble(nodes, elements, hexes, node_sets, element_sets)


def _refuse_unread(block: Block) -> None:
    """Raise ValueError at what would change the mesh and is not read here."""
    keyword, parameters = block.keyword, block.parameters
    reason = ""
    if keyword in GENERATORS:
        reason = "is not followed: write out all nodes and elements"
    elif keyword == "INCLUDE" or (keyword in MESH and "INPUT" in parameters):
        reason = "is not followed to another file: put the mesh into one file"
    elif (keyword == "SYSTEM" and block.data) or (keyword == "NODE" and parameters.get("SYSTEM", "R").upper() != "R"):
        reason = "in an own coordinate system is not supported: write global x, y, z"
    elif keyword == "INSTANCE" and block.data:
        reason = "that is moved is not supported: write one flat part"
    if reason:
        raise ValueError(f"line {block.line}: *{keyword} {reason}")


def _blocks(path: Path) -> Iterator[Block]:
    """The keyword blocks of the file; keyword lines and elements that end with a comma go on in the next line."""
    block, unfinished = Block(0, "", {}), False
    with open(path, encoding="utf-8-sig", errors="replace") as file:  # editors on Windows begin files with a mark
        for number, text in enumerate(file, 1):
            text = text.strip()
            if not text or text.startswith("**"):
                continue
            words = [word.strip().strip('"') for word in text.split(",")]
            if text.startswith("*"):
                yield block
                block = Block(number, words[0][1:].strip().upper(), _parameters(words[1:]))
            elif unfinished and not block.data and not words[0].isdigit():
                block.parameters |= _parameters(words)
            elif unfinished and block.data:
                block.data[-1][1].extend(words)
            else:
                block.data.append((number, words))
            unfinished = text.endswith(",") and _goes_on(block)
    yield block


def _parameters(words: Iterable[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words if word]
    return {key.strip().upper(): value.strip().strip('"') for key, _, value in pairs}


def _goes_on(block: Block) -> bool:
    """Whether what ends with a comma is a keyword line or an element that lacks nodes; of those, the comma goes."""
    if not block.data:
        return True
    if block.keyword != "ELEMENT":
        return False
    words, nodes = block.data[-1][1], NODES.search(block.parameters.get("TYPE", "").upper())
    words.pop()
    return nodes is not None and len(words) <= int(nodes[1])  # with its label


def _read_nodes(block: Block, nodes: dict[int, list[float]]) -> list[int]:
    labels = []
    for line, words in block.data:
        try:
            label, position = int(words[0]), [float(word or 0) for word in words[1:4]]
        except ValueError:
            raise ValueError(f"line {line}: '{','.join(words)}' is not a node: label, x, y, z") from None
        if label in nodes:
            raise ValueError(f"line {line}: node {label} is defined twice: write one flat part")
        nodes[label] = position + [0.0] * (3 - len(position))
        labels.append(label)
    return labels


def _read_elements(block: Block, elements: dict[int, list[int]]) -> list[int]:
    labels = []
    for line, words in block.data:
        label, *corners = _integers(line, words)
        if label in elements:
            raise ValueError(f"line {line}: element {label} is defined twice: write one flat part")
        if block.parameters.get("TYPE", "").upper().startswith(HEXAHEDRON) and len(corners) != 8:
            raise ValueError(f"line {line}: element {label} has {len(corners)} nodes; a hexahedron has 8")
        elements[label] = corners
        labels.append(label)
    return labels


def _integers(line: int, words: list[str]) -> list[int]:
    try:
        numbers = [int(word) for word in words if word]
    except ValueError:
        numbers = []
    if not numbers:
        raise ValueError(f"line {line}: '{','.join(words)}' is not a list of whole numbers")
    return numbers


def _generated(line: int, words: list[str]) -> list[int]:
    numbers = _integers(line, words)
    if len(numbers) == 2:
        numbers.append(1)
    if len(numbers) != 3 or numbers[1] < numbers[0] or numbers[2] < 1:
        raise ValueError(f"line {line}: '{','.join(words)}' is not first, last and a step of 1 or more")
    first, last, step = numbers
    return list(range(first, last + 1, step))


def _corners(elements: dict[int, list[int]], labels: Iterable[int]) -> list[int]:
    """Node labels of the elements among `labels` that are known."""
    return list(chain.from_iterable(elements.get(label, ()) for label in labels))


def _assemble(
    nodes: dict[int, list[float]],
    elements: dict[int, list[int]],
    hexes: list[int],
    node_sets: Sets,
    element_sets: Sets,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Replace labels by indices."""
    index = {label: i for i, label in enumerate(nodes)}
    sets = {node_sets.spelling[key]: labels for key, labels in node_sets.labels.items()}
    for key, labels in element_sets.labels.items():
        if key not in node_sets.labels:
            sets[element_sets.spelling[key]] = _corners(elements, labels)
    user = ""
    try:
        corners = []
        for label in hexes:
            user = f"element {label}"
            corners.append([index[node] for node in elements[label]])
        indexed = {}
        for name, labels in sets.items():
            user = f"set '{name}'"
            indexed[name] = np.array([index[node] for node in labels], int)
    except KeyError as missing:
        raise ValueError(f"{user} uses node {missing}, which is not defined") from None
    return np.array(list(nodes.values())), np.array(corners), indexed
