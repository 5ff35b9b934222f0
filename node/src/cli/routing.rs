//! Routes and declared dialects: who answers for a name, and how providers are spoken to.

use std::io::Read;
use std::path::Path;

use http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, escape};
use super::args::{AdapterCommand, RouteCommand, RouteExplain, RouteSet};
use super::failure::Failure;
use super::output::{self, Column, plain};
use super::target::Target;

const ROUTES: &[Column] = &[
    ("NAME", &["/name"]),
    ("STEPS", &["/steps"]),
    ("PREFERRED", &["/preferred_count"]),
    ("FALLBACK", &["/fallback"]),
    ("SET", &["/set_at"]),
];
const TARGETS: &[Column] =
    &[("TARGET", &["/target"]), ("NODE", &["/node_name"]), ("WHY", &["/why"]), ("PUT LAST", &["/late"])];
const LEFT_OUT: &[Column] = &[("LEFT OUT", &["/name"]), ("WHY", &["/why"])];
const ADAPTERS: &[Column] = &[
    ("NAME", &["/name"]),
    ("SPEAKS", &["/current"]),
    ("VERSIONS", &["/numbers"]),
    ("SHIPPED", &["/shipped"]),
    ("PUT", &["/put_at"]),
];

/// The largest file that is read, in bytes: more is surely the wrong one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// `llmhub route`.
///
/// # Errors
/// What the node said.
pub(crate) async fn route(command: RouteCommand) -> Result<(), Failure> {
    match command {
        RouteCommand::List(target) => {
            let mut answer = Api::new(&target)?.list("/api/routes", "routes").await?;
            if !target.access.json {
                answer["routes"].as_array_mut().into_iter().flatten().for_each(brief);
            }
            super::print_rows(&answer, target.access.json, "routes", ROUTES)
        }
        RouteCommand::Show { name, target } => {
            let answer = Api::new(&target)?.call(Method::GET, &route_path(&name), None).await?;
            if target.access.json {
                super::print_json(&answer)
            } else {
                super::print(&output::outline(&answer, 0))
            }
        }
        RouteCommand::Set(set) => {
            let body = route_body(&set)?;
            let api = Api::new(&set.target)?;
            let answer = api.call(Method::PUT, &route_path(&set.name), Some(&body)).await?;
            let line = format!("calls for {} go to {}", set.name, steps(&answer));
            super::print_one(&answer, set.target.access.json, &line)
        }
        RouteCommand::Remove { name, target } => {
            let answer = Api::new(&target)?.call(Method::DELETE, &route_path(&name), None).await?;
            let line = format!("{name} has no route any more: calls for it go to all that offer it");
            super::print_one(&answer, target.access.json, &line)
        }
        RouteCommand::Explain(ask) => {
            let answer = Api::new(&ask.target)?.call(Method::GET, &explain_path(&ask), None).await?;
            if ask.target.access.json {
                super::print_json(&answer)
            } else {
                super::print(&explanation(&answer))
            }
        }
    }
}

fn route_path(name: &str) -> String {
    format!("/api/routes/{}", escape(name))
}

/// What a table shows of a route.
fn brief(route: &mut Value) {
    route["steps"] = steps(route).into();
    route["preferred_count"] = output::rows(route, "preferred").len().into();
    route["fallback"] = (!route["fallback_answer"].is_null()).into();
}

/// A route's steps in a line.
fn steps(route: &Value) -> String {
    let step = |step: &Value| {
        let share = |share: &Value| match &share["weight"] {
            Value::Null => plain(&share["model"]),
            weight => format!("{}={}", plain(&share["model"]), plain(weight)),
        };
        let targets: Vec<String> = output::rows(step, "targets").iter().map(share).collect();
        format!("{} ({})", targets.join(","), plain(&step["policy"]))
    };
    let steps: Vec<String> = output::rows(route, "chain").iter().map(step).collect();
    if steps.is_empty() { "all that offer it".to_owned() } else { steps.join(", then ") }
}

/// The route as the node wants it told.
fn route_body(set: &RouteSet) -> Result<Value, Failure> {
    let mut body = match &set.file {
        Some(file) => read(file)?,
        None if set.step.is_empty() && set.fallback_answer.is_none() => {
            return Err(Failure::Usage("say what the route is: --step, or --file".to_owned()));
        }
        None => Map::new(),
    };
    // What is shown tells these too; they are not the file's to set.
    body.remove("name");
    body.remove("set_at");
    if !set.step.is_empty() {
        let steps = set.step.iter().map(|step| chain_step(step, set));
        body.insert("chain".to_owned(), steps.collect::<Result<_, _>>()?);
    }
    if let Some(answer) = &set.fallback_answer {
        body.insert("fallback_answer".to_owned(), answer.as_str().into());
    }
    Ok(Value::Object(body))
}

