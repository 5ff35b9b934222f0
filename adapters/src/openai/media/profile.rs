//! These tasks at servers that speak OpenAI's dialect, through their own paths; what a server does not offer is refused.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value};

use super::{images, moderations, rerank, speech, transcriptions};
use crate::call::{Error, HttpRequest, Operation, Target};
use crate::dialect::{Dialect, Refusal};
use crate::media::{self, Media};
use crate::openai::Profile;
use crate::openai::compatible::JSON;

impl Profile {
    fn task(
        &self,
        operation: Operation,
        model: &str,
        body: Bytes,
        kind: HeaderValue,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        if !self.relays(operation) {
            return Err(Error::cannot(operation.as_str(), self.name));
        }
        self.post(operation, model, body, kind, target)
    }

    fn json_task(
        &self,
        operation: Operation,
        model: &str,
        mut body: Map<String, Value>,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        self.rule(&mut body);
        self.task(operation, model, Value::Object(body).to_string().into(), JSON, target)
    }
}

impl Media for Profile {
    fn draw(&self, ask: &media::images::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        self.json_task(Operation::Images, model, images::body(ask, model), target)
    }

    fn drawn(&self, body: &[u8]) -> Result<media::images::Answer, Refusal> {
        images::read(body).map_err(|refusal| self.judged(refusal))
    }

    fn speak(&self, ask: &media::speech::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        self.json_task(Operation::Speech, model, speech::body(ask, model), target)
    }

    fn transcribe(&self, ask: &media::transcribe::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        let (kind, body) = transcriptions::body(ask, model);
        let wrong = |_| Error::field("file", "has a name that a header cannot carry");
        let kind = HeaderValue::try_from(kind).map_err(wrong)?;
        self.task(Operation::Transcriptions, model, body, kind, target)
    }

    fn transcribed(&self, body: &[u8]) -> Result<media::transcribe::Answer, Refusal> {
        transcriptions::read(body).map_err(|refusal| self.judged(refusal))
    }

    fn moderate(&self, ask: &media::moderate::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        self.json_task(Operation::Moderations, model, moderations::body(ask, model), target)
    }

    fn moderated(&self, body: &[u8]) -> Result<media::moderate::Answer, Refusal> {
        moderations::read(body).map_err(|refusal| self.judged(refusal))
    }

    fn rerank(&self, ask: &media::rerank::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        self.json_task(Operation::Rerank, model, rerank::body(ask, model), target)
    }

    fn reranked(&self, body: &[u8]) -> Result<media::rerank::Answer, Refusal> {
        rerank::read(body).map_err(|refusal| self.judged(refusal))
    }
}
