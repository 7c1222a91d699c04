"""Records and files that say less, or protect less, than they should."""

from mutations.mutation import Mutation

_DESCENTS = ("r2d", "warm-start", "noise-only")
_SAID = ("langevin", "noisy-finetune", "newton", "rr-du", *_DESCENTS)
_PRIVATE = ("gossip-dp", "walk-dp")
_WENT_ON = ("r2d", "noise-only", "retrain", "do-nothing")
_AFTER = ("conscience/test_sensitivity_after_releases.py",)
_BETWEEN = ("conscience/test_noise_between_runs.py",)
_FORGERIES = ("experiments/test_forgeries.py",)
_HANDOVER = ("certificates/test_handover.py",)

MUTATIONS = (
    Mutation(
        "two requests of one seed get the same noise",
        _SAID,
        "clients/training/noise.py",
        'context=f"{self.scenario} {self.forget}"',
        "context=self.scenario",
        "descents",
        ("experiments/test_computation.py",),
    ),
    Mutation(
        "two scenarios of one seed get the same noise",
        (*_SAID, *_PRIVATE),
        "clients/training/noise.py",
        'context=f"{self.scenario} {self.forget}"',
        "context=self.forget",
        "descents",
        _BETWEEN,
    ),
    Mutation(
        "noise of learning knows the request that comes later",
        _PRIVATE,
        "clients/training/noise.py",
        'return replace(self, forget="")',
        "return replace(self)",
        "private",
        _BETWEEN,
    ),
    Mutation(
        "the commitment to a forget set has no salt",
        _DESCENTS,
        "certificates/forget_sets.py",
        "return hashlib.sha256(salt + _canonical(forget))",
        "return hashlib.sha256(_canonical(forget))",
        "descents",
        ("certificates/test_forget_sets.py",),
    ),
    Mutation(
        "the hashes of files are not compared",
        _DESCENTS,
        "experiments/verify/files.py",
        "demand(not wrong, f",
        "demand(wrong is not None, f",
        "descents",
        ("experiments/test_run_folders.py",),
    ),
    Mutation(
        "the network need not be that of the scenario",
        _DESCENTS,
        "experiments/verify/network.py",
        "_check_same(folder.topology, rebuilt.topology.to_record())",
        "_check_same(rebuilt.topology.to_record(), rebuilt.topology.to_record())",
        "descents",
        _FORGERIES,
    ),
    Mutation(
        "the numbers of samples need not be those of the data",
        _DESCENTS,
        "experiments/verify/data.py",
        'np.flatnonzero(np.array(record["samples"]) != training.samples)',
        'np.flatnonzero(np.array(record["samples"]) < 0)',
        "descents",
        _FORGERIES,
    ),
    Mutation(
        "accuracies of the table are not measured again",
        _DESCENTS,
        "experiments/verify/measures.py",
        "float(np.abs(given - measured)[worst]) <= allowed * (1 + 1e-9),",
        "float(np.abs(given - measured)[worst]) <= 1 + allowed,",
        "descents",
        _FORGERIES,
    ),
    Mutation(
        "any signature is taken for the owner's",
        _DESCENTS,
        "experiments/handover/signature.py",
        "if expected is not None and expected != stated:",
        "if expected is not None and expected == b'':",
        "descents",
        ("experiments/test_handing_over.py",),
    ),
    Mutation(
        "the sentences of a certificate need not follow from its numbers",
        _DESCENTS,
        "certificates/handover/consistency.py",
        'if document["statement"][name] != sentence:',
        'if not document["statement"][name]:',
        "descents",
        (*_HANDOVER, "experiments/test_handing_over.py"),
    ),
    Mutation(
        "a handed-over certificate may hide that it is conditional",
        _DESCENTS,
        "certificates/handover/consistency.py",
        'if guarantee["conditional"] != (differs and bool(instance or doubtful)):',
        'if guarantee["conditional"] not in (True, False):',
        "descents",
        (*_HANDOVER, "experiments/test_handing_over.py"),
    ),
    Mutation(
        "learning goes on from releases that are certified for one node alone",
        _WENT_ON,
        "certificates/continuation.py",
        "if release.averaged or str(claim.view) not in _ALL_NODES:",
        "if release.averaged:",
        "requests",
        _AFTER,
    ),
    Mutation(
        "a later request rewinds past an earlier release",
        _WENT_ON,
        "certificates/continuation.py",
        "if 0 < release.checkpoint_round < latest:",
        "if 0 < release.checkpoint_round < 0:",
        "requests",
        _AFTER,
    ),
    Mutation(
        "the noise of an earlier release is not rounded",
        _WENT_ON,
        "certificates/sensitivity/rounding.py",
        "noise = _earlier_noise(training, t + 1)",
        "noise = 0.0",
        "requests",
        _AFTER,
    ),
)
