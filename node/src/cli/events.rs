//! `llmhub events`: what happened lately, and what happens.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::api::{Api, escape};
use super::args::EventsArgs;
use super::failure::Failure;
use super::output::{self, plain};

/// How often what is new is asked for.
const PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which following ends.
const FAILURES_MAX: u32 = 60;

/// Lists events; with `--follow` until interrupted.
///
/// # Errors
/// What the node said.
pub(crate) async fn run(args: &EventsArgs) -> Result<(), Failure> {
    let api = Api::new(&args.target)?;
    let mut answer = api.call(Method::GET, &path(args, None), None).await?;
    if !args.follow && args.target.access.json {
        return super::print_json(&answer);
    }
    let mut failures = 0;
    loop {
        let lines = output::rows(&answer, "events").iter();
        if args.target.access.json {
            super::print(&lines.map(|event| format!("{event}\n")).collect::<String>())?;
        } else {
            super::print(&lines.map(line).collect::<String>())?;
        }
        if !args.follow {
            return Ok(());
        }
        let next = answer["next"].as_str().map(str::to_owned);
        answer = loop {
            sleep(PAUSE).await;
            match api.call(Method::GET, &path(args, next.as_deref()), None).await {
                Ok(answer) => break answer,
                // The node that is asked may be gone for a moment, which is when events are of interest.
                Err(Failure::Unavailable(_) | Failure::Unreachable(_)) if failures < FAILURES_MAX => {
                    failures += 1;
                }
                Err(failure) => return Err(failure),
            }
        };
        failures = 0;
    }
}

fn path(args: &EventsArgs, after: Option<&str>) -> String {
    let mut path = format!("/api/events?limit={}", args.limit);
    for (name, value) in
        [("deployment", args.deployment.as_deref()), ("node", args.node.as_deref()), ("after", after)]
    {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    path
}

fn line(event: &Value) -> String {
    format!("{}  {:20}  {}\n", plain(&event["at"]), plain(&event["kind"]), plain(&event["text"]))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_was_given() {
        let line = "llmhub events --deployment meta/llama --limit 5";
        let Command::Events(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(path(&args, Some("evt-1")), "/api/events?limit=5&deployment=meta%2Fllama&after=evt-1");
    }
}