fn chain_step(step: &str, set: &RouteSet) -> Result<Value, Failure> {
    let share = |share: &str| match share.split_once('=') {
        None => Ok(json!({ "model": share })),
        Some((model, weight)) => match weight.parse::<u32>() {
            Ok(weight) => Ok(json!({ "model": model, "weight": weight })),
            Err(_) => Err(Failure::Usage(format!(
                "--step {step}: `{weight}` is no weight: write MODEL or MODEL=WEIGHT, with commas between"
            ))),
        },
    };
    let targets = step.split(',').map(share).collect::<Result<Vec<_>, _>>()?;
    let mut step = json!({ "targets": targets });
    if let Some(policy) = set.policy {
        step["policy"] = policy.as_str().into();
    }
    Ok(step)
}

/// A JSON object from a file, or from standard input.
fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let text = |from: &mut dyn Read| {
        let mut text = String::new();
        from.take(FILE_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    };
    let read = if file == Path::new("-") {
        text(&mut std::io::stdin())
    } else {
        std::fs::File::open(file).and_then(|mut file| text(&mut file))
    };
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", file.display()));
    let text = read.map_err(|e| wrong(format!("cannot be read: {e}")))?;
    serde_json::from_str(&text).map_err(|e| wrong(format!("is no JSON object: {e}")))
}

fn explain_path(ask: &RouteExplain) -> String {
    let mut path = format!("/api/explain?model={}", escape(&ask.name));
    let label = (!ask.label.is_empty()).then(|| ask.label.join(","));
    for (name, value) in [("user", &ask.user), ("key", &ask.of_key), ("label", &label)] {
        path.extend(value.iter().map(|value| format!("&{name}={}", escape(value))));
    }
    for (name, set) in [("vision", ask.vision), ("tools", ask.tools), ("json_schema", ask.json_schema)] {
        path.extend(set.then(|| format!("&{name}=true")));
    }
    path.extend(ask.tokens.map(|tokens| format!("&tokens={tokens}")));
    path
}

fn explanation(answer: &Value) -> String {
    let mut text = String::new();
    match answer["reason"].as_str() {
        Some(reason) => text.push_str(&format!("nobody would be asked: {reason}\n")),
        None => text.push_str(&output::table(output::rows(answer, "targets"), TARGETS)),
    }
    let left_out = output::rows(answer, "left_out");
    if !left_out.is_empty() {
        text.push_str(&format!("\n{}", output::table(left_out, LEFT_OUT)));
    }
    text
}

/// `llmhub adapter`.
///
/// # Errors
/// What the node said.
pub(crate) async fn adapter(command: AdapterCommand) -> Result<(), Failure> {
    match command {
        AdapterCommand::List(target) => {
            let mut answer = Api::new(&target)?.list("/api/adapters", "adapters").await?;
            if !target.access.json {
                answer["adapters"].as_array_mut().into_iter().flatten().for_each(told);
            }
            super::print_rows(&answer, target.access.json, "adapters", ADAPTERS)
        }
        AdapterCommand::Show { name, version, target } => {
            let version = version.map(|version| format!("?version={version}")).unwrap_or_default();
            let path = format!("{}{version}", adapter_path(&name));
            let answer = Api::new(&target)?.call(Method::GET, &path, None).await?;
            // The declaration alone can be changed and put again.
            super::print_json(if target.access.json { &answer } else { &answer["declaration"] })
        }
        AdapterCommand::Put { file, target } => put(&file, &target).await,
        AdapterCommand::Rollback { name, version, target } => {
            let path = format!("{}/rollback", adapter_path(&name));
            let body = json!({ "version": version });
            let answer = Api::new(&target)?.call(Method::POST, &path, Some(&body)).await?;
            let line = format!("adapter {name} is spoken in version {version}");
            super::print_one(&answer, target.access.json, &line)
        }
        AdapterCommand::Remove { name, target } => {
            let answer = Api::new(&target)?.call(Method::DELETE, &adapter_path(&name), None).await?;
            super::print_one(&answer, target.access.json, &format!("adapter {name} is removed"))
        }
    }
}

fn adapter_path(name: &str) -> String {
    format!("/api/adapters/{}", escape(name))
}

