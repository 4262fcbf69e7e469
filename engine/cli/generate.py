"""``generate``: let a trained model go on with a text."""

from __future__ import annotations

import argparse
import json
import sys
import time

from engine.parameter import SpecError
from engine.run_directory import RunDirectory, RunDirectoryError

HELP = "let the model of a run continue a prompt"
_MOST_NEW_TOKENS = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the prompt, and how daringly to write."""
    parser.add_argument("run_dir", metavar="DIR", help="folder of the run")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what the text begins with")
    parser.add_argument("--max-new-tokens", type=int, default=200, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="X")
    parser.add_argument("--top-k", type=int, default=0, metavar="N", help="0: all tokens")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="X", help="1: all tokens")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--step", type=int, metavar="N", help="the checkpoint of this step")
    which.add_argument("--best", action="store_true", help="the lowest validation loss")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Write the text, as it comes, or as one JSON document."""
    if not 0 <= arguments.max_new_tokens <= _MOST_NEW_TOKENS:
        raise SpecError("max-new-tokens", f"must be from 0 to {_MOST_NEW_TOKENS:,}")
    if not 0 <= arguments.seed < 1 << 63:
        raise SpecError("seed", "must be from 0 to 2^63 - 1")
    from engine.models.generation import stream
    from engine.models.sampling import BrokenModelError
    from engine.training.loading import open_model

    directory = RunDirectory(arguments.run_dir)
    loaded = open_model(directory, step=arguments.step, best=arguments.best)
    ids, unknown = loaded.tokenizer.encode_prompt(arguments.prompt)
    if unknown and not arguments.json:
        left_out = " ".join(map(repr, unknown[:20]))
        print(f"characters that the model does not know are left out: {left_out}", file=sys.stderr)
    steps = stream(
        loaded.model,
        ids.tolist(),
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        repetition_penalty=arguments.repetition_penalty,
        seed=arguments.seed,
        allowed=min(loaded.tokenizer.vocab_size, loaded.record.model.vocab_size),
        alternatives=1,
    )
    began = time.perf_counter()
    decoder, tokens, parts = loaded.tokenizer.decode_stream(), [], []
    if not arguments.json:
        print(arguments.prompt, end="", flush=True)
    try:
        for step in steps:
            tokens.append(step.token)
            parts.append(decoder.push(step.token))
            if not arguments.json:
                print(parts[-1], end="", flush=True)
    except BrokenModelError as error:
        raise RunDirectoryError(str(error)) from error
    parts.append(decoder.finish())
    if not arguments.json:
        print(parts[-1])
        return 0
    document = {
        "run": str(directory.path),
        "step": loaded.step,
        "prompt": arguments.prompt,
        "text": "".join(parts),
        "prompt_ids": ids.tolist(),
        "ids": tokens,
        "unknown_characters": list(unknown),
        "seed": arguments.seed,
        "elapsed_s": time.perf_counter() - began,
    }
    print(json.dumps(document, ensure_ascii=True))
    return 0
