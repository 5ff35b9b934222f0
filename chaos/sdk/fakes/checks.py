"""What a fake refuses, and small checkers from which the providers' rules are put together."""

import base64
import binascii
from dataclasses import dataclass, field


@dataclass
class Refusal(Exception):
    """A request that the provider does not take. Each fake turns it into its provider's status and body."""

    kind: str  # key, no-key, model, field, value, missing, type, order, path, rate, server
    message: str
    param: str | None = None
    code: str | None = None
    headers: dict = field(default_factory=dict)
    fault: bool = False

    def reason(self):
        return f"{self.kind}: {self.message}"


def refuse(kind, message, param=None, code=None):
    raise Refusal(kind, message, param, code)


def join(path, name):
    """`messages` and `0` make `messages[0]`, with a further `content` `messages[0].content`."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def kind_of(value):
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "null")


def wrong(path, wanted, value):
    refuse("type", f"Invalid type for '{path}': expected {wanted}, but got {kind_of(value)} instead.", path, "invalid_type")


def text(value, path):
    if not isinstance(value, str):
        wrong(path, "a string", value)


def filled(value, path):
    text(value, path)
    if not value:
        refuse("value", f"Invalid '{path}': empty string. Expected a string with minimum length 1.", path, "empty_string")


def flag(value, path):
    if not isinstance(value, bool):
        wrong(path, "a boolean", value)


def obj(value, path):
    if not isinstance(value, dict):
        wrong(path, "an object", value)


def anything(value, path):
    """No rule is documented."""


def in_range(value, path, low, high, above):
    if low is not None and (value < low or (above and value <= low)):
        least = f"> {low}" if above else f">= {low}"
        refuse("value", f"Invalid '{path}': value is too small. Expected a value {least}, but got {value}.", path, "below_min")
    if high is not None and value > high:
        refuse("value", f"Invalid '{path}': value is too large. Expected a value <= {high}, but got {value}.", path, "above_max")


def number(low=None, high=None, above=False):
    """A number in a range; `above` leaves the lower bound itself out."""

    def check(value, path):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            wrong(path, "a number", value)
        in_range(value, path, low, high, above)

    return check


def integer(low=None, high=None):
    def check(value, path):
        if isinstance(value, bool) or not isinstance(value, int):
            wrong(path, "an integer", value)
        in_range(value, path, low, high, False)

    return check


def one_of(*allowed):
    def check(value, path):
        if value not in allowed or isinstance(value, bool) and True not in allowed and False not in allowed:
            names = ", ".join(f"'{one}'" for one in allowed)
            refuse("value", f"Invalid value: '{value}' for '{path}'. Supported values are: {names}.", path, "invalid_value")

    return check


def maybe(checker):
    def check(value, path):
        if value is not None:
            checker(value, path)

    return check


def either(*pairs):
    """The checker of the first Python type that fits: `either((str, text), (list, listed(text)))`."""

    def check(value, path):
        for kind, checker in pairs:
            if isinstance(value, kind):
                return checker(value, path)
        wrong(path, "one of " + ", ".join(kind_of(kind()) for kind, _ in pairs), value)

    return check


def listed(checker, low=0, high=None):
    def check(value, path):
        if not isinstance(value, list):
            wrong(path, "an array", value)
        if len(value) < low:
            refuse("value", f"Invalid '{path}': array too short. Expected at least {low} items.", path, "array_below_min_length")
        if high is not None and len(value) > high:
            refuse("value", f"Invalid '{path}': array too long. Expected at most {high} items.", path, "array_above_max_length")
        for i, one in enumerate(value):
            checker(one, join(path, i))

    return check


def record(known, required=(), strict=True):
    """An object with `known` fields; others are refused where the provider is `strict`."""

    def check(value, path):
        obj(value, path)
        for name in required:
            if value.get(name) is None:
                where = join(path, name)
                refuse("missing", f"Missing required parameter: '{where}'.", where, "missing_required_parameter")
        for name, one in value.items():
            where = join(path, name)
            if name in known:
                known[name](one, where)
            elif strict:
                refuse("field", f"Unknown parameter: '{where}'.", where, "unknown_parameter")

    return check


def from_base64(value, path):
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        refuse("value", f"Invalid '{path}': not base64.", path, "invalid_base64")


MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


def media_of(data):
    """The media type of a picture's bytes, or nothing."""
    return next((kind for start, kind in MAGIC.items() if data.startswith(start)), None)


def picture(url, path, bare=False):
    """The media type of a picture: of a data URL (or of `bare` base64), or `url` for one that lies elsewhere."""
    text(url, path)
    if url.startswith(("http://", "https://")) and not bare:
        return "url"
    if bare:
        return media_of(from_base64(url, path)) or refuse("value", f"'{path}' is no picture.", path, "invalid_image_format")
    head, comma, rest = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        refuse("value", f"Invalid '{path}': neither a URL nor base64 data of a picture.", path, "invalid_image_url")
    kind = media_of(from_base64(rest, path))
    said = head[len("data:"):-len(";base64")]
    if kind != said:
        refuse("value", f"'{path}' says {said} and is {kind}.", path, "invalid_image_format")
    return kind
