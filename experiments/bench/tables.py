"""The tables of `rewindnet bench`, as wide as the terminal."""

from collections.abc import Mapping, Sequence
from statistics import median

from rewindnet.experiments.bench.contest import Contest, Timing
from rewindnet.experiments.bench.unlearning import DEPTHS
from rewindnet.experiments.console import Terminal
from rewindnet.experiments.fitting import print_fitting


def print_timings(console: Terminal, contest: Contest, timings: Mapping[str, Sequence[Timing]], on_gpu: bool) -> None:
    """Print a contest: medians over the repetitions, their range, the speed beside the first entry, and memory.

    Args:
        console: the console to print on.
        contest: the contest.
        timings: for each entry, what each repetition took.
        on_gpu: whether the entries computed on a GPU, so that CPU time does not say what they took.
    """
    cpu = contest.one_process and not on_gpu
    seconds = {name: [timing.cpu if cpu else timing.wall for timing in of] for name, of in timings.items()}
    first = median(next(iter(seconds.values())))
    middles = [median(of) for of in seconds.values()]
    columns = [
        ("entry", list(timings)),
        (f"{'CPU' if cpu else 'wall'} ms a round", [_figure(1000 * middle) for middle in middles]),
        ("least", [_figure(1000 * min(of)) for of in seconds.values()]),
        ("most", [_figure(1000 * max(of)) for of in seconds.values()]),
        ("times as fast", [f"{first / middle:.2f}" for middle in middles]),
    ]
    if contest.one_process:
        columns.append(("peak MiB", [_memory(of) for of in timings.values()]))
    print_fitting(console, contest.title, columns, ("least", "most"), words=("entry",))


def print_plans(console: Terminal, timings: Mapping[str, Sequence[Timing]]) -> None:
    """Print what plans of networks took: medians over the repetitions, and memory.

    Args:
        console: the console to print on.
        timings: for each size, what each repetition took.
    """
    columns = [
        ("entry", list(timings)),
        ("CPU s", [f"{median(timing.cpu for timing in of):.3g}" for of in timings.values()]),
        ("wall s", [f"{median(timing.wall for timing in of):.3g}" for of in timings.values()]),
        ("peak MiB", [_memory(of) for of in timings.values()]),
    ]
    print_fitting(console, "plans, 500 rounds, degree 8", columns, ("wall s",), words=("entry",))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _memory(timings: Sequence[Timing]) -> str:
    """Return the most memory of any repetition, in MiB; a dash where the system does not tell."""
    told = [timing.memory for timing in timings if timing.memory is not None]
    return f"{max(told) / 2**20:,.0f}" if told else "–"


def print_unlearning(console: Terminal, found: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print the median seconds of unlearning, its share of retraining, and how far it exceeds the share of the rounds.

    Args:
        console: the console to print on.
        found: what `time_unlearning` returns.
    """
    shares = [median(each["share"] for each in of) for of in found.values()]
    columns = [
        ("rewound", list(found)),
        ("seconds", [f"{median(each['seconds'] for each in of):.3f}" for of in found.values()]),
        ("share of retraining", [f"{share:.3f}" for share in shares]),
        ("beside the share of rounds", [f"{share / depth:.2f}" for share, depth in zip(shares, DEPTHS, strict=True)]),
    ]
    title = "40 nodes, 7,850 parameters, 256 samples a node, 100 rounds: r2d beside retraining"
    print_fitting(console, title, columns, words=("rewound",))
