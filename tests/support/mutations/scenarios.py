"""Small runs, a second or two each, by which mutations are to be noticed: between them they use every method."""

from typing import Any

_BASE: dict[str, Any] = {
    "name": "mutated",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 120, "dimensions": 30, "classes": 5},
    "partition": {"clients": 6},
    "topology": "ring",
    "model": {"kind": "logistic", "l2": 0.05},
    "learning": {"rounds": 10, "step_size": 0.3},
    "deletion": {"client": 2, "samples": 5},
    "audit": {"draws": 200},
    "measures": {"membership": False},
}
_CONSENSUS = {"rounds": 10, "step_size": 0.3, "order": "consensus-plus-gradient"}
_VISITS = {"method": "rr-du", "hops": 12, "visits": 5}

SCENARIOS: dict[str, dict[str, Any]] = {
    "descents": {
        **_BASE,
        "unlearning": [
            {"method": "r2d", "bound": "instance"},
            {
                "method": "r2d",
                "bound": "instance",
                "placement": "rewind",
                "view": "transcript:all",
                "allocation": "optimal",
                "gossip_rounds": 1,
            },
            {"method": "r2d", "view": "average"},
            {"method": "warm-start", "bound": "instance"},
            {"method": "noise-only", "bound": "instance"},
            "retrain",
            "do-nothing",
            {"method": "anew", "rewind": 0.4},
            "ridge",
            {"method": "retrain-healed", "rewind": 0.4, "settle_first": 2},
        ],
    },
    "clipping": {
        **_BASE,
        "learning": {"rounds": 10, "step_size": 0.3, "client_clip": 0.1},
        "deletion": {"client": 2, "samples": "all"},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "transcript:all"},
            "retrain",
            "do-nothing",
        ],
    },
    "replayed": {
        **_BASE,
        "learning": {"rounds": 10, "step_size": 0.3, "checkpoints": {"every": 4}},
        "unlearning": [{"method": "r2d", "bound": "instance"}, {"method": "warm-start", "rounds": 3}],
    },
    "recovered": {
        **_BASE,
        "topology": {"kind": "ring", "mixing": {"kind": "lazy-metropolis-hastings"}},
        "learning": {"rounds": 10, "step_size": 0.3, "checkpoints": {"recover": 1e-7}},
        "unlearning": [{"method": "r2d", "rewind": 0.4, "bound": "instance"}],
    },
    "halved": {
        **_BASE,
        "learning": {"rounds": 10, "step_size": 0.3, "checkpoints": {"half_precision": 0.005}},
        "unlearning": [{"method": "r2d", "rewind": 0.4, "bound": "instance"}],
    },
    "optimizers": {
        **_BASE,
        "learning": {"rounds": 10, "step_size": 0.1, "optimizer": {"kind": "sgd", "momentum": 0.9}},
        "unlearning": [{"method": "r2d", "sigma": 0.01}, {"method": "warm-start", "rounds": 3, "sigma": 0.01}],
    },
    "newton": {
        **_BASE,
        "learning": _CONSENSUS,
        "unlearning": [
            {"method": "newton", "iterations": 4},
            {"method": "newton", "iterations": 4, "shared_noise": True, "view": "node", "clean": 0},
        ],
    },
    "langevin": {
        **_BASE,
        "unlearning": [{"method": "langevin", "bound": "instance"}, {"method": "langevin", "view": "transcript:all"}],
    },
    "finetuning": {
        **_BASE,
        "learning": {"rounds": 10, "step_size": 0.3, "radius": 0.8},
        "unlearning": [
            {"method": "noisy-finetune", "bound": "instance", "gradient_radius": 0.2},
            {"method": "noisy-finetune", "clipping": "model", "model_radius": 0.5},
        ],
    },
    "private": {**_BASE, "unlearning": [{"method": "gossip-dp", "clip": 0.1}, {"method": "walk-dp", "hops": 30}]},
    "visits": {
        **_BASE,
        "unlearning": [
            {**_VISITS, "noise": "certified", "alignment": "lightweight"},
            {**_VISITS, "noise": "certified", "clip": 0.1},
        ],
    },
    "uncertified": {
        **_BASE,
        "unlearning": [
            *("federaser", "gradient-ascent", "finetune", "scrub", "fisher-forgetting", "hessian-free"),
            *(
                {"method": "neggrad", "way": "local"},
                {"method": "salun", "way": "token", "retain_momentum": "carried"},
                {"method": "sfron", "batch": 2, "retain_steps": 3},
                {"method": "npo", "epochs": 2, "step_size": 0.01},
                {"method": "idk", "epochs": 2, "step_size": 0.01, "loss_filter": 0.4, "continued_rounds": 2},
                {"method": "lune", "epochs": 2},
                {"method": "siu", "steps": 3},
                "manif-smc",
            ),
            {"method": "cns", "damping": 0.5, "scale": 4.0, "recursions": 2, "terms": 6, "batch": 3, "sigma": 0.05},
        ],
    },
    "minibatches": {
        **_BASE,
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.3}},
        "learning": {"rounds": 10, "step_size": 0.3, "local_steps": 2, "sampling": {"kind": "poisson", "batch": 8}},
        "unlearning": [{"method": "r2d", "bound": "instance"}, "retrain"],
    },
    "requests": {
        **_BASE,
        "deletion": {"requests": [{"client": 2, "samples": 5, "round": 5}, {"client": 4, "samples": "all"}]},
        "unlearning": [{"method": "r2d", "bound": "instance"}, "noise-only"],
    },
    "leaving": {
        **_BASE,
        "learning": {"rounds": 10, "step_size": 0.3, "radius": 0.8},
        "deletion": {"client": 2, "samples": "all", "departure": "leave"},
        "unlearning": [{"method": "r2d", "bound": "instance"}, {"method": "r2d"}],
    },
    "public": {
        **_BASE,
        "data": {**_BASE["data"], "public": {"clients": 2}},
        "unlearning": ["public-only", {"method": "r2d", "bound": "instance"}],
    },
    "secret": {
        **_BASE,
        "unlearning": [{"method": "r2d", "noise_source": "os"}, {"method": "langevin", "noise_source": "os"}],
    },
}
