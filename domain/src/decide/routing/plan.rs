//! The plan of a call: which targets are tried, in which order and why, by the route of the model's name. What cannot take
//! the call is left out first; then each step's policy orders its targets; last, what is known to fail is put to the end.
//! What a target can do and costs is told by the caller: nothing here knows a provider's models.

use super::order::{self, Unit};
use super::race::hash;
use super::why::{Lack, Late, Why, label};
use super::{Load, Reason, Target, named_provider, targets};
use crate::decide::breaker;
use crate::decide::limiter::Tokens;
use crate::ids::KeyId;
use crate::limits::ROUTE_DEPTH_MAX;
use crate::price::Rates;
use crate::route::{Caller, Policy, Route, Share, Step};
use crate::view::View;

/// Targets of a plan at most: no call tries as many.
pub const TARGETS_MAX: usize = 64;
/// Names looked at for one plan at most: routes may lead to routes, and a call must not wait for that.
const NAMES_MAX: usize = 512;

/// What a call asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// There are pictures in it.
    pub vision: bool,
    /// It brings tools.
    pub tools: bool,
    /// The answer has to fit a schema.
    pub json_schema: bool,
    /// So many tokens, read and written, have to fit in.
    pub context_tokens: u64,
}

/// What a target can do with a model, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ability {
    /// It looks at pictures.
    pub vision: bool,
    /// It calls tools.
    pub tools: bool,
    /// It can be held to a schema.
    pub json_schema: bool,
    /// The tokens it takes, read and written together, if that is known.
    pub context_tokens: Option<u64>,
    /// What it costs, if that is known.
    pub rates: Option<Rates>,
}

impl Needs {
    /// What a target lacks to take the call.
    fn lack(&self, ability: &Ability) -> Option<Lack> {
        let needed = self.context_tokens;
        match ability.context_tokens {
            _ if self.vision && !ability.vision => Some(Lack::Vision),
            _ if self.tools && !ability.tools => Some(Lack::Tools),
            _ if self.json_schema && !ability.json_schema => Some(Lack::JsonSchema),
            Some(tokens) if tokens < needed => Some(Lack::Context { tokens, needed }),
            _ => None,
        }
    }
}

/// A call, as far as it decides where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask<'a> {
    /// The name the client asks for.
    pub model: &'a str,
    /// Whose key it came with.
    pub key: Option<KeyId>,
    /// The key's labels.
    pub labels: &'a [String],
    /// Whom the client acts for, if it says so.
    pub user: Option<&'a str>,
    /// Hashes of what the prompt begins with, the shortest beginning first.
    pub prefixes: &'a [u64],
    /// What it asks of a model.
    pub needs: Needs,
    /// How many tokens it is expected to read and write.
    pub tokens: Tokens,
}

/// What the asking node knows of targets.
pub trait Knowledge {
    /// How busy it is and how it was.
    fn load(&self, target: &Target) -> Load;

    /// Its breaker.
    fn breaker(&self, _target: &Target) -> breaker::State {
        breaker::State::Closed
    }

    /// What it can do with a model, by the name it offers that under; `None` when nothing is known, and then all is hoped for.
    fn ability(&self, _target: &Target, _model: &str) -> Option<Ability> {
        None
    }
}

/// A target of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The target.
    pub target: Target,
    /// The model to ask it for, by the name it offers that under.
    pub model: String,
    /// Why it has its place.
    pub why: Why,
    /// Why it is tried after all others, if it is.
    pub late: Option<Late>,
}

/// What is not in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// A target, or a name that nothing offers.
    pub name: String,
    /// What it lacks.
    pub lack: Lack,
}

/// The targets of a call, in the order they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One at least.
    pub targets: Vec<Planned>,
    /// What cannot take the call.
    pub left_out: Vec<LeftOut>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nothing {
    /// Why nothing can answer; `None` when some could, but none can take this call.
    pub reason: Option<Reason>,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
}

/// Plans a call. `draw` is chance: the same draw gives the same plan.
///
/// # Errors
/// When nothing offers the model, or nothing that does can take the call.
pub fn plan(view: &View, ask: &Ask<'_>, known: &dyn Knowledge, draw: u64) -> Result<Plan, Nothing> {
    let mut planner = Planner { view, ask, known, draw, path: Vec::new(), names: 0, left_out: Vec::new() };
    let mut targets: Vec<Planned> = Vec::new();
    for found in planner.name(ask.model) {
        let is_there = |other: &Planned| other.target == found.target && other.model == found.model;
        if targets.len() < TARGETS_MAX && !targets.iter().any(is_there) {
            targets.push(found);
        }
    }
    // In order otherwise; of those that are late, the ones that are worth a try soonest come first.
    targets.sort_by_key(|planned| planned.late);
    let mut left_out = planner.left_out;
    if targets.is_empty() {
        return Err(nothing(left_out));
    }
    left_out.truncate(TARGETS_MAX);
    Ok(Plan { targets, left_out })
}

fn nothing(left_out: Vec<LeftOut>) -> Nothing {
    let reasons = left_out.iter().filter_map(|out| match &out.lack {
        Lack::Nobody(reason) => Some(reason),
        _ => None,
    });
    // What may be there in a moment says more than what nobody ever offered.
    let soon = reasons.clone().find(|reason| **reason != Reason::UnknownModel);
    let all_unknown = reasons.count() == left_out.len();
    let reason = soon.cloned().or(all_unknown.then_some(Reason::UnknownModel));
    Nothing { reason, left_out }
}

struct Planner<'a> {
    view: &'a View,
    ask: &'a Ask<'a>,
    known: &'a dyn Knowledge,
    draw: u64,
    /// The routes that lead here.
    path: Vec<&'a str>,
    names: usize,
    left_out: Vec<LeftOut>,
}

