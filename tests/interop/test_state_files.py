"""`tw.load_state_dict_from`: strict or not, a part of a model, several files with an index, nothing from elsewhere.

In: safetensors files and indices, whole and hostile. Out: state dictionaries; errors that list names and the file.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import FileFormatError, StateError
from thalweg.train import save_weights


def model(seed=0):
    tw.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def arrays(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def same(one, other):
    assert arrays(one).keys() == arrays(other).keys()
    for name, array in arrays(one).items():
        np.testing.assert_array_equal(array, arrays(other)[name])


def test_a_state_dictionary_of_tensors(tmp_path):
    save_weights(tmp_path / "w", model(1))
    state = tw.load_state_dict_from(tmp_path / "w")
    assert all(isinstance(value, tw.Tensor) for value in state.values())
    taker = model(2)
    assert str(taker.load_state_dict(state)) == "<All keys matched successfully>"
    same(taker, model(1))


def test_strict_lists_missing_and_unexpected_names_and_changes_nothing(tmp_path):
    state = arrays(model(1)) | {"extra.weight": np.zeros(1)}
    del state["1.bias"]
    save_weights(tmp_path / "w.safetensors", state)
    taker = model(2)
    with pytest.raises(StateError) as caught:
        tw.load_state_dict_from(tmp_path / "w.safetensors", taker)
    for word in ("missing:    1.bias", "unexpected: extra.weight", "w.safetensors", "strict=False"):
        assert word in str(caught.value)
    same(taker, model(2))
    loaded = tw.load_state_dict_from(tmp_path / "w.safetensors", taker, strict=False)
    assert taker.load_state_dict(loaded, strict=False) == (["1.bias"], ["extra.weight"])
    np.testing.assert_array_equal(arrays(taker)["0.weight"], arrays(model(1))["0.weight"])


def test_a_prefix_takes_a_part(tmp_path):
    save_weights(
        tmp_path / "w", {f"module.{name}": array for name, array in arrays(model(1)).items()} | {"other": np.ones(1)}
    )
    taker = model(2)
    tw.load_state_dict_from(tmp_path / "w", taker, prefix="module.")
    same(taker, model(1))
    with pytest.raises(StateError, match="no name begins"):
        tw.load_state_dict_from(tmp_path / "w", prefix="encoder.")


def test_a_checkpoint_gives_its_weights(tmp_path):
    trainer = tw.Trainer(model(1), progress=False)
    trainer.save_checkpoint(tmp_path / "c")
    taker = model(2)
    tw.load_state_dict_from(tmp_path / "c", taker)
    same(taker, model(1))


# --- several files ---------------------------------------------------------------------------------------------------


def write_index(folder, files):
    content = {"metadata": {"total_size": 1}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return folder / "model.safetensors.index.json"


def test_files_with_an_index_are_one_model(tmp_path):
    parts = {"model-1.safetensors": {}, "model-2.safetensors": {}}
    files = {name: f"model-{1 + (name[0] == '1')}.safetensors" for name in arrays(model(1))}
    for name, array in arrays(model(1)).items():
        parts[files[name]][name] = array
    for file, held in parts.items():
        save_weights(tmp_path / file, held)
    for path in (write_index(tmp_path, files), tmp_path):
        taker = model(2)
        tw.load_state_dict_from(path, taker)
        same(taker, model(1))


def test_an_index_that_names_files_elsewhere_is_refused(tmp_path):
    (tmp_path / "inside").mkdir()
    save_weights(tmp_path / "secret.safetensors", {"a": np.ones(1)})
    os.symlink(tmp_path / "secret.safetensors", tmp_path / "inside" / "link.safetensors")
    for file in ("../secret.safetensors", str(tmp_path / "secret.safetensors"), "link.safetensors", "a\0b"):
        index = write_index(tmp_path / "inside", {"a": file})
        with pytest.raises(FileFormatError, match=r"leads out of its folder|no possible name"):
            tw.load_state_dict_from(index)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"weight_map": []}', b'{"weight_map": {"a": 1}}', b"{", b"[" * 99_999]
)
def test_an_index_that_is_none_is_refused(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(FileFormatError, match="no index of weights"):
        tw.load_state_dict_from(tmp_path)


def test_an_index_that_promises_too_much_is_refused(tmp_path):
    save_weights(tmp_path / "a.safetensors", {"a": np.ones(1)})
    with pytest.raises(FileFormatError, match="lacks what its index says"):
        tw.load_state_dict_from(write_index(tmp_path, {"a": "a.safetensors", "b": "a.safetensors"}))


def test_a_folder_of_several_files_and_no_index(tmp_path):
    for name in "ab":
        save_weights(tmp_path / f"{name}.safetensors", {"a": np.ones(1)})
    with pytest.raises(FileFormatError, match=r"a\.safetensors, b\.safetensors"):
        tw.load_state_dict_from(tmp_path)
