"""What a model and a graph tell of single nodes: saliency, rules, neighbourhoods and membership."""