impl<'a> Planner<'a> {
    /// The targets that a name leads to, in order.
    fn name(&mut self, name: &'a str) -> Vec<Planned> {
        match self.route(name) {
            Some(route) => self.routed(route),
            None => self.offered(name),
        }
    }

    /// The route behind a name, unless that is the model itself.
    fn route(&self, name: &str) -> Option<&'a Route> {
        let route = self.view.state.route(name)?;
        let leads = !route.chain.is_empty() || self.preferred(route).is_some();
        (leads && !self.path.contains(&name) && self.path.len() < ROUTE_DEPTH_MAX).then_some(route)
    }

    fn routed(&mut self, route: &'a Route) -> Vec<Planned> {
        self.path.push(&route.name);
        let mut targets = Vec::new();
        if let Some((caller, models)) = self.preferred(route) {
            for model in models {
                let why = |planned| Planned { why: Why::Preferred(caller.clone()), ..planned };
                targets.extend(self.name(model).into_iter().map(why));
            }
        }
        for (place, step) in route.chain.iter().enumerate() {
            targets.extend(self.step(route, place, step));
        }
        if route.chain.is_empty() {
            targets.extend(self.offered(&route.name));
        }
        self.path.pop();
        targets
    }

    /// What comes first for who calls.
    fn preferred(&self, route: &'a Route) -> Option<(&'a Caller, &'a [String])> {
        let fits = |caller: &Caller| match caller {
            Caller::Key(key) => self.ask.key == Some(*key),
            Caller::Label(label) => self.ask.labels.contains(label),
        };
        let first = route.preferred.iter().find(|first| fits(&first.caller))?;
        Some((&first.caller, &first.models))
    }

    fn step(&mut self, route: &'a Route, place: usize, step: &'a Step) -> Vec<Planned> {
        let mut units = Vec::new();
        for share in &step.targets {
            units.extend(self.units(share, step.policy));
        }
        let draw = hash(&[&self.draw.to_le_bytes(), route.name.as_bytes(), &[place as u8]]);
        order::ordered(units, step.policy, &order::Setting { alias: &route.name, ask: self.ask, draw })
    }

    /// What a step orders: by weights its names, else the targets behind them. What lies behind another route stays
    /// together, in that route's order.
    fn units(&mut self, share: &'a Share, policy: Policy) -> Vec<Unit> {
        let leads = self.route(&share.model).is_some();
        let targets = self.name(&share.model);
        let by_weight = matches!(policy, Policy::Weighted | Policy::StickyByUser);
        let parts = if leads || by_weight {
            vec![targets]
        } else {
            targets.into_iter().map(|target| vec![target]).collect()
        };
        let parts = parts.into_iter().filter(|targets| !targets.is_empty());
        let unit = |targets: Vec<Planned>| {
            let first = &targets[0];
            let load = self.known.load(&first.target);
            let cost = self.cost(&first.target, &first.model);
            Unit { name: share.model.clone(), weight: share.weight, leads, load, cost, targets }
        };
        parts.map(unit).collect()
    }

    /// What the call is expected to cost at a target. The cluster's own cost nothing where nothing else was said.
    fn cost(&self, target: &Target, model: &str) -> Option<u64> {
        let told = self.known.ability(target, model).and_then(|ability| ability.rates);
        let rates = told.or_else(|| super::rates(self.view, model));
        let own = matches!(target, Target::Replica { .. }).then(Rates::default);
        rates.or(own).map(|rates| rates.cost(self.ask.tokens))
    }

    /// All that offer a name and can take the call: own replicas first, the least busy first.
    fn offered(&mut self, name: &str) -> Vec<Planned> {
        self.names += 1;
        if self.names > NAMES_MAX {
            return Vec::new();
        }
        let found = match targets(self.view, name) {
            Ok(found) => found,
            Err(reason) => {
                self.left_out.push(LeftOut { name: name.to_owned(), lack: Lack::Nobody(reason) });
                return Vec::new();
            }
        };
        let draw = hash(&[&self.draw.to_le_bytes(), name.as_bytes()]);
        let mut able = Vec::with_capacity(found.len());
        for (place, target) in found.into_iter().enumerate() {
            let model = self.offered_as(&target, name);
            let ability = self.known.ability(&target, &model);
            if let Some(lack) = ability.and_then(|ability| self.ask.needs.lack(&ability)) {
                self.left_out.push(LeftOut { name: label(&target, &model), lack });
                continue;
            }
            let load = self.known.load(&target);
            let own = matches!(target, Target::Replica { .. });
            let why = Why::Offers { own, in_flight: load.in_flight };
            let late = self.late(&target, load);
            able.push((super::rank(&target, load, draw, place), Planned { target, model, why, late }));
        }
        able.sort_by_key(|(rank, planned)| (planned.late, *rank));
        able.truncate(TARGETS_MAX);
        able.into_iter().map(|(_, planned)| planned).collect()
    }

    /// The name a target itself has for what is asked for: `provider/model` names one provider's.
    fn offered_as(&self, target: &Target, name: &str) -> String {
        let offers_it = self.view.state.providers_of(name).next().is_some();
        match (target, named_provider(self.view, name)) {
            (Target::Provider(provider), Some((named, model))) if !offers_it && provider == named => {
                model.to_owned()
            }
            _ => name.to_owned(),
        }
    }

    fn late(&self, target: &Target, load: Load) -> Option<Late> {
        match self.known.breaker(target) {
            breaker::State::Open { left_ms } => Some(Late::Open { left_ms }),
            breaker::State::HalfOpen { free: 0 } => Some(Late::Probed),
            _ => load.avoid.then_some(Late::Failed),
        }
    }
}
