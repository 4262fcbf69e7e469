"""The torch modules: what a ModelSpec becomes once it is to be trained or to write.

Shape suffixes used throughout this package: B batch, T tokens of the input, S tokens that can be
looked at (T and whatever a cache holds before them), D hidden_dim, H heads, K key/value heads,
h head size, M mlp_dim, V vocab_size. ``q_BHTh`` is thus batch × heads × tokens × head size.
"""
