"""Notebooks: what our objects show there, in a notebook that is executed.

In: a notebook made of a few cells. Out: HTML for modules, histories, explanations and findings, and no error.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.html_page import checked

nbclient = pytest.importorskip("nbclient", reason="nbclient, which runs notebooks, is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat, which reads notebooks, is not installed")
pytest.importorskip("ipykernel", reason="ipykernel, in which notebooks run, is not installed")

CELLS = {
    "make": """
import numpy as np
import thalweg as tw
from thalweg import nn
tw.manual_seed(0)
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = (x.sum(axis=1) > 0).astype("int64")
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
trainer = tw.Trainer(model, loss="cross_entropy", metrics=["accuracy"], progress=False)""",
    "module": "model",
    "summary": "model.summary((64, 4))",
    "history": "trainer.fit((x, y), validation=(x, y), epochs=3)",
    "explanation": """
import thalweg.nn.functional as F
tw.explain(F.cross_entropy(model(tw.tensor(x[:2])), tw.tensor(y[:2])), model, trainer.optimizer)""",
    "finding": "from thalweg.diagnose import Finding\nFinding('plateau', epoch=1)",
}
SHOWN = {"module": "8 x 4", "summary": "output shape", "history": "val_accuracy", "explanation": "0.weight",
         "finding": "plateau"}  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell has put out."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in CELLS.values()])
    source = str(Path(__file__).parents[1] / "src")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = source
    try:
        folder = tmp_path_factory.mktemp("notebook")
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return dict(zip(CELLS, (cell.outputs for cell in notebook.cells), strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SHOWN)
def test_objects_show_themselves_as_html(outputs, name):
    (shown,) = [each for each in outputs[name] if each.output_type == "execute_result"]
    markup = shown.data["text/html"]
    checked(markup, is_whole=False)
    assert SHOWN[name] in markup
    assert "<script" not in markup
