//! Routes: what becomes of calls for a model's name. A route is a chain of steps, each a set of models of which one is tried
//! first by the step's policy; and how long is waited, how often tried, and what is said when nothing answers. A name without
//! a row has the default route: all that offer it. Only what is declared is here; [`crate::decide::routing`] decides.

mod check;

use serde::{Deserialize, Serialize};

use super::event::{self, Kind, Subject};
use super::{Context, provider};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{KeyId, Millis};
use crate::limits::{ROUTE_DEPTH_MAX, ROUTES_MAX};
use crate::table::Row;

/// The feature level from which there are routes.
pub const LEVEL: u16 = provider::LEVEL;

/// How a step chooses whom it asks first, and in which order the others follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// By chance, in proportion to the weights.
    #[default]
    Weighted,
    /// The better of two drawn, by latency and calls under way.
    LeastLatency,
    /// What the call is expected to cost least at.
    Cheapest,
    /// In proportion to the weights, and always the same for one user.
    StickyByUser,
    /// The replica that has answered what begins alike, so that it need not read that again.
    PrefixAware,
}

impl Policy {
    /// Every policy.
    pub const ALL: &[Policy] = &[
        Policy::Weighted,
        Policy::LeastLatency,
        Policy::Cheapest,
        Policy::StickyByUser,
        Policy::PrefixAware,
    ];

    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Policy::Weighted => "weighted",
            Policy::LeastLatency => "least_latency",
            Policy::Cheapest => "cheapest",
            Policy::StickyByUser => "sticky_by_user",
            Policy::PrefixAware => "prefix_aware",
        }
    }
}

/// A model that a step may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Share {
    /// A name that deployments or providers offer, `provider/model`, or another route's name. The route's own name is the
    /// model behind it.
    pub model: String,
    /// Its part of the calls, beside the others' weights. With 0 it is only asked when the others fail.
    pub weight: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { model: String::new(), weight: 1 }
    }
}

/// A step of a chain: it comes after all those before it failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// The models.
    pub targets: Vec<Share>,
    /// How one is chosen.
    pub policy: Policy,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// Whoever has this API key.
    Key(KeyId),
    /// Whoever's key has this label.
    Label(String),
}

/// What comes first for a caller, before the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferred {
    /// For whom.
    pub caller: Caller,
    /// Models, as a step has them, in order.
    pub models: Vec<String>,
}

/// One answer out of those of several models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fusion {
    /// The models that are asked at once.
    pub models: Vec<String>,
    /// How one answer is made of theirs.
    pub how: How,
}

/// How one answer is made of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// What most of them say.
    Vote,
    /// The one that a model finds best.
    BestOf {
        /// That model.
        judge: String,
    },
    /// What a model makes of all of them.
    Merge {
        /// That model.
        model: String,
    },
}

/// How long is waited; `None` is as long as the node's configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// For a connection to a target.
    pub connect_ms: Option<Millis>,
    /// For the first token, from when a target was asked.
    pub first_token_ms: Option<Millis>,
    /// For each further token.
    pub between_tokens_ms: Option<Millis>,
    /// For the whole call, all attempts together.
    pub total_ms: Option<Millis>,
}

/// That a second target is asked while the first keeps silent: it costs money, so only a route that says so does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hedge {
    /// After how long; `None` is after what 95 of 100 calls to the first take to their first token.
    pub after_ms: Option<Millis>,
}

/// How many calls are under way at each of the route's targets, from each node, and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Calls under way at most.
    pub in_flight_max: u32,
    /// Calls that wait at most.
    pub waiting_max: u32,
    /// How long one waits at most.
    pub wait_ms: Millis,
}

impl Default for Queue {
    fn default() -> Self {
        Self { in_flight_max: 64, waiting_max: 256, wait_ms: 30_000 }
    }
}

/// What becomes of calls for a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// The name clients ask for.
    pub name: String,
    /// Steps, each tried after all before it failed. None is the model of this name itself, as without a route.
    pub chain: Vec<Step>,
    /// What comes before the chain, by who calls: the first entry that fits.
    pub preferred: Vec<Preferred>,
    /// What is answered when nothing else answers, marked as such.
    pub fallback_answer: Option<String>,
    /// Whether several models are asked for one answer.
    pub fusion: Option<Fusion>,
    /// How long is waited.
    pub times: Times,
    /// Targets tried for one call at most; `None` is what the node does anyway.
    pub attempts_max: Option<u32>,
    /// Whether a second target is asked before the first has failed.
    pub hedge: Option<Hedge>,
    /// Whether calls wait for their turn.
    pub queue: Option<Queue>,
    /// When it was set.
    pub set_at: Millis,
}

impl Row for Route {
    const TABLE: u8 = 20;
    type Key = String;
}

