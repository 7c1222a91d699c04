"""All references, by the names that entries of contests have for them."""

from collections.abc import Mapping

from rewindnet.experiments.bench import deep_references as deep
from rewindnet.experiments.bench.peers import PFL, Gossipy
from rewindnet.experiments.bench.references import Loop, Products, Reference, Together

REFERENCES: Mapping[str, type[Reference]] = {
    "loop": Loop,
    "together": Together,
    "products": Products,
    "module-loop": deep.ModuleLoop,
    "module-loop-bf16": deep.HalfLoop,
    "mlp-together": deep.MLPTogether,
    "lenet-together": deep.LeNetTogether,
    "one-model": deep.OneModel,
    "one-model-bf16": deep.HalfModel,
    "gossipy": Gossipy,
    "pfl": PFL,
}
