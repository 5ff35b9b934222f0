//! Who is asked next: `domain` plans by the route of the model's name and by what this node knows of targets; here the first
//! of the plan is taken that was not tried yet and whose breaker lets the call pass.

use std::sync::Arc;

use adapters::{Call, dialect, models};
use domain::decide::breaker::{Pass, State};
use domain::decide::limiter::Tokens;
use domain::decide::routing::plan::{Ability, Ask, Knowledge, Needs, Nothing, Plan, plan};
use domain::decide::routing::race::hash;
use domain::decide::routing::{self, Load, Target};
use domain::provider::{Kind, Provider};
use domain::route::Route;
use domain::{KeyId, View};
use http::{HeaderValue, StatusCode};

use super::loads::Stat;
use super::{Way, no_target};
use crate::inner::Inner;
use crate::problem::Problem;

/// How much of a question is looked at for what it begins with, in bytes: each twice to four times the last, so that
/// conversations that go on agree in most of them.
const PREFIXES: [usize; 4] = [256, 1_024, 4_096, 16_384];

/// A target chosen for an attempt.
pub(super) struct Choice {
    pub target: Target,
    pub stat: Arc<Stat>,
    pub way: Way,
    /// The target's own name of the model, where that differs from the client's.
    pub model: Option<String>,
    /// What the breaker let the call pass with, where it looks at single calls.
    pub pass: Option<Pass>,
    /// Why this one, where the name has a route.
    pub why: Option<HeaderValue>,
}

/// A call that is given to one target after the other.
pub(super) struct Search<'a> {
    inner: &'a Inner,
    call: &'a Call,
    key: KeyId,
    draw: u64,
    /// Asked already, for which model.
    tried: Vec<(Target, String)>,
    /// How soon the first of the targets that could not be asked may be, in milliseconds.
    barred_ms: Option<u64>,
}

impl<'a> Search<'a> {
    pub(super) fn new(inner: &'a Inner, call: &'a Call, key: KeyId) -> Self {
        Self { inner, call, key, draw: inner.ids.draw(), tried: Vec::new(), barred_ms: None }
    }

    /// How many were asked.
    pub(super) fn tried(&self) -> usize {
        self.tried.len()
    }

    /// The next target, chosen anew each time: what failed may have changed the view meanwhile.
    pub(super) fn next(&mut self) -> Result<Option<Choice>, Problem> {
        let inner = self.inner;
        let view = inner.deps.view.peek();
        let route = view.state.route(&self.call.model);
        if route.is_none() {
            let targets = routing::targets(&view, &self.call.model);
            let targets = targets.map_err(|reason| no_target(&self.call.model, &reason))?;
            // No plan is needed where there is no choice.
            if let [target] = targets.as_slice() {
                if self.tried.iter().any(|(tried, _)| tried == target) {
                    return Ok(None);
                }
                return Ok(self.admit(&view, target, &self.call.model, None));
            }
        }
        let planned = self.plan(&view, route)?;
        for planned in &planned.targets {
            if self.tried.iter().any(|(target, model)| *target == planned.target && *model == planned.model) {
                continue;
            }
            let why = route.and_then(|_| HeaderValue::try_from(planned.to_string()).ok());
            if let Some(choice) = self.admit(&view, &planned.target, &planned.model, why) {
                return Ok(Some(choice));
            }
        }
        Ok(None)
    }

    /// What the client is told when none was left to be asked.
    pub(super) fn nothing_left(&self) -> Problem {
        match self.barred_ms {
            Some(left_ms) => {
                let message = format!(
                    "the model `{}` has failed too often and is left alone for a while: try again later",
                    self.call.model
                );
                let problem = Problem::unavailable("target_failing", message);
                Problem { retry_after: Some(std::time::Duration::from_millis(left_ms.max(1_000))), ..problem }
            }
            None => Problem::unavailable("no_target", "nothing can answer just now: try again"),
        }
    }

    fn plan(&self, view: &View, route: Option<&Route>) -> Result<Plan, Problem> {
        let call = self.call;
        let user = route.and_then(|_| call.user());
        let prefixes = if route.is_some() { prefixes(call.question()) } else { Vec::new() };
        let uses = call.uses();
        let output = call.output_max.unwrap_or(0);
        let needs = Needs {
            vision: uses.vision,
            tools: uses.tools,
            json_schema: uses.json_schema,
            context_tokens: call.prompt_estimate().saturating_add(output),
        };
        let ask = Ask {
            model: &call.model,
            key: Some(self.key),
            labels: &[],
            user: user.as_deref(),
            prefixes: &prefixes,
            needs,
            tokens: Tokens { prompt: call.prompt_estimate(), completion: output },
        };
        let known = Known { inner: self.inner, view, now_ms: self.inner.loads.now() };
        plan(view, &ask, &known, self.draw).map_err(|nothing| unplanned(&call.model, &nothing))
    }

