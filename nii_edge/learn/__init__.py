"""From labels to a running bundle: data, the network, training, evaluation, export.

What needs torch (the extra `train`) imports it in its own module; `evaluate` and the data readers need none.
"""
