"""Values made from JSON schemas: the arguments of tool calls and structured output. Equal schemas give equal values."""

FORMATS = {
    "date": "2024-05-06",
    "date-time": "2024-05-06T07:08:09Z",
    "time": "07:08:09Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "ipv4": "192.0.2.1",
}


def sample(schema, name="value", root=None, depth=0):
    """A value that fits the schema; a string without further rules is `a <name>`."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 8:
        return None
    if "$ref" in schema:
        return sample(resolve(root, schema["$ref"]), name, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return sample(schema[key][0], name, root, depth + 1)
    if schema.get("allOf"):
        return joined(schema["allOf"], name, root, depth)
    return of_kind(kind_of(schema), schema, name, root, depth)


def kind_of(schema):
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return kind.lower()


def of_kind(kind, schema, name, root, depth):
    if kind == "object":
        return {key: sample(one, key, root, depth + 1) for key, one in (schema.get("properties") or {}).items()}
    if kind == "array":
        count = max(1, int(schema.get("minItems", 1)))
        return [sample(schema.get("items", {}), name, root, depth + 1) for _ in range(count)]
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    if kind == "integer":
        return int(bounded(7, schema))
    if kind == "number":
        return bounded(1.5, schema)
    return of_text(schema, name)


def of_text(schema, name):
    made = FORMATS.get(schema.get("format"), f"a {name}")
    made = made.ljust(int(schema.get("minLength", 0)), ".")
    return made[: int(schema["maxLength"])] if "maxLength" in schema else made


def bounded(value, schema):
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("exclusiveMinimum") is not None and value <= schema["exclusiveMinimum"]:
        value = schema["exclusiveMinimum"] + 1
    if low is not None and value < low:
        value = low
    return high if high is not None and value > high else value


def joined(parts, name, root, depth):
    made = [sample(one, name, root, depth + 1) for one in parts]
    if all(isinstance(one, dict) for one in made):
        return {key: value for one in made for key, value in one.items()}
    return made[0]


def resolve(root, ref):
    found = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if step and isinstance(found, dict) else found
    return found
