//! Where requests go and what opens the door: paths, queries and headers with the model's name, options and the secret in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::Wrong;
use super::declaration::{Auth, Choice, Declaration, Place};
use super::holes::{Hole, holes};
use crate::call::{Error, HttpRequest, Target};
use crate::openai::compatible::JSON;
use crate::query::encoded;

/// Headers, parameters, options and places of the secret at most, each.
const FIELDS_MAX: usize = 32;
/// Bytes of a path or a value at most.
const TEXT_LEN_MAX: usize = 1_024;
/// Parts of a secret at most.
const SECRET_PARTS_MAX: usize = 8;
/// Headers that belong to the connection.
const RESERVED: &[&str] = &["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];

/// A text with holes for the model's name, options and the secret.
#[derive(Debug)]
struct Text(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Fixed(String),
    Model,
    Option(String),
    /// The secret, or a part of it.
    Secret(Option<usize>),
}

/// Where requests of one kind go.
#[derive(Debug)]
pub(super) struct Address {
    method: Method,
    root: String,
    path: Text,
    query: Vec<(String, Text)>,
    headers: Vec<(HeaderName, Text)>,
}

impl Address {
    /// Whether requests have a body.
    pub(super) fn is_post(&self) -> bool {
        self.method == Method::POST
    }
}

/// What all requests of a dialect share.
#[derive(Debug)]
pub(super) struct Door {
    root: String,
    options: BTreeMap<String, Choice>,
    headers: Vec<(HeaderName, Text)>,
    auth: Vec<(Entry, Text, bool)>,
}

#[derive(Debug)]
enum Entry {
    Header(HeaderName),
    Query(String),
}

impl Door {
    pub(super) fn new(said: &Declaration) -> Result<Self, Wrong> {
        if !said.root.is_empty() && (!said.root.starts_with('/') || said.root.ends_with('/')) {
            return Err(Wrong::new("root", "must begin with / and not end so"));
        }
        plain("root", &said.root)?;
        few("options", said.options.len())?;
        few("auth", said.auth.len())?;
        for (name, option) in &said.options {
            let at = format!("options.{name}");
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
                return Err(Wrong::new(at, "use 1 to 64 of a-z, A-Z, 0-9, _ and - as a name"));
            }
            if option.about.is_empty() || option.about.len() > TEXT_LEN_MAX {
                return Err(Wrong::new(format!("{at}.about"), "say in 1 to 1024 bytes what it is for"));
            }
            if option.default.as_ref().is_some_and(|value| value.len() > TEXT_LEN_MAX) {
                return Err(Wrong::new(format!("{at}.default"), "may have 1024 bytes"));
            }
        }
        let headers = headers(&said.headers, "headers", &said.options)?;
        let auth = said.auth.iter().enumerate();
        let auth = auth.map(|(n, auth)| entry(auth, &format!("auth[{n}]"), &said.options));
        Ok(Self {
            root: said.root.clone(),
            options: said.options.clone(),
            headers,
            auth: auth.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a target can give an option of this name.
    pub(super) fn has_option(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// What an option is for a target.
    fn option<'a>(&'a self, name: &str, target: &Target<'a>) -> Option<&'a str> {
        target.option(name).or_else(|| self.options.get(name)?.default.as_deref())
    }

    /// All options, for templates.
    ///
    /// # Errors
    /// When a target lacks one that it must give.
    pub(super) fn options(&self, target: &Target<'_>) -> Result<Map<String, Value>, Error> {
        let mut out = Map::new();
        for (name, choice) in &self.options {
            match target.option(name).or(choice.default.as_deref()) {
                Some(value) => drop(out.insert(name.clone(), value.into())),
                None if choice.required => {
                    let told = format!("its option `{name}` is missing ({}): set it", choice.about);
                    return Err(Error::Target(told));
                }
                None => {}
            }
        }
        Ok(out)
    }

    /// Understands where requests of a kind go; `at` is where that stands in the declaration.
    pub(super) fn address(&self, said: &Place, at: &str, usual: Method) -> Result<Address, Wrong> {
        let method = match said.method.as_deref() {
            None => usual,
            Some("GET") => Method::GET,
            Some("POST") => Method::POST,
            Some(_) => return Err(Wrong::new(format!("{at}.method"), "must be GET or POST")),
        };
        let at_path = format!("{at}.path");
        if !said.path.starts_with('/') {
            return Err(Wrong::new(at_path, "must begin with /"));
        }
        plain(&at_path, &said.path)?;
        let path = text(&said.path, &at_path, &self.options, false)?;
        for piece in &path.0 {
            if let Piece::Option(name) = piece
                && let Some(choice) = self.options.get(name)
                && !choice.required
                && choice.default.is_none()
            {
                let hint = format!("needs the option `{name}`: make that required, or give it a default");
                return Err(Wrong::new(at_path, hint));
            }
        }
        few(&format!("{at}.query"), said.query.len())?;
        let query = said.query.iter().map(|(name, value)| {
            Ok((name.clone(), text(value, &format!("{at}.query.{name}"), &self.options, false)?))
        });
        Ok(Address {
            method,
            root: self.root.clone(),
            path,
            query: query.collect::<Result<_, Wrong>>()?,
            headers: headers(&said.headers, &format!("{at}.headers"), &self.options)?,
        })
    }

    /// A request; `accept` is the content type that is wanted of the answer.
    ///
    /// # Errors
    /// When the target's address, key or options cannot be put into it.
    pub(super) fn request(
        &self,
        address: &Address,
        model: &str,
        body: Option<(HeaderValue, Bytes)>,
        accept: &'static str,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        self.options(target)?;
        let mut place = String::new();
        if !target.base_url.trim_end_matches('/').ends_with(&address.root) || address.root.is_empty() {
            place.push_str(&address.root);
        }
        place.push_str(&self.filled(&address.path, model, target, true)?.unwrap_or_default());
        let mut sign = if place.contains('?') { '&' } else { '?' };
        let mut ask = |name: &str, value: &str| {
            place.push(sign);
            sign = '&';
            place.push_str(&format!("{}={}", encoded(name), encoded(value)));
        };
        for (name, value) in &address.query {
            if let Some(value) = self.filled(value, model, target, false)? {
                ask(name, &value);
            }
        }
        let mut request = http::Request::new(Bytes::new());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        for (name, value) in self.headers.iter().chain(&address.headers) {
            if let Some(value) = self.filled(value, model, target, false)? {
                headers.insert(name.clone(), header(&value, false)?);
            }
        }
        for (entry, value, optional) in &self.auth {
            if *optional && target.secret.is_none() {
                continue;
            }
            let Some(value) = self.filled(value, model, target, false)? else { continue };
            match entry {
                Entry::Header(name) => drop(headers.insert(name.clone(), header(&value, true)?)),
                Entry::Query(name) => ask(name, &value),
            }
        }
        if let Some((kind, body)) = body {
            headers.insert(CONTENT_TYPE, kind);
            *request.body_mut() = body;
        }
        *request.method_mut() = address.method.clone();
        *request.uri_mut() = target.uri(&place)?;
        Ok(request)
    }

    /// A text for a target; `None` where it needs an option that there is not.
    fn filled(
        &self,
        text: &Text,
        model: &str,
        target: &Target<'_>,
        encode: bool,
    ) -> Result<Option<String>, Error> {
        let mut out = String::new();
        for piece in &text.0 {
            let value = match piece {
                // Paths are put as they were written.
                Piece::Fixed(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Model => model,
                Piece::Option(name) => match self.option(name, target) {
                    Some(value) => value,
                    None => return Ok(None),
                },
                Piece::Secret(part) => secret(*part, target)?,
            };
            if encode {
                out.push_str(&encoded(value));
            } else {
                out.push_str(value);
            }
        }
        Ok(Some(out))
    }
}

/// The secret, or what lies between its colons.
fn secret<'a>(part: Option<usize>, target: &Target<'a>) -> Result<&'a str, Error> {
    let secret = target.need_secret()?;
    let Some(part) = part else { return Ok(secret) };
    secret.split(':').nth(part).ok_or_else(|| {
        let told = format!("its API key must have {} parts with : between them", part + 1);
        Error::Target(told)
    })
}

fn header(value: &str, secret: bool) -> Result<HeaderValue, Error> {
    let what = if secret { "API key" } else { "option" };
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| Error::Target(format!("its {what} has characters that a header cannot carry")))?;
    value.set_sensitive(secret);
    Ok(value)
}

fn headers(
    said: &BTreeMap<String, String>,
    at: &str,
    options: &BTreeMap<String, Choice>,
) -> Result<Vec<(HeaderName, Text)>, Wrong> {
    few(at, said.len())?;
    let headers = said.iter().map(|(name, value)| {
        let at = format!("{at}.{name}");
        Ok((header_name(name, &at)?, text(value, &at, options, false)?))
    });
    headers.collect()
}

fn header_name(name: &str, at: &str) -> Result<HeaderName, Wrong> {
    let known = HeaderName::try_from(name).map_err(|_| Wrong::new(at, "is no name of a header"))?;
    if RESERVED.contains(&known.as_str()) {
        return Err(Wrong::new(at, "belongs to the connection: leave it out"));
    }
    Ok(known)
}

fn entry(said: &Auth, at: &str, options: &BTreeMap<String, Choice>) -> Result<(Entry, Text, bool), Wrong> {
    let entry = match (&said.header, &said.query) {
        (Some(name), None) => Entry::Header(header_name(name, &format!("{at}.header"))?),
        (None, Some(name)) if !name.is_empty() && name.len() <= TEXT_LEN_MAX => Entry::Query(name.clone()),
        _ => return Err(Wrong::new(at, "must name a `header` or a parameter of the `query`, one of them")),
    };
    Ok((entry, text(&said.value, &format!("{at}.value"), options, true)?, said.optional))
}

fn text(said: &str, at: &str, options: &BTreeMap<String, Choice>, secret: bool) -> Result<Text, Wrong> {
    if said.len() > TEXT_LEN_MAX {
        return Err(Wrong::new(at, "may have 1024 bytes"));
    }
    let pieces = holes(said).map_err(|hint| Wrong::new(at, hint))?.into_iter().map(|hole| {
        let name = match hole {
            Hole::Fixed(text) if text.chars().any(char::is_control) => {
                return Err(Wrong::new(at, "must not have control characters"));
            }
            Hole::Fixed(text) => return Ok(Piece::Fixed(text)),
            Hole::Name(name) => name,
        };
        match name.split_once('.') {
            None if name == "model" => Ok(Piece::Model),
            None if name == "secret" && secret => Ok(Piece::Secret(None)),
            Some(("secret", part)) if secret => match part.parse() {
                Ok(part) if part < SECRET_PARTS_MAX => Ok(Piece::Secret(Some(part))),
                _ => Err(Wrong::new(at, "names a part of the secret: write ${secret.0} to ${secret.7}")),
            },
            Some(("option", option)) if options.contains_key(option) => Ok(Piece::Option(option.to_owned())),
            Some(("option", option)) => {
                Err(Wrong::new(at, format!("there is no option `{option}`: declare it in options")))
            }
            _ => {
                let known = if secret { "${secret}, ${secret.0}, " } else { "" };
                let hint = format!("`{name}` leads nowhere: there are {known}${{model}} and ${{option.x}}");
                Err(Wrong::new(at, hint))
            }
        }
    });
    Ok(Text(pieces.collect::<Result<_, _>>()?))
}

/// A path has no characters that would end it or need a `%`, outside its holes.
fn plain(at: &str, text: &str) -> Result<(), Wrong> {
    let fits = |c: char| c.is_ascii_graphic() && !"#\"<>\\^`|".contains(c);
    if text.len() > TEXT_LEN_MAX || !text.chars().all(fits) {
        return Err(Wrong::new(at, "use at most 1024 characters that may stand in an address"));
    }
    Ok(())
}

fn few(at: &str, count: usize) -> Result<(), Wrong> {
    if count > FIELDS_MAX { Err(Wrong::new(at, "has too many entries: 32 at most")) } else { Ok(()) }
}

/// The content type of JSON, for bodies that a template made.
pub(super) fn json(body: &Value) -> (HeaderValue, Bytes) {
    (JSON, Bytes::from(body.to_string()))
}
