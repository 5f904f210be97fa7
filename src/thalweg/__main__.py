"""`python -m thalweg`: the command line without an installed script.

In: the process's arguments.
Out: its exit status.
"""

import sys

from thalweg.cli import main

if __name__ == "__main__":
    sys.exit(main())
