"""``python -m auricle``, and what the command ``auricle`` starts: Ctrl-C is quiet from the first import on."""

import sys

from auricle.core import interrupts


def main() -> int:
    """Run the command line of this process and return its exit code."""
    interrupts.install()
    from auricle.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
