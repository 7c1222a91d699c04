"""Unlearning methods of graph networks, none of which certifies anything, and their registry."""

from collections.abc import Callable
from typing import Any

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.methods.baselines import DoNothing, Retrain
from rewindnet.registry import Registry

__all__ = ["GRAPH_METHODS"]

#: Called as `method(learned, *, settings)`; see `base.Learned` and `base.Unlearned`.
GRAPH_METHODS: Registry[Callable[..., Any]] = Registry(
    "graph method",
    {
        Retrain.name: "rewindnet.clients.graphs.methods.baselines:retrain",
        "drop-finetune": "rewindnet.clients.graphs.methods.drop_finetune:drop_finetune",
        "gnndelete": "rewindnet.clients.graphs.methods.gnndelete:gnndelete",
        "graph-editor": "rewindnet.clients.graphs.methods.graph_editor:graph_editor",
        "graph-edit-finetune": "rewindnet.clients.graphs.methods.graph_edit_finetune:graph_edit_finetune",
        "idea": "rewindnet.clients.graphs.methods.idea:idea",
        "fe-gnndelete": "rewindnet.clients.graphs.methods.stand_ins:fe_gnndelete",
        "fe-grapheditor": "rewindnet.clients.graphs.methods.stand_ins:fe_grapheditor",
        "fe-idea": "rewindnet.clients.graphs.methods.stand_ins:fe_idea",
        DoNothing.name: "rewindnet.clients.graphs.methods.baselines:do_nothing",
    },
    GraphError,
)