impl Route {
    /// Where in the row names of models stand, and the names; its own among them is the model behind it, no route.
    pub fn names(&self) -> impl Iterator<Item = (String, &str)> {
        let steps = self.chain.iter().enumerate().flat_map(|(s, step)| {
            let targets = step.targets.iter().enumerate();
            targets.map(move |(t, share)| (format!("chain[{s}].targets[{t}].model"), share.model.as_str()))
        });
        let preferred = self.preferred.iter().enumerate().flat_map(|(p, first)| {
            let models = first.models.iter().enumerate();
            models.map(move |(m, model)| (format!("preferred[{p}].models[{m}]"), model.as_str()))
        });
        let fusion = self.fusion.iter().flat_map(|fusion| {
            let models = fusion.models.iter().enumerate();
            let named = models.map(|(m, model)| (format!("fusion.models[{m}]"), model.as_str()));
            let maker = match &fusion.how {
                How::Vote => None,
                How::BestOf { judge } => Some(("fusion.how.judge".to_owned(), judge.as_str())),
                How::Merge { model } => Some(("fusion.how.model".to_owned(), model.as_str())),
            };
            named.chain(maker)
        });
        steps.chain(preferred).chain(fusion)
    }
}

/// Changes of the routes table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a route, or replaces the one of its name. `set_at` is set by `apply`.
    Put(Box<Route>),
    /// Takes one away: calls for the name go to all that offer it.
    Remove(String),
}

/// Why a route's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// There is none of that name.
    #[error("there is no route `{0}`: list them with GET /api/routes")]
    Unknown(String),
    /// It makes no sense.
    #[error("{field} of route `{name}` is wrong: {hint}")]
    Bad {
        /// Which route.
        name: String,
        /// Which part.
        field: String,
        /// What to do.
        hint: String,
    },
    /// It leads back to where it begins.
    #[error("route `{name}` leads back to itself ({path}): take one of these names out of the other's chain")]
    Loop {
        /// Which route.
        name: String,
        /// By which names.
        path: String,
    },
    /// Too many routes lie behind one another.
    #[error(
        "with route `{name}`, {depth} routes lie behind one another ({path}), and {max} may: name models instead of routes",
        max = ROUTE_DEPTH_MAX
    )]
    TooDeep {
        /// Which route.
        name: String,
        /// How many.
        depth: usize,
        /// By which names.
        path: String,
    },
    /// There are too many.
    #[error("there are {0} routes already, as many as a cluster takes: remove some first")]
    TooMany(usize),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) => RejectClass::NotFound,
            Reject::Bad { .. } | Reject::Loop { .. } | Reject::TooDeep { .. } => RejectClass::Invalid,
            Reject::TooMany(_) => RejectClass::Conflict,
        }
    }
}

impl State {
    /// What becomes of calls for a name, where that was said.
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.get(&name.to_owned()).map(|row| &**row)
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put(route) => {
            admits(state, route)?;
            let row = Route { set_at: ctx.now, ..(**route).clone() };
            let told = in_words(&row);
            state.routes.put(ctx.out, row.name.clone(), row);
            event::record(state, ctx, Kind::RouteChanged, Subject::default(), |_| told);
        }
        Command::Remove(name) => {
            if !state.routes.remove(ctx.out, name) {
                return Err(Reject::Unknown(name.clone()).into());
            }
            event::record(state, ctx, Kind::RouteChanged, Subject::default(), |_| {
                format!("{name} has no route any more: calls for it go to all that offer it")
            });
        }
    }
    Ok(Reply::Done)
}

/// Whether a route may be as it is, beside the others.
fn admits(state: &State, row: &Route) -> Result<(), Reject> {
    check::check(row)?;
    check::check_names(state, row)?;
    if !state.routes.contains(&row.name) && state.routes.len() >= ROUTES_MAX {
        return Err(Reject::TooMany(ROUTES_MAX));
    }
    Ok(())
}

fn in_words(row: &Route) -> String {
    let steps = row.chain.iter().map(|step| {
        let names: Vec<&str> = step.targets.iter().map(|share| share.model.as_str()).collect();
        format!("{} ({})", names.join(" or "), step.policy.as_str())
    });
    let steps: Vec<String> = steps.collect();
    let chain = if steps.is_empty() { "all that offer it".to_owned() } else { steps.join(", then ") };
    format!("calls for {} go to {chain}", row.name)
}

/// Takes a route back in from a backup.
pub(super) fn restore(
    state: &mut State,
    (key, row): (String, Route),
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    match state.routes.get(&key) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err("it was changed here meanwhile".to_owned()),
        None if key != row.name => Err("it lies under another route's name".to_owned()),
        None => {
            admits(state, &row).map_err(|e| e.to_string())?;
            state.routes.put(ctx.out, key, row);
            Ok(())
        }
    }
}
