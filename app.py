"""The Space's entry, and the same as `sd3demo serve`: it takes the same flags."""

import sys

from sd3demo.cli import main
from sd3demo.ui import build

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))

demo = build()
