"""What can go wrong with texts and tokenizers. Every message is one line and says what to do."""

from __future__ import annotations


class CorpusError(ValueError):
    """A text that cannot be had or cannot be used."""


class CorpusCancelledError(CorpusError):
    """A person stopped the loading of a text; nothing was kept."""


class TokenizerError(ValueError):
    """A text that a tokenizer cannot encode, or a tokenizer file that cannot be used."""
