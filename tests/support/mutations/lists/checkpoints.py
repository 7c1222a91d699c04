"""Checkpoints that were not kept: rounds that are run again, or undone."""

from mutations.mutation import Mutation

_DESCENTS = ("r2d", "warm-start")
_RECOVERY = "certificates/sensitivity/recovery.py"
_TESTS = ("conscience/test_recovery.py",)
_HALF = "certificates/sensitivity/half_precision.py"
_HALF_TESTS = ("conscience/test_half_precision.py",)
_HALF_RUNS = ("experiments/test_half_precision_runs.py",)

MUTATIONS = (
    Mutation(
        "rounds that are run again do not read what is to be forgotten",
        _DESCENTS,
        "simulator/simulation.py",
        'self._descent(f"replayed-{rounds.start:06d}", begin, 0, rounds,',
        'self._descent(f"replayed-{rounds.start:06d}", begin, 1, rounds,',
        "replayed",
    ),
    Mutation(
        "rounds that are run again are not counted",
        _DESCENTS,
        "simulator/simulation.py",
        "cost += learned.replayed.get(plan.release.checkpoint_round, Cost())",
        "cost += Cost()",
        "replayed",
    ),
    Mutation(
        "rounds are run again from the last models",
        _DESCENTS,
        "experiments/runs/replays.py",
        "simulation.run_again(part, names[part.start])",
        "simulation.run_again(part, names[max(learned.checkpoint_names)])",
        "replayed",
        ("experiments/test_kept_rounds.py",),
    ),
    Mutation(
        "rounds are undone without what is to be forgotten",
        ("r2d",),
        "simulator/recovery.py",
        'Task(f"recovered-{rounds.start:06d}", 0, begin,',
        'Task(f"recovered-{rounds.start:06d}", 1, begin,',
        "recovered",
    ),
    Mutation(
        "models are mixed again in place of being parted",
        ("r2d",),
        "clients/steps/recovery.py",
        "return self._inverses(mixing.matrix(round), round).matrix",
        "return mixing.matrix(round)",
        "recovered",
    ),
    Mutation(
        "the error of recovered models is not charged",
        ("r2d",),
        "certificates/sensitivity/recursion.py",
        "e[:, :k] += error * present",
        "e[:, :k] += 0.0 * present",
        "recovered",
        _TESTS,
    ),
    Mutation(
        "that undone steps part models is not in the bound on their error",
        ("r2d",),
        _RECOVERY,
        "steps = 1 / np.prod(1 - _contraction(training, t), axis=0)",
        "steps = np.ones(training.mixing.nodes)",
        "recovered",
        _TESTS,
    ),
    Mutation(
        "how far the undone rounds lead is not in the bound on the error",
        ("r2d",),
        _RECOVERY,
        "a = np.asarray(apart, dtype=np.float64) * (1 + _ROUNDING)",
        "a = np.zeros(training.mixing.nodes)",
        "recovered",
        _TESTS,
    ),
    Mutation(
        "rounding is not in the bound on the error",
        ("r2d",),
        _RECOVERY,
        "a = a + charged[t]",
        "a = a + 0.0 * charged[t]",
        "recovered",
        _TESTS,
    ),
    Mutation(
        "models that may be too far off are released from",
        ("r2d",),
        "experiments/runs/replays.py",
        "if not float(error.max()) <= known.recovery_error:",
        "if not float(error.max()) <= np.inf:",
        "recovered",
        ("experiments/test_recovered_runs.py",),
    ),
    Mutation(
        "the error of half precision is not charged",
        ("r2d",),
        "certificates/training.py",
        "return self.recovery_error + self.storage_error if 0 < round < self.rounds else 0.0",
        "return self.recovery_error if 0 < round < self.rounds else 0.0",
        "halved",
        _HALF_TESTS,
    ),
    Mutation(
        "the error of half precision is half of what it is",
        ("r2d",),
        _HALF,
        "_RELATIVE = 2.0**-11",
        "_RELATIVE = 2.0**-12",
        "halved",
        _HALF_TESTS,
    ),
    Mutation(
        "that half precision has a least number is not in the bound on its error",
        ("r2d",),
        _HALF,
        "_LEAST = 2.0**-25 * (1 + 2.0**-10)",
        "_LEAST = 0.0",
        "halved",
        _HALF_TESTS,
    ),
    Mutation(
        "models that were rounded by more than is charged are released from",
        ("r2d",),
        _HALF,
        "if np.isfinite(error) and error <= charged:",
        "if np.isfinite(error):",
        "halved",
        (*_HALF_TESTS, *_HALF_RUNS),
    ),
    Mutation(
        "clients keep in full precision what half precision is charged for",
        ("r2d",),
        "clients/worker.py",
        "self.checkpoints[name] = self.checkpoints[name].half()",
        "self.checkpoints[name] = self.checkpoints[name]",
        "halved",
        _HALF_RUNS,
    ),
    Mutation(
        "learning goes on from models in half precision once it is resumed",
        ("r2d",),
        "simulator/engine.py",
        "    network.begin(task.requests_met, task.checkpoint_name(progress.rounds), progress.measured or None)\n",
        "    for early in sorted(task.halved.intersection(progress.checkpoints)):\n"
        "        network.halve(task.checkpoint_name(early))\n"
        "    network.begin(task.requests_met, task.checkpoint_name(progress.rounds), progress.measured or None)\n",
        "halved",
        ("experiments/test_resume.py",),
    ),
    Mutation(
        "the verifier does not count the messages of undone rounds",
        ("r2d",),
        "experiments/scenario/kept_rounds.py",
        "between = training.mixing.nodes * (training.mixing.nodes - 1) if undone else 0",
        "between = 0",
        "recovered",
    ),
)
