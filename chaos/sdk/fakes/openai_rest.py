"""What OpenAI has beside chat: completions, embeddings, pictures, speech, transcription and moderation."""

import base64
import struct

from aiohttp import web

from . import brain, faults
from .brain import Question
from .checks import (anything, either, filled, flag, integer, listed, maybe, number, obj, one_of, record, refuse, text)
from .openai_like import CREATED, OpenAiLike, sse
from .openai_rules import STOP

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")

PROMPT = either((str, text), (list, listed(either((str, text), (int, integer(0)), (list, listed(integer(0)))), 1)))
COMPLETION = {
    "model": filled, "prompt": PROMPT, "best_of": maybe(integer(1, 20)), "echo": maybe(flag), "suffix": maybe(text),
    "frequency_penalty": maybe(number(-2, 2)), "presence_penalty": maybe(number(-2, 2)), "logit_bias": maybe(obj),
    "logprobs": maybe(integer(0, 5)), "max_tokens": maybe(integer(0)), "n": maybe(integer(1, 128)), "seed": maybe(integer()),
    "stop": maybe(STOP), "stream": maybe(flag), "stream_options": maybe(record({"include_usage": flag})),
    "temperature": maybe(number(0, 2)), "top_p": maybe(number(0, 1)), "user": text,
}
EMBEDDING = {
    "model": filled, "input": either((str, filled), (list, listed(either((str, filled), (int, integer(0)),
                                                                           (list, listed(integer(0), 1))), 1, 2048))),
    "dimensions": integer(1), "encoding_format": one_of("float", "base64"), "user": text,
}
IMAGE = {
    "model": maybe(text), "prompt": filled, "n": maybe(integer(1, 10)), "size": maybe(text), "quality": maybe(text),
    "style": maybe(one_of("vivid", "natural")), "response_format": maybe(one_of("url", "b64_json")), "user": text,
    "background": maybe(one_of("transparent", "opaque", "auto")), "moderation": maybe(one_of("low", "auto")),
    "output_format": maybe(one_of("png", "jpeg", "webp")), "output_compression": maybe(integer(0, 100)),
    "partial_images": maybe(integer(0, 3)), "stream": maybe(flag), "safety_identifier": text,
}
SPEECH = {
    "model": filled, "input": filled, "voice": either((str, filled), (dict, obj)), "instructions": text,
    "response_format": one_of("mp3", "opus", "aac", "flac", "wav", "pcm"), "speed": number(0.25, 4),
    "stream_format": one_of("sse", "audio"),
}
SOUNDS = {"mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
          "pcm": "audio/pcm"}
TRANSCRIPTION = {
    "file", "model", "language", "prompt", "response_format", "temperature", "timestamp_granularities[]", "stream",
    "chunking_strategy", "include[]",
}
KINDS = ("harassment", "hate", "self-harm", "sexual", "violence")


