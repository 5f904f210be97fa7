"""What happened, for people: explanations, drawings, reports.

In: losses, graphs, histories, run folders. Out: text, HTML and pictures. `tw.explain(loss)` is the face of
`report.explain`; that module keeps its name here, so the function is not repeated under it.
"""

from thalweg.report.explanation import Explanation
from thalweg.report.paths import draw_optimizer_paths, optimizer_paths
from thalweg.report.run_report import RunReport

__all__ = ["Explanation", "RunReport", "draw_optimizer_paths", "optimizer_paths"]
