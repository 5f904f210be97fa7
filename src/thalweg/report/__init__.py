"""What happened, for people: explanations, drawings, reports.

In: losses, graphs, histories. Out: text, HTML and pictures. `tw.explain(loss)` is the face of `report.explain`; that
module keeps its name here, so the function is not repeated under it.
"""

from thalweg.report.explanation import Explanation

__all__ = ["Explanation"]
