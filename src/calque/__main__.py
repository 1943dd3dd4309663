"""`python -m calque` is `calque`."""

import sys

from calque.cli import main

if __name__ == "__main__":
    sys.exit(main())
