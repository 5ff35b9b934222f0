"""The rules for messages in Anthropic's shape: https://docs.anthropic.com/en/api/messages. Unknown fields are refused, and
wrong fields are named by a path with dots."""

import base64
import hashlib

from .checks import from_base64, media_of, refuse

ROLES = ("user", "assistant", "system")
CACHE = {"cache_control"}
BLOCKS = {  # the fields of each kind of block: what must be there, and what may be
    "text": ({"text"}, {"citations"} | CACHE),
    "image": ({"source"}, {"transformations"} | CACHE),
    "document": ({"source"}, {"citations", "context", "title"} | CACHE),
    "tool_use": ({"id", "name", "input"}, {"caller", "toolset_name"} | CACHE),
    "tool_result": ({"tool_use_id"}, {"content", "is_error", "toolset_name"} | CACHE),
    "thinking": ({"thinking", "signature"}, set()),
    "redacted_thinking": ({"data"}, set()),
}
OF = {
    "user": ("text", "image", "document", "tool_result"), "system": ("text",),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
}
MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
NOT_PERMITTED = "Extra inputs are not permitted"


def sign(thought):
    """The signature of a thinking block: only what this fake thought itself is taken back."""
    return base64.b64encode(hashlib.sha256(f"signed:{thought}".encode()).digest()).decode()


def kind(value, path, *kinds):
    """Pydantic's words for a value of another type."""
    if isinstance(value, bool) and bool not in kinds or not isinstance(value, kinds):
        names = {str: "string", int: "integer", float: "number", bool: "boolean", list: "list", dict: "dictionary"}
        refuse("type", f"{path}: Input should be a valid {names[kinds[0]]}")


def between(value, path, low, high):
    if low is not None and value < low:
        refuse("value", f"{path}: Input should be greater than or equal to {low}")
    if high is not None and value > high:
        refuse("value", f"{path}: Input should be less than or equal to {high}")


def closed(value, path, required, optional):
    kind(value, path or "body", dict)
    lead = f"{path}." if path else ""
    for name in sorted(required - {one for one in value if value[one] is not None}):
        refuse("missing", f"{lead}{name}: Field required")
    for name in value:
        if name not in required | optional:
            refuse("field", f"{lead}{name}: {NOT_PERMITTED}")


def among(value, path, *allowed):
    if value not in allowed:
        names = ", ".join(f"'{one}'" for one in allowed)
        refuse("value", f"{path}: Input should be {names}")


def source(value, path, media=MEDIA):
    """The media type of a picture or document."""
    kind(value, path, dict)
    among(value.get("type"), f"{path}.type", "base64", "url", "file", "text", "content")
    if value["type"] == "base64":
        closed(value, path, {"type", "media_type", "data"}, set())
        data = from_base64(value["data"], f"{path}.base64.data")
        if media == MEDIA:
            among(value["media_type"], f"{path}.base64.media_type", *media)
            if media_of(data) != value["media_type"]:
                refuse("value", f"{path}.base64: The image was specified using the {value['media_type']} media type, but "
                       f"the image appears to be a {media_of(data)} image")
        return value["media_type"]
    return value["type"]


def block(value, path, role, found):
    """Checks one block of content and gathers what is in it."""
    kind(value, path, dict)
    what = value.get("type")
    if what not in OF[role]:
        refuse("value", f"{path}: Input tag '{what}' found using 'type' does not match any of the expected tags: "
               + ", ".join(f"'{one}'" for one in OF[role]))
    closed(value, path, BLOCKS[what][0] | {"type"}, BLOCKS[what][1])
    if what == "text":
        kind(value["text"], f"{path}.text", str)
        if not value["text"].strip():
            refuse("value", "messages: text content blocks must contain non-whitespace text")
        found.texts.append(value["text"])
    elif what == "image":
        found.pictures.append(source(value["source"], f"{path}.source"))
    elif what == "document":
        source(value["source"], f"{path}.source", None)
    elif what == "tool_use":
        kind(value["input"], f"{path}.tool_use.input", dict)
        found.uses.append(value["id"])
    elif what == "tool_result":
        found.results[value["tool_use_id"]] = result(value, path, found)
    elif what == "thinking":
        if value["signature"] != sign(value["thinking"]):
            refuse("value", f"{path}: Invalid `signature` in `thinking` block")
    found.kinds.append(what)


