"""Fakes of LLM providers for end-to-end tests: each speaks its provider's documented protocol on a loopback port.

They are written from the providers' public documentation and know nothing of the gateway, so that a mistake there is
found here. `start("openai", "anthropic")` starts some of them, `start()` all:

    with fakes.start("openai") as running:
        openai = running["openai"]          # openai.url, openai.key, openai.models
        ...                                 # openai.requests, openai.refused, openai.faults

Words in the last user text ask for faults: see `faults`. What a fake answers is told by `brain`.
"""

from .server import NAMES, Running, start

__all__ = ["NAMES", "Running", "start"]
