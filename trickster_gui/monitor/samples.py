"""The texts that a model wrote while it learned, by prompt and step."""

from __future__ import annotations

from engine.events import Sample

# A text that was asked for again and again must not fill the memory: the oldest but the first go.
MAX_PROMPTS = 200
MAX_PER_PROMPT = 20_000


class Samples:
    """Samples of each prompt in the order of their steps. A later text at the same step wins."""

    def __init__(self) -> None:
        self._by_prompt: dict[str, dict[int, Sample]] = {}
        self._requested: set[str] = set()

    def add(self, sample: Sample) -> None:
        """Keep a sample."""
        texts = self._by_prompt.get(sample.prompt)
        if texts is None:
            if len(self._by_prompt) >= MAX_PROMPTS:
                return
            texts = self._by_prompt[sample.prompt] = {}
            if sample.requested:
                self._requested.add(sample.prompt)
        texts.pop(sample.step, None)
        texts[sample.step] = sample
        if len(texts) > MAX_PER_PROMPT:
            del texts[sorted(texts)[1]]

    def rewind(self, step: int) -> None:
        """The run goes on from ``step``: what was written after it belongs to an abandoned line."""
        for texts in self._by_prompt.values():
            for later in [key for key in texts if key > step]:
                del texts[later]
        for prompt in [prompt for prompt, texts in self._by_prompt.items() if not texts]:
            del self._by_prompt[prompt]

    def prompts(self) -> list[str]:
        """All prompts, in the order of their first sample."""
        return list(self._by_prompt)

    def of(self, prompt: str) -> list[Sample]:
        """Samples of a prompt, ascending by step."""
        texts = self._by_prompt.get(prompt, {})
        return [texts[step] for step in sorted(texts)]

    def untrained(self, prompt: str) -> Sample | None:
        """What the model wrote to this prompt before the first step, where that was asked."""
        return self._by_prompt.get(prompt, {}).get(0)