def result(value, path, found):
    content = value.get("content") or ""
    if isinstance(content, str):
        return content
    kind(content, f"{path}.tool_result.content", list)
    texts = []
    for i, one in enumerate(content):
        where = f"{path}.tool_result.content.{i}"
        kind(one, where, dict)
        among(one.get("type"), f"{where}.type", "text", "image", "document", "search_result")
        if one["type"] == "text":
            kind(one.get("text"), f"{where}.text.text", str)
            texts.append(one["text"])
        elif one["type"] == "image":
            found.pictures.append(source(one.get("source"), f"{where}.source"))
    return " ".join(texts)


class Found:
    """What a message holds."""

    def __init__(self, role):
        self.role, self.texts, self.pictures, self.uses, self.results, self.kinds = role, [], [], [], {}, []


def messages(given, newer):
    """Checks the messages; `newer` models take a system message right after a user's."""
    kind(given, "messages", list)
    if not given:
        refuse("value", "messages: at least one message is required")
    made = []
    for i, one in enumerate(given):
        path = f"messages.{i}"
        closed(one, path, {"role", "content"}, set())
        if one["role"] == "system":
            if i == 0:
                refuse("value", 'messages: Unexpected role "system". The Messages API accepts a top-level `system` '
                       'parameter, not "system" as an input message role.')
            if not newer:
                refuse("value", f"{path}: role 'system' is not supported on this model")
            if made[-1].role != "user":
                refuse("order", f"{path}: a system message must come immediately after a user message")
        among(one["role"], f"{path}.role", *ROLES)
        made.append(message(one, path))
    if made[0].role != "user":
        refuse("order", "messages: first message must use the \"user\" role")
    for i in range(len(made)):
        if (made[i].role, i) != ("assistant", len(made) - 1) and not made[i].kinds:
            refuse("value", f"messages.{i}: all messages must have non-empty content except for the optional final "
                   "assistant message")
    pairs(made)
    return made


def message(one, path):
    found = Found(one["role"])
    if isinstance(one["content"], str):
        if one["content"]:
            found.texts, found.kinds = [one["content"]], ["text"]
        return found
    kind(one["content"], f"{path}.content", list, str)
    for i, part in enumerate(one["content"]):
        block(part, f"{path}.content.{i}", one["role"], found)
    return found


def pairs(made):
    """Every use of a tool is answered in the next message, first thing, and only uses are answered."""
    for i, one in enumerate(made):
        before = made[i - 1].uses if i else []
        for used in one.results:
            if used not in before:
                refuse("order", f"messages.{i}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {used}. "
                       "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.")
        after = made[i + 1] if i + 1 < len(made) else Found("user")
        missing = [used for used in one.uses if used not in after.results]
        if missing:
            refuse("order", f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                   f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
                   "message.")
        if one.results and "tool_result" in one.kinds[len(one.results):]:
            refuse("order", f"messages.{i}: `tool_result` blocks must come first in the content of a message.")


def thinking_first(made):
    """With thinking on, a turn that goes on after tool results begins with the thinking it began with."""
    last = next((one for one in reversed(made) if one.role == "assistant"), None)
    if last and last.uses and made[-1].results and last.kinds[0] not in ("thinking", "redacted_thinking"):
        refuse("order", f"messages.{made.index(last)}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
               f"`{last.kinds[0]}`. When `thinking` is enabled, a final `assistant` message must start with a thinking "
               "block.")


