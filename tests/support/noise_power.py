"""How often the audit of noise notices too little noise, method by method: prints a table for docs/certificates.md.

    PYTHONPATH=tests/support:tests/conscience python -m noise_power [SEEDS]

Every method that adds noise answers one request of digits with 10 clients (d = 650), with its noise multiplied by each
of `SHARES`, and the share of runs whose noise audit says `violated` is printed. With the share 1 these are false
alarms.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from runs import run_through
from test_noise_mutations import NOISY
from weaker_noise import WAYS, broken

from rewindnet.clients.steps import learning, noisy

SHARES = (1.0, 0.95, 0.9, 0.5)
SCENARIO = {
    "data": {"source": "digits", "features": "unit-norm"},
    "partition": {"clients": 10},
    "topology": "ring",
    "model": {"kind": "logistic", "l2": 0.05},
    "learning": {"rounds": 10, "order": "consensus-plus-gradient", "step_size": 0.3},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [*NOISY],
    "audit": {"draws": 0},
    "measures": {"membership": False},
}


def violations(share: float, seeds: int) -> list[int]:
    """Count, for every noisy method, the seeds for which this share of its noise is found to be violated."""
    WAYS["a share"] = lambda draw, asked: share * draw(**asked)
    honest = vars(learning)["draw"], vars(noisy)["draw_in_round"]
    vars(learning)["draw"], vars(noisy)["draw_in_round"] = broken("a share")
    counts = [0] * len(NOISY)
    for seed in range(seeds):
        with TemporaryDirectory() as folder:
            run = run_through({**SCENARIO, "seed": seed, "name": "power"}, Path(folder) / "run")
        for index, method in enumerate(run.methods[: len(NOISY)]):
            counts[index] += method.audit["noise_audit"]["status"] == "violated"
    vars(learning)["draw"], vars(noisy)["draw_in_round"] = honest
    return counts


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    counts = [violations(share, seeds) for share in SHARES]
    print("| method | " + " | ".join(f"{share:g} of the noise" for share in SHARES) + " |")
    print("| --- |" + " --- |" * len(SHARES))
    for index, settings in enumerate(NOISY):
        name = ", ".join(f"{key} {value}" if key != "method" else str(value) for key, value in settings.items())
        print(f"| {name} | " + " | ".join(f"{100 * found[index] / seeds:.0f} %" for found in counts) + " |")


if __name__ == "__main__":
    main()
