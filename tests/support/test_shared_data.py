"""The helper that finds the real data: beside the repository, elsewhere by a variable, or not at all.

In: folders made for the test.
Out: paths, or a skip that gives its reason.
"""

import pytest

from tests.support.shared_data import VARIABLE, shared_data, shared_data_root


def test_the_nearest_shared_data_above_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert shared_data_root(tmp_path / "work" / "repository") == tmp_path / "shared" / "data"


def test_the_variable_comes_first_and_what_is_absent_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "mnist").mkdir()
    assert shared_data("mnist") == tmp_path / "mnist"
    with pytest.raises(pytest.skip.Exception, match="has no adult"):
        shared_data("adult")