    /// Takes a target, if its breaker lets the call pass.
    fn admit(
        &mut self,
        view: &View,
        target: &Target,
        model: &str,
        why: Option<HeaderValue>,
    ) -> Option<Choice> {
        let inner = self.inner;
        let (way, own) = way(inner, view, target, model)?;
        let stat = inner.loads.of(target);
        let pass = match stat.admit(inner.loads.now(), inner.ids.draw()) {
            Ok(pass) => pass,
            // Own replicas are only tried last: an engine may fail on what one client asks, and its node sees to its health.
            Err(_) if matches!(target, Target::Replica { .. }) => None,
            Err(left_ms) => {
                self.barred_ms = Some(self.barred_ms.map_or(left_ms, |soonest| soonest.min(left_ms)));
                return None;
            }
        };
        self.tried.push((target.clone(), model.to_owned()));
        let model = Some(own).filter(|own| *own != self.call.model);
        Some(Choice { target: target.clone(), stat, way, model, pass, why })
    }
}

/// How a target is reached, and what it calls the model.
fn way(inner: &Inner, view: &View, target: &Target, model: &str) -> Option<(Way, String)> {
    match target {
        Target::Replica { node, .. } if *node == inner.deps.me => Some((Way::Here, model.to_owned())),
        Target::Replica { node, .. } => Some((Way::There(*node), model.to_owned())),
        Target::Provider(name) => {
            let row = view.state.providers.get(name)?;
            let way = if row.kind == Kind::Mock { Way::Mock } else { Way::Api };
            Some((way, own_name(row, model)))
        }
    }
}

/// What a provider itself calls a model. `provider/model` names one provider's.
fn own_name(provider: &Provider, model: &str) -> String {
    let plain = match model.split_once('/') {
        Some((first, rest))
            if first == provider.name.as_str() && !provider.models.iter().any(|offer| offer == model) =>
        {
            rest
        }
        _ => model,
    };
    provider.own_name(plain).to_owned()
}

fn unplanned(model: &str, nothing: &Nothing) -> Problem {
    match &nothing.reason {
        Some(reason) => no_target(model, reason),
        None => {
            let problem = Problem::bad_request("model_not_capable", format!("model `{model}`: {nothing}"));
            Problem { param: Some("model".into()), ..problem }
        }
    }
}

/// Hashes of what a question begins with.
fn prefixes(question: &[u8]) -> Vec<u64> {
    PREFIXES.iter().filter_map(|len| question.get(..*len)).map(|prefix| hash(&[prefix])).collect()
}

/// What this node knows of targets.
pub(crate) struct Known<'a> {
    pub inner: &'a Inner,
    pub view: &'a View,
    pub now_ms: u64,
}

impl Knowledge for Known<'_> {
    /// Its calls tell most. A target's actor knows more of its health: calls of other nodes and requests of its own.
    fn load(&self, target: &Target) -> Load {
        let own = self.inner.loads.of(target).load(self.now_ms);
        let avoid = own.avoid || self.inner.deps.directory.load(target).is_some_and(|told| told.avoid);
        Load { avoid, ..own }
    }

    fn breaker(&self, target: &Target) -> State {
        self.inner.loads.of(target).breaker(self.now_ms)
    }

    fn ability(&self, target: &Target, model: &str) -> Option<Ability> {
        let Target::Provider(name) = target else { return None };
        let row = self.view.state.providers.get(name)?;
        let Kind::Api(api) = &row.kind else { return None };
        let table = dialect::named(&api.dialect)?.models();
        let known = models::find(&table, &own_name(row, model))?;
        let context_tokens = (known.context > 0).then_some(known.context);
        let (vision, tools, json_schema) = (known.vision, known.tools, known.json_schema);
        Some(Ability { vision, tools, json_schema, context_tokens, rates: None })
    }
}

/// What is answered where nothing else answers, if the model's name has a route that says so.
pub(super) fn fallback(view: &View, call: &Call) -> Option<String> {
    view.state.route(&call.model)?.fallback_answer.clone()
}

/// Whether a reason is one that time may mend.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}
