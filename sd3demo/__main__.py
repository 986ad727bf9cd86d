"""`python -m sd3demo`: the same as the `sd3demo` command."""

import sys

from sd3demo.cli import main

if __name__ == "__main__":
    sys.exit(main())
