"""`python -m rewindnet` is the command `rewindnet`."""

from rewindnet.experiments.cli import main

if __name__ == "__main__":
    main()
