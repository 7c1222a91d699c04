"""The command `rewindnet`, and `python -m rewindnet`, which is the same."""

import sys

from rewindnet.errors import UserError
from rewindnet.extras import missing_extras_named


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        with missing_extras_named():
            from rewindnet.experiments.cli import main as command
        command()
    except UserError as problem:
        print(f"rewindnet: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("rewindnet: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