async fn put(file: &Path, target: &Target) -> Result<(), Failure> {
    let declaration = read(file)?;
    let Some(name) = declaration.get("name").and_then(Value::as_str).map(str::to_owned) else {
        let file = file.display();
        return Err(Failure::Usage(format!(
            "{file}: it has no `name`: say there what the dialect is called"
        )));
    };
    let body = Value::Object(declaration);
    let answer = Api::new(target)?.call(Method::PUT, &adapter_path(&name), Some(&body)).await?;
    let line = format!("adapter {name} is spoken in version {}", plain(&answer["current"]));
    super::print_one(&answer, target.access.json, &line)
}

/// What a table shows of a declared dialect.
fn told(adapter: &mut Value) {
    let versions = output::rows(adapter, "versions");
    let numbers: Vec<Value> = versions.iter().map(|version| version["version"].clone()).collect();
    let current = versions.iter().find(|version| version["version"] == adapter["current"]);
    let put_at = current.map_or(Value::Null, |version| version["put_at"].clone());
    adapter["put_at"] = put_at;
    adapter["numbers"] = numbers.into();
    if adapter["current"].is_null() {
        adapter["current"] = "the program's".into();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn command(line: &str) -> RouteCommand {
        let words: Vec<&str> = line.split_whitespace().collect();
        match Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}")).command {
            Command::Route(command) => command,
            other => panic!("{other:?}"),
        }
    }

    fn body(line: &str) -> Result<Value, Failure> {
        let RouteCommand::Set(set) = command(line) else { panic!("{line}") };
        route_body(&set)
    }

    #[test]
    fn a_route_is_told_by_steps_with_weights() {
        let told = body(
            "llmhub route set best --step a=30,b=70 --step c --policy least-latency --fallback-answer no",
        );
        let expected = json!({
            "chain": [
                { "targets": [{ "model": "a", "weight": 30 }, { "model": "b", "weight": 70 }], "policy": "least_latency" },
                { "targets": [{ "model": "c" }], "policy": "least_latency" },
            ],
            "fallback_answer": "no",
        });
        assert_eq!(told.unwrap(), expected);
        assert!(body("llmhub route set best --step a=x").unwrap_err().to_string().contains("no weight"));
        assert!(body("llmhub route set best").unwrap_err().to_string().contains("--file"));
    }

    #[test]
    fn what_is_shown_can_be_set_again_with_other_steps() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("route.json");
        std::fs::write(&file, r#"{"name":"x","set_at":"t","chain":[],"attempts_max":2}"#).unwrap();
        let told = body(&format!("llmhub route set best --file {} --step a", file.display())).unwrap();
        assert_eq!(told, json!({ "chain": [{ "targets": [{ "model": "a" }] }], "attempts_max": 2 }));
        std::fs::write(&file, "[]").unwrap();
        let wrong = body(&format!("llmhub route set best --file {}", file.display())).unwrap_err();
        assert!(wrong.to_string().contains("is no JSON object"), "{wrong}");
    }

    #[test]
    fn a_call_is_asked_about_with_all_that_is_given() {
        let line =
            "llmhub route explain a/b --user u&v --of-key key-1 --label x --label y --vision --tokens 10";
        let RouteCommand::Explain(ask) = command(line) else { panic!() };
        let expected = "/api/explain?model=a%2Fb&user=u%26v&key=key-1&label=x%2Cy&vision=true&tokens=10";
        assert_eq!(explain_path(&ask), expected);
    }

    #[test]
    fn an_explanation_is_a_table_with_what_was_left_out_below() {
        let text = explanation(&json!({
            "targets": [{ "target": "p/m", "node_name": null, "why": "provider, 0 under way", "late": null }],
            "left_out": [{ "name": "q/m", "why": "no vision" }],
            "reason": null,
        }));
        let expected = "TARGET  NODE  WHY                    PUT LAST\np/m     -     provider, 0 under way  -\n\n\
                        LEFT OUT  WHY\nq/m       no vision\n";
        assert_eq!(text, expected);
        let none =
            json!({ "targets": [], "left_out": [], "reason": "no deployment and no provider offers it" });
        assert_eq!(explanation(&none), "nobody would be asked: no deployment and no provider offers it\n");
    }

    #[test]
    fn a_dialect_of_the_program_is_shown_as_such() {
        let mut row = json!({ "name": "a", "current": null, "versions": [], "shipped": true });
        told(&mut row);
        assert_eq!(row["current"], "the program's");
        let versions = json!([{ "version": 1, "put_at": "t1" }, { "version": 2, "put_at": "t2" }]);
        let mut row = json!({ "name": "a", "current": 1, "versions": versions, "shipped": false });
        told(&mut row);
        assert_eq!((&row["numbers"], &row["put_at"]), (&json!([1, 2]), &json!("t1")));
    }
}
