"""The rules for chat requests in OpenAI's shape: fields and their types, the order of messages, and what excludes what."""

import re

from .checks import (anything, either, filled, flag, integer, listed, maybe, number, obj, one_of, picture, record, refuse,
                     text)

NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


def name(value, path):
    text(value, path)
    if not NAME.match(value):
        refuse("value", f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
               "'^[a-zA-Z0-9_-]+$'.", path, "invalid_value")


def strict_schema(schema, path):
    """OpenAI's strict schemas: every object closed, every property required."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            refuse("value", f"Invalid schema for {path}: 'additionalProperties' is required to be supplied and to be "
                   "false.", path, "invalid_json_schema")
        missing = set(schema.get("properties", {})) - set(schema.get("required", []))
        if missing:
            refuse("value", f"Invalid schema for {path}: 'required' is required to be supplied and to be an array "
                   f"including every key in properties. Missing {sorted(missing)}.", path, "invalid_json_schema")
    for one in list(schema.get("properties", {}).values()) + schema.get("anyOf", []) + [schema.get("items")]:
        strict_schema(one, path)


FUNCTION = record({"name": name, "description": maybe(text), "parameters": maybe(obj), "strict": maybe(flag)}, ("name",))
TOOL = record({"type": one_of("function"), "function": FUNCTION}, ("type", "function"))
CALL = record(
    {"id": filled, "type": one_of("function"), "function": record({"name": text, "arguments": text}, ("name", "arguments"))},
    ("id", "type", "function"),
)
CHOICE = either(
    (str, one_of("none", "auto", "required")),
    (dict, record({"type": one_of("function"), "function": record({"name": name}, ("name",))}, ("type", "function"))),
)
SCHEMA = record({"name": name, "description": maybe(text), "schema": obj, "strict": maybe(flag)}, ("name",))
FORMAT = record({"type": one_of("text", "json_object", "json_schema"), "json_schema": SCHEMA}, ("type",))
STOP = either((str, text), (list, listed(text, 0, 4)))
NUMBER = maybe(number())

FIELDS = {
    "model": filled,
    "messages": listed(obj, 1),
    "temperature": maybe(number(0, 2)),
    "top_p": maybe(number(0, 1)),
    "presence_penalty": maybe(number(-2, 2)),
    "frequency_penalty": maybe(number(-2, 2)),
    "max_tokens": maybe(integer(1)),
    "max_completion_tokens": maybe(integer(1)),
    "n": maybe(integer(1, 128)),
    "seed": maybe(integer()),
    "stop": maybe(STOP),
    "stream": maybe(flag),
    "stream_options": maybe(record({"include_usage": flag, "include_obfuscation": flag})),
    "tools": listed(TOOL, 1, 128),
    "tool_choice": CHOICE,
    "parallel_tool_calls": flag,
    "functions": listed(FUNCTION, 1, 128),
    "function_call": either((str, one_of("none", "auto")), (dict, record({"name": name}, ("name",)))),
    "response_format": FORMAT,
    "logprobs": maybe(flag),
    "top_logprobs": maybe(integer(0, 20)),
    "logit_bias": maybe(obj),
    "user": text,
    "reasoning_effort": maybe(one_of("none", "minimal", "low", "medium", "high", "xhigh")),
    "verbosity": maybe(one_of("low", "medium", "high")),
    "metadata": maybe(obj),
    "store": maybe(flag),
    "service_tier": maybe(one_of("auto", "default", "flex", "scale", "priority")),
    "modalities": maybe(listed(one_of("text", "audio"))),
    "audio": maybe(obj),
    "prediction": maybe(obj),
    "web_search_options": obj,
    "safety_identifier": text,
    "prompt_cache_key": text,
    "prompt_cache_retention": maybe(one_of("in-memory", "in_memory", "24h")),
    "prompt_cache_options": obj,
    "moderation": obj,
}

IMAGE = record({"url": text, "detail": one_of("auto", "low", "high", "original")}, ("url",))
PARTS = {
    "text": record({"type": text, "text": text, "prompt_cache_breakpoint": obj}, ("text",)),
    "image_url": record({"type": text, "image_url": IMAGE, "prompt_cache_breakpoint": obj}, ("image_url",)),
    "input_audio": record({"type": text, "input_audio": record({"data": text, "format": one_of("wav", "mp3")},
                                                                 ("data", "format"))}, ("input_audio",)),
    "file": record({"type": text, "file": obj}, ("file",)),
    "refusal": record({"type": text, "refusal": text}, ("refusal",)),
}
USER = ("text", "image_url", "input_audio", "file")
ROLES = {  # the kinds of parts of each role's content
    "developer": ("text",), "system": ("text",), "user": USER, "assistant": ("text", "refusal"), "tool": ("text",),
    "function": (),
}


def content(value, path, kinds):
    """The texts and pictures of a message's content."""
    if isinstance(value, str):
        return [value], []
    listed(obj, 1)(value, path)
    texts, pictures = [], []
    for i, part in enumerate(value):
        where = f"{path}[{i}]"
        kind = part.get("type")
        if kind not in kinds:
            names = ", ".join(f"'{one}'" for one in kinds)
            refuse("value", f"Invalid value: '{kind}'. Supported values are: {names}.", f"{where}.type", "invalid_value")
        PARTS[kind](part, where)
        if kind == "image_url":
            pictures.append(picture(part["image_url"]["url"], f"{where}.image_url.url"))
        elif kind in ("text", "refusal"):
            texts.append(part[kind])
    return texts, pictures


