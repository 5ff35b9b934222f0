"""The model behind every fake: deterministic answers that tell a test what reached the provider.

- `echo: <last user text>`, then ` | system: …`, ` | turns: N` (of more than one message) and ` | pictures: N type, …`
  where there are any; after tool results `tools said: <result>; <result>`.
- With tools the first one is called, or the one that is named; two at once where the text contains "parallel";
  none where it contains "no tool". Arguments are made from the tool's schema.
- With a JSON schema an instance of it, with JSON alone `{"echo": text}`.
- Every word is a token, for usage, for the length limit and for log probabilities.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field

from .schema import sample


@dataclass
class Tool:
    name: str
    schema: dict


@dataclass
class Call:
    name: str
    arguments: dict

    def text(self):
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass
class Question:
    """What a provider read from a request, whatever its protocol."""

    text: str = ""
    system: str = ""
    turns: int = 1
    prompt: list = field(default_factory=list)  # every text that is counted
    pictures: list = field(default_factory=list)  # media types
    results: list = field(default_factory=list)  # of tools, after the last user text
    tools: list = field(default_factory=list)
    choice: str = "auto"  # auto, none, required, or a tool's name
    parallel: bool = True
    shape: object = None  # a JSON schema, or True for any JSON
    thinks: bool = False
    limit: int | None = None
    stops: list = field(default_factory=list)


@dataclass
class Reply:
    thought: str = ""
    text: str = ""
    calls: list = field(default_factory=list)
    finish: str = "stop"  # stop, length, tool, sequence
    stopped_by: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    thought_tokens: int = 0


def words(text):
    """The tokens of a text: words with the space after them; joined they are the text again."""
    return re.findall(r"\S+\s*|\s+", text)


def count(*texts):
    return sum(len(words(one)) for one in texts)


def answer(question):
    reply = Reply(prompt_tokens=max(1, count(*question.prompt)) + 85 * len(question.pictures))
    if question.thinks:
        reply.thought = f"thinking about: {question.text}"
        reply.thought_tokens = count(reply.thought)
    reply.calls = calls_for(question)
    if reply.calls:
        reply.finish = "tool"
        reply.tokens = count(*(call.text() for call in reply.calls)) + reply.thought_tokens
        return reply
    reply.text = text_for(question)
    stop(reply, question.stops)
    shorten(reply, question.limit)
    reply.tokens = count(reply.text) + reply.thought_tokens
    return reply


def calls_for(question):
    if not question.tools or question.choice == "none":
        return []
    named = [tool for tool in question.tools if tool.name == question.choice]
    if question.choice == "auto" and (question.results or "no tool" in question.text):
        return []
    chosen = (named or question.tools)[:1]
    if "parallel" in question.text and question.parallel and not named:
        chosen = (question.tools * 2)[:2]
    return [Call(tool.name, sample(tool.schema or {"type": "object"}) or {}) for tool in chosen]


def text_for(question):
    if isinstance(question.shape, dict):
        return json.dumps(sample(question.shape), ensure_ascii=False)
    if question.shape:
        return json.dumps({"echo": question.text}, ensure_ascii=False)
    if question.results:
        return "tools said: " + "; ".join(question.results)
    parts = [f"echo: {question.text}"]
    if question.system:
        parts.append(f"system: {question.system}")
    if question.turns > 1:
        parts.append(f"turns: {question.turns}")
    if question.pictures:
        parts.append(f"pictures: {len(question.pictures)} {', '.join(question.pictures)}")
    return " | ".join(parts)


def stop(reply, stops):
    found = [(reply.text.find(one), one) for one in stops if one and one in reply.text]
    if found:
        at, reply.stopped_by = min(found)
        reply.text, reply.finish = reply.text[:at], "sequence"


def shorten(reply, limit):
    made = words(reply.text)
    if limit is not None and limit >= 0 and len(made) > limit:
        reply.text, reply.finish, reply.stopped_by = "".join(made[:limit]), "length", None


def vector(text, dimensions=8):
    """A unit vector that depends on the text alone."""
    raw, block = b"", 0
    while len(raw) < dimensions * 2:
        raw += hashlib.sha256(f"{block}:{text}".encode()).digest()
        block += 1
    numbers = [int.from_bytes(raw[2 * i : 2 * i + 2], "big") / 32768 - 1 for i in range(dimensions)]
    length = sum(one * one for one in numbers) ** 0.5 or 1
    return [one / length for one in numbers]


def probability(i):
    """The log probability of the i-th token."""
    return -0.125 * (i % 4 + 1)
