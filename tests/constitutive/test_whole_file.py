"""Files that are written whole or not at all."""

import pytest

from constitutive.whole_file import replace_text, replacing


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    path = tmp_path / "file"
    replace_text(path, "before\u00b5")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        file.flush()
        assert path.read_text("utf-8") == "before\u00b5"
        raise KeyboardInterrupt
    assert path.read_text("utf-8") == "before\u00b5" and list(tmp_path.iterdir()) == [path]
    replace_text(path, "after")
    assert path.read_text() == "after"


def test_errors_name_the_file_that_was_to_be_written(tmp_path):
    (folder := tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere" / "file", folder):
        with pytest.raises(OSError) as caught:
            replace_text(path, "text")
        assert caught.value.filename == str(path)
