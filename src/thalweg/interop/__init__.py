"""Other people's formats: weights that PyTorch and its users have written.

In: files of other libraries. Out: what this library has in their place, under the same names and in the same layouts.
Nothing is ever unpickled.
"""

from thalweg.interop.state_files import load_state_dict_from

__all__ = ["load_state_dict_from"]
