"""The Space's entry, and the same as `sd3demo serve`."""

import sys

from sd3demo.ui import build, serve

demo = build()

if __name__ == "__main__":
    sys.exit(serve(demo))
