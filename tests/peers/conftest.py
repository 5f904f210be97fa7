"""The modules here that compare need PyTorch; where it is not installed they are not even looked at.

In: whether PyTorch can be found. Out: which files pytest leaves out; the tests themselves skip with a reason.
"""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = ["programs"] if find_spec("torch") else ["agreement.py", "modules.py", "samples.py", "programs"]
