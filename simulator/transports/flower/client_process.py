"""The ClientApp of one SuperNode that was started by hand, in one process that stays.

    python -m rewindnet.simulator.transports.flower.client_process 127.0.0.1:9094 --insecure

A SuperNode with `--isolation subprocess`, which is Flower's default, starts a Python for each message. It imports torch
before it answers: some four seconds of a core, and where cores are busy it takes longer than the minute after which
Flower declares its task dead and starts another. A SuperNode with `--isolation process` waits for this process instead.
"""

import argparse
from collections.abc import Sequence

from rewindnet.simulator.transports.flower import service

#: The ClientApp of every scenario.
_APP = "rewindnet.simulator.transports.flower.app:client"


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer the messages of a SuperNode until this process is stopped.

    Args:
        arguments: those of the command line, by default.
    """
    parser = argparse.ArgumentParser(prog="client_process", description="Answer the messages of one SuperNode.")
    parser.add_argument("address", metavar="HOST:PORT", help="where the SuperNode listens: its --host and --port")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument("--insecure", action="store_true", help="the SuperNode was started without --ssl-certfile")
    trust.add_argument(
        "--root-certificates", metavar="FILE", help="what the SuperNode's certificate is checked against"
    )
    parser.add_argument("--superexec-auth-secret-file", metavar="FILE", help="the secret that the SuperNode asks for")
    given = parser.parse_args(arguments)
    service.client(given.address, given.root_certificates or "", given.superexec_auth_secret_file or "", _APP)


if __name__ == "__main__":
    main()