class OpenAiRest(OpenAiLike):
    """Adds to chat the rest of OpenAI's endpoints; `dimensions` is the length of a vector where none is asked for."""

    dimensions = 8

    def checked(self, seen, fields, required, models):
        self.authenticate(seen)
        record(fields, required, self.strict)(seen.body, "")
        if seen.body.get("model") is not None:
            self.known(seen.body["model"])
            if models and seen.body["model"] not in models:
                refuse("model", f"The model `{seen.body['model']}` does not support this endpoint.", "model")
        return seen.body

    async def completions(self, request, seen):
        body = self.checked(seen, COMPLETION, ("model", "prompt"), self.text_models)
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        if isinstance(prompts[0], int):
            prompts = [prompts]
        prompts = [one if isinstance(one, str) else f"{len(one)} tokens" for one in prompts]
        fault = faults.asked(prompts[-1])
        faults.before(fault)
        stop = body.get("stop") or []
        limit = body.get("max_tokens")
        replies = [brain.answer(Question(text=one, prompt=[one], limit=16 if limit is None else limit,
                                         stops=[stop] if isinstance(stop, str) else stop)) for one in prompts]
        if body.get("stream"):
            return await faults.stream(request, fault, self.text_chunks(body, replies), self.stream_error())
        return await self.reply(request, fault, self.text_whole(body, prompts, replies))

    text_models = ()

    def text_head(self, body):
        return {"id": "cmpl-1", "object": "text_completion", "created": CREATED, "model": body["model"]}

    def text_whole(self, body, prompts, replies):
        lead = prompts if body.get("echo") else [""] * len(prompts)
        each = [(before + reply.text, reply) for before, reply in zip(lead, replies) for _ in range(body.get("n") or 1)]
        choices = [{"index": i, "text": made, "logprobs": self.text_logprobs(body, reply.text),
                    "finish_reason": self.finishes[reply.finish]} for i, (made, reply) in enumerate(each)]
        return self.text_head(body) | {"choices": choices, "usage": self.text_usage(replies, body.get("n") or 1)}

    def text_logprobs(self, body, made):
        if body.get("logprobs") is None:
            return None
        tokens, offsets, at = brain.words(made), [], 0
        for token in tokens:
            offsets.append(at)
            at += len(token)
        values = [brain.probability(i) for i in range(len(tokens))]
        top = [{token: value} for token, value in zip(tokens, values)]
        return {"tokens": tokens, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}

    def text_usage(self, replies, n):
        asked, made = sum(one.prompt_tokens for one in replies), n * sum(one.tokens for one in replies)
        return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}

    def text_chunks(self, body, replies):
        for i, reply in enumerate(replies):
            for piece in brain.words(reply.text):
                yield sse(self.text_head(body) | {"choices": [
                    {"index": i, "text": piece, "logprobs": None, "finish_reason": None}]})
            yield sse(self.text_head(body) | {"choices": [
                {"index": i, "text": "", "logprobs": None, "finish_reason": self.finishes[reply.finish]}]})
        if self.with_usage(body):
            yield sse(self.text_head(body) | {"choices": [], "usage": self.text_usage(replies, 1)})
        yield sse(b"[DONE]")

    embedding_models = ()

    async def embeddings(self, request, seen):
        body = self.checked(seen, EMBEDDING, ("model", "input"), self.embedding_models)
        asked = body["input"] if isinstance(body["input"], list) else [body["input"]]
        asked = [asked] if isinstance(asked[0], int) else asked
        texts = [one if isinstance(one, str) else " ".join(map(str, one)) for one in asked]
        fault = faults.asked(texts[-1])
        faults.before(fault)
        data = [{"object": "embedding", "index": i, "embedding": self.vector(body, one)} for i, one in enumerate(texts)]
        used = brain.count(*texts)
        return await self.reply(request, fault, {"object": "list", "model": body["model"], "data": data,
                                                 "usage": {"prompt_tokens": used, "total_tokens": used}})

    def vector(self, body, one):
        made = brain.vector(one, body.get("dimensions") or self.dimensions)
        if body.get("encoding_format") == "base64":
            return base64.b64encode(struct.pack(f"<{len(made)}f", *made)).decode()
        return made

    image_models = ()

    async def images(self, request, seen):
        body = self.checked(seen, IMAGE, ("prompt",), self.image_models)
        model = body.get("model") or self.image_models[0]
        newer = model.startswith("gpt-image")
        if newer and body.get("response_format") is not None:
            refuse("field", "Unknown parameter: 'response_format'.", "response_format", "unknown_parameter")
        if model == "dall-e-3" and (body.get("n") or 1) > 1:
            refuse("value", "Invalid 'n': integer above maximum value. Expected a value <= 1.", "n", "integer_above_max_value")
        fault = faults.asked(body["prompt"])
        faults.before(fault)
        if newer or body.get("response_format") == "b64_json":
            one = {"b64_json": base64.b64encode(PIXEL).decode()}
        else:
            one = {"url": f"http://{self.host}/pictures/1.png"}
        if model == "dall-e-3":
            one["revised_prompt"] = body["prompt"]
        return await self.reply(request, fault, {"created": CREATED, "data": [one] * (body.get("n") or 1)})

    async def picture(self, request, seen):
        return web.Response(body=PIXEL, content_type="image/png")

    async def speech(self, request, seen):
        body = self.checked(seen, SPEECH, ("model", "input", "voice"), None)
        fault = faults.asked(body["input"])
        faults.before(fault)
        kind = body.get("response_format") or "mp3"
        sound = b"ID3\x00\xff\xfe" + kind.encode() + b"\x00" + body["input"].encode() + bytes(range(256))
        return await faults.whole(request, fault, 200, sound, kind=SOUNDS[kind])

    async def transcriptions(self, request, seen):
        self.authenticate(seen)
        form = seen.body if isinstance(seen.body, dict) else {}
        for name in ("file", "model"):
            if not form.get(name):
                refuse("missing", f"you must provide a {name} parameter", name)
        for name in set(form) - TRANSCRIPTION if self.strict else ():
            refuse("field", f"Unknown parameter: '{name}'.", name, "unknown_parameter")
        if not isinstance(form["file"], tuple):
            refuse("type", "Invalid file: expected a file in the form.", "file")
        self.known(form["model"])
        prompt = form.get("prompt", "")
        fault = faults.asked(prompt)
        faults.before(fault)
        filename, data = form["file"]
        said = f"heard {len(data)} bytes of {filename}" + (f" | prompt: {prompt}" if prompt else "")
        return await self.transcribed(request, fault, form, said)

    async def transcribed(self, request, fault, form, said):
        kind = form.get("response_format") or "json"
        one_of("json", "text", "srt", "verbose_json", "vtt", "diarized_json")(kind, "response_format")
        if kind == "json":
            return await self.reply(request, fault, {"text": said, "usage": {"type": "duration", "seconds": 1}})
        if kind == "verbose_json":
            segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": said, "tokens": [], "temperature": 0.0,
                       "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
            return await self.reply(request, fault, {"task": "transcribe", "language": form.get("language", "english"),
                                                     "duration": 1.0, "text": said, "segments": [segment]})
        forms = {"text": f"{said}\n", "srt": f"1\n00:00:00,000 --> 00:00:01,000\n{said}\n\n",
                 "vtt": f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{said}\n\n"}
        return await faults.whole(request, fault, 200, forms[kind].encode(), kind="text/plain; charset=utf-8")

    async def moderations(self, request, seen):
        body = self.checked(seen, {"model": text, "input": either((str, text), (list, listed(anything, 1)))}, ("input",), None)
        asked = body["input"] if isinstance(body["input"], list) else [body["input"]]
        whole = [" ".join(p.get("text", "") for p in asked)] if isinstance(asked[0], dict) else asked
        faults.before(faults.asked(whole[-1]))
        results = [{"flagged": "violence" in one, "categories": {kind: kind in one for kind in KINDS},
                    "category_scores": {kind: 0.9 if kind in one else 0.01 for kind in KINDS},
                    "category_applied_input_types": {kind: ["text"] for kind in KINDS}} for one in whole]
        return await self.reply(request, faults.asked(whole[-1]), {
            "id": "modr-1", "model": body.get("model") or "omni-moderation-latest", "results": results})

    def rest(self, base=""):
        """The routes of all this below `base`."""
        return [
            (f"POST {base}/completions", self.completions), (f"POST {base}/embeddings", self.embeddings),
            (f"POST {base}/images/generations", self.images), (f"POST {base}/audio/speech", self.speech),
            (f"POST {base}/audio/transcriptions", self.transcriptions), (f"POST {base}/moderations", self.moderations),
            ("GET /pictures/{name}", self.picture),
        ]
