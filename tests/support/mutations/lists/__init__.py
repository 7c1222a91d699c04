"""The mutations, by what they break."""

from mutations.lists import (
    accounting,
    alternating,
    audits,
    baselines,
    checkpoints,
    clients,
    descents,
    newton,
    noise,
    noisy_rounds,
    private,
    records,
    sensitivity,
    verifier,
    visits,
)
from mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *noise.MUTATIONS,
    *clients.MUTATIONS,
    *sensitivity.MUTATIONS,
    *accounting.MUTATIONS,
    *descents.MUTATIONS,
    *newton.MUTATIONS,
    *noisy_rounds.MUTATIONS,
    *private.MUTATIONS,
    *visits.MUTATIONS,
    *baselines.MUTATIONS,
    *alternating.MUTATIONS,
    *checkpoints.MUTATIONS,
    *audits.MUTATIONS,
    *verifier.MUTATIONS,
    *records.MUTATIONS,
)
