"""What a model learns from: texts, tokenizers, batches, and the floors that a loss is held against.

Nothing is imported here, so that each part costs only its own imports; none of them needs torch.
"""

from __future__ import annotations