def message_fields(role, extra):
    base = {"role": text, "content": anything, "name": maybe(name)}
    if role == "assistant":
        base |= {"refusal": maybe(text), "audio": maybe(obj), "tool_calls": listed(CALL, 1, 128),
                 "function_call": maybe(record({"name": text, "arguments": text}, ("name", "arguments")))}
    if role == "tool":
        base |= {"tool_call_id": filled}
    return base | extra


def message(value, i, roles, extra, strict):
    """Checks one message and gives its texts and pictures."""
    path, role = f"messages[{i}]", value.get("role")
    if role not in roles:
        names = ", ".join(f"'{one}'" for one in roles)
        refuse("value", f"Invalid value: '{role}'. Supported values are: {names}.", f"{path}.role", "invalid_value")
    required = {"tool": ("role", "tool_call_id"), "function": ("role", "name")}.get(role, ("role",))
    record(message_fields(role, extra), required, strict)(value, path)
    found = value.get("content")
    if found is None:
        if role != "assistant" or not (value.get("tool_calls") or value.get("function_call") or value.get("refusal")):
            refuse("type", "Invalid value for 'content': expected a string, got null.", f"{path}.content", "invalid_type")
        return [], []
    return content(found, f"{path}.content", roles[role])


def order(messages):
    """Every tool call is answered right after it, and only calls are answered."""
    open_calls = []
    for i, one in enumerate(messages):
        if one["role"] == "tool":
            if one["tool_call_id"] not in open_calls:
                refuse("order", "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                       "with 'tool_calls'.", f"messages.[{i}].role")
            open_calls.remove(one["tool_call_id"])
            continue
        unanswered(open_calls, i)
        open_calls = [call["id"] for call in one.get("tool_calls") or []]
    unanswered(open_calls, len(messages))


def unanswered(open_calls, i):
    if open_calls:
        refuse("order", "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
               "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(open_calls),
               f"messages.[{i}].role")


def together(body):
    """What needs or excludes another field."""
    for field, needed in (("tool_choice", "tools"), ("parallel_tool_calls", "tools")):
        if body.get(field) is not None and not body.get(needed):
            refuse("value", f"Invalid value for '{field}': '{field}' is only allowed when '{needed}' are specified.", field)
    if body.get("stream_options") is not None and not body.get("stream"):
        refuse("value", "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        refuse("value", "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        refuse("value", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.", "max_tokens")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        known = [tool["function"]["name"] for tool in body["tools"] if "function" in tool]
        if choice["function"]["name"] not in known:
            refuse("value", f"Tool choice 'function' '{choice['function']['name']}' not found in 'tools' parameter.",
                   "tool_choice")


def says_json(texts):
    if not any("json" in one.lower() for one in texts):
        refuse("value", "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
               "'json_object'.", "messages")
