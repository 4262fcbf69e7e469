"""The training loop of cards: everything but the card. Needs numpy, not torch.

Whoever drives a card writes a ``CardModel`` (model.py) and hands a factory of it to
``run_card_session`` (session.py); text, schedule, events, commands, samples and checkpoints are
then those of every other run.
"""

from __future__ import annotations
