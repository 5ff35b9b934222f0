"""The rules for Gemini's requests: https://ai.google.dev/api/generate-content. The wire is protobuf's JSON: fields may be
in camelCase or with underscores, and unknown ones are refused."""

import re

from .checks import from_base64, media_of, refuse

ANY = object()  # a value of any type
SCHEMA = {  # filled below: it holds itself
    "type": str, "format": str, "title": str, "description": str, "nullable": bool, "enum": [str], "maxItems": (int, str),
    "minItems": (int, str), "required": [str], "minProperties": (int, str), "maxProperties": (int, str),
    "minLength": (int, str), "maxLength": (int, str), "pattern": str, "example": ANY, "default": ANY,
    "propertyOrdering": [str], "minimum": (int, float), "maximum": (int, float),
}
SCHEMA |= {"properties": {"*": SCHEMA}, "items": SCHEMA, "anyOf": [SCHEMA]}
PART = {
    "text": str, "thought": bool, "thoughtSignature": str,
    "inlineData": {"mimeType": str, "data": str, "displayName": str},
    "fileData": {"mimeType": str, "fileUri": str, "displayName": str},
    "functionCall": {"id": str, "name": str, "args": ANY},
    "functionResponse": {"id": str, "name": str, "response": ANY, "parts": [ANY], "willContinue": bool, "scheduling": str},
    "executableCode": ANY, "codeExecutionResult": ANY, "videoMetadata": ANY, "mediaResolution": ANY,
}
CONTENT = {"role": str, "parts": [PART]}
CONFIG = {
    "stopSequences": [str], "responseMimeType": str, "responseSchema": SCHEMA, "responseJsonSchema": ANY,
    "responseModalities": [str], "candidateCount": int, "maxOutputTokens": int, "temperature": (int, float),
    "topP": (int, float), "topK": (int, float), "seed": int, "presencePenalty": (int, float),
    "frequencyPenalty": (int, float), "responseLogprobs": bool, "logprobs": int, "speechConfig": ANY, "imageConfig": ANY,
    "thinkingConfig": {"includeThoughts": bool, "thinkingBudget": int, "thinkingLevel": str}, "mediaResolution": str,
    "enableEnhancedCivicAnswers": bool,
}
FUNCTION = {"name": str, "description": str, "behavior": str, "parameters": SCHEMA, "parametersJsonSchema": ANY,
            "response": SCHEMA, "responseJsonSchema": ANY}
CALLING = {"mode": str, "allowedFunctionNames": [str]}
ASK = {
    "contents": [CONTENT], "systemInstruction": CONTENT, "generationConfig": CONFIG, "cachedContent": str,
    "tools": [{"functionDeclarations": [FUNCTION], "googleSearch": ANY, "codeExecution": ANY, "urlContext": ANY,
               "googleSearchRetrieval": ANY}],
    "toolConfig": {"functionCallingConfig": CALLING, "retrievalConfig": ANY},
    "safetySettings": [{"category": str, "threshold": str}], "model": str, "serviceTier": str, "store": bool,
}
EMBED = {"model": str, "content": CONTENT, "taskType": str, "title": str, "outputDimensionality": int}


def camel(name):
    return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), name)


def snake(path):
    return re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), path)


def read(value, shape, path=""):
    """Checks a value against a shape and gives it with all names in camelCase."""
    if shape is ANY:
        return value
    if isinstance(shape, list):
        value = value if isinstance(value, list) else bad(value, path)
        return [read(one, shape[0], f"{path}[{i}]") for i, one in enumerate(value)]
    if isinstance(shape, dict):
        return fields(value, shape, path)
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(value, bool) and bool not in kinds or not isinstance(value, kinds):
        bad(value, path)
    return value


def fields(value, shape, path):
    if not isinstance(value, dict):
        bad(value, path)
    made = {}
    for name, one in value.items():
        known = name if "*" in shape else camel(name)
        if known not in shape and "*" not in shape:
            where = f" at '{snake(path)}'" if path else ""
            refuse("field", f"Invalid JSON payload received. Unknown name \"{name}\"{where}: Cannot find field.", snake(path))
        if one is not None:
            inner = shape["*"] if "*" in shape else shape[known]
            made[known] = read(one, inner, f"{path}.{known}" if path else known)
    return made


def bad(value, path):
    refuse("type", f"Invalid value at '{snake(path)}': {value!r}", snake(path))


def inline(part, path):
    """The media type of a picture in a part."""
    data = part["inlineData"]
    raw = from_base64(data.get("data"), f"{path}.inline_data.data")
    kind = data.get("mimeType") or refuse("value", "Unable to submit request because it must have a mimeType parameter.")
    if kind.startswith("image/") and media_of(raw) != kind:
        refuse("value", "Unable to process input image. Please retry or report in "
               "https://developers.generativeai.google/guide/troubleshooting")
    return kind


def order(contents, signed):
    """Calls of functions come after a user's turn, are answered at once, each by one response; `signed` models want the
    signatures of their thoughts back."""
    if not contents:
        refuse("missing", "* GenerateContentRequest.contents: contents is not specified")
    for i, one in enumerate(contents):
        if one.get("role", "user") not in ("user", "model", "function"):
            refuse("value", "Please use a valid role: user, model.")
        if not one.get("parts"):
            refuse("missing", f"* GenerateContentRequest.contents[{i}].parts: contents.parts must not be empty.")
    for i, one in enumerate(contents):
        calls = [part for part in one["parts"] if "functionCall" in part]
        answered = contents[i + 1]["parts"] if i + 1 < len(contents) else []
        replies = [part for part in one["parts"] if "functionResponse" in part]
        if calls:
            after_calls(i, contents, calls, [part for part in answered if "functionResponse" in part], signed)
        if replies and not (i and any("functionCall" in part for part in contents[i - 1]["parts"])):
            refuse("order", "Please ensure that function response turn comes immediately after a function call turn.")


def after_calls(i, contents, calls, replies, signed):
    if i == 0 or contents[i - 1].get("role", "user") == "model":
        refuse("order", "Please ensure that function call turn comes immediately after a user turn or after a function "
               "response turn.")
    if len(replies) != len(calls):
        refuse("order", "Please ensure that the number of function response parts is equal to the number of function call "
               "parts of the function call turn.")
    if [one["functionCall"].get("name") for one in calls] != [one["functionResponse"].get("name") for one in replies]:
        refuse("order", "Please ensure that function response names match the function call names.")
    if signed and "thoughtSignature" not in calls[0]:
        refuse("order", "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
               f"work correctly. Additional data, function call `{calls[0]['functionCall'].get('name')}`, position {i + 1}.")
