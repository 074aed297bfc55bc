"""The file of a trained law: it comes back whole, and everything else is refused in one line that names it."""

import numpy as np
import pytest

from constitutive.artefact import FORMAT, VERSION, load_artefact, save_artefact
from constitutive.law import LawError

ARRAYS = {"weight": np.random.default_rng(0).normal(size=(20, 30)), "bias": np.arange(4.0)}


@pytest.fixture
def path(tmp_path):
    return save_artefact(tmp_path / "law.npz", "recurrent", {"sizes": {"width": 8}, "source": "Ünicode"}, ARRAYS)


def refused(path, match):
    with pytest.raises(LawError, match=match) as caught:
        load_artefact(path, "recurrent")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_comes_back(path):
    artefact = load_artefact(path, "recurrent")
    assert all(np.array_equal(artefact.arrays[name], array) for name, array in ARRAYS.items())
    assert artefact.entry("sizes", "width") == 8
    assert artefact.header["source"] == "Ünicode"
    assert [file.name for file in path.parent.iterdir()] == ["law.npz"]


def test_damage_is_noticed(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for length in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "damaged|not a trained law")
    for position in rng.integers(0, len(whole), 200):
        changed = bytearray(whole)
        changed[position] ^= 0x40
        path.write_bytes(bytes(changed))
        try:
            artefact = load_artefact(path, "recurrent")
        except LawError:
            continue
        # what passes the checksums is a byte of the container that means nothing here, such as a date
        assert all(np.array_equal(artefact.arrays[name], array) for name, array in ARRAYS.items())


def test_foreign_files_are_refused(tmp_path):
    for name, content in (("a.npz", b"PK\x03\x04 nonsense"), ("b.toml", b'law = "j2"'), ("c.json", b"{}")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "damaged, or not a trained law")
    np.savez(tmp_path / "d.npz", weight=np.ones(3))
    refused(tmp_path / "d.npz", "damaged, or not a trained law")
    np.save(tmp_path / "e.npy", np.ones(3))
    refused(tmp_path / "e.npy", "damaged, or not a trained law")
    np.savez(tmp_path / "f.npz", header=np.frombuffer(b'{"format": "other"}', np.uint8))
    refused(tmp_path / "f.npz", "not a trained law")
    refused(tmp_path / "none.npz", "no such artefact")
    refused(tmp_path, "cannot be read|damaged")


def test_whatever_a_damaged_file_makes_its_readers_raise(path, tmp_path):
    """RuntimeError for the bit of the ZIP directory that says encrypted, RecursionError for JSON without end."""
    whole = bytearray(path.read_bytes())
    whole[whole.rfind(b"PK\x01\x02") + 8] ^= 1
    path.write_bytes(bytes(whole))
    refused(path, "damaged, or not a trained law")
    np.savez(tmp_path / "deep.npz", header=np.frombuffer(b"[" * 100_000, np.uint8))
    refused(tmp_path / "deep.npz", "damaged, or not a trained law")


def test_pickles_are_not_opened(tmp_path):
    header = np.frombuffer(f'{{"format": "{FORMAT}", "version": 1, "kind": "recurrent"}}'.encode(), np.uint8)
    np.savez(tmp_path / "a.npz", allow_pickle=True, header=header, weight=np.array([{}], dtype=object))
    refused(tmp_path / "a.npz", "damaged, or not a trained law")


def test_newer_files_and_other_kinds_are_refused(tmp_path):
    path = save_artefact(tmp_path / "a.npz", "recurrent", {"version": VERSION + 1}, ARRAYS)
    refused(path, f"version {VERSION + 1}; this program reads up to {VERSION}")
    path = save_artefact(tmp_path / "b.npz", "pca_net", {}, ARRAYS)
    refused(path, "made for law 'pca_net', not for 'recurrent'")


def test_what_is_missing_is_named(path, tmp_path):
    artefact = load_artefact(path, "recurrent")
    with pytest.raises(LawError, match="lacks the array 'gain'"):
        artefact.array("gain", 3)
    with pytest.raises(LawError, match=r"'bias' must be finite numbers of shape \(3,\), it has \(4,\)"):
        artefact.array("bias", 3)
    spoilt = save_artefact(tmp_path / "nan.npz", "recurrent", {}, {"bias": np.full(4, np.nan)})
    with pytest.raises(LawError, match="'bias' must be finite, but not all its numbers are"):
        load_artefact(spoilt, "recurrent").array("bias", 4)
    with pytest.raises(LawError, match=r"header lacks sizes\.hidden"):
        artefact.entry("sizes", "hidden")


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 10**400, "1", None, True, []])
def test_numbers_of_the_header_are_numbers_above_zero(tmp_path, value):
    """Whoever edits a header: what the law is built of is refused by its name, not computed with."""
    path = save_artefact(tmp_path / "a.npz", "recurrent", {"elastic": {"density": value}}, ARRAYS)
    with pytest.raises(LawError, match=r"elastic\.density of the header must be a number above 0, not "):
        load_artefact(path, "recurrent").number("elastic", "density")
