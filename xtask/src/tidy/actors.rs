//! Rule: no named actors and no process groups. ractor keeps both in tables of the process, where the nodes of a
//! simulation or a test would meet; a node has a directory object instead.

use super::Finding;
use super::source::Source;

const RULE: &str = "actors";

const NAMED: &[&str] =
    &["spawn(Some(", "spawn_linked(Some(", "spawn_instant(Some(", "spawn_linked_instant(Some("];
const GLOBAL: &[&str] = &["pg::", "ractor::pg", "ractor::registry", "registry::where_is"];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let named = NAMED.iter().flat_map(|piece| source.all_matches(piece)).map(|index| {
        let message = "a named actor is entered in a table of the process: pass None and keep its handle";
        source.at(index, RULE, message)
    });
    let global = GLOBAL.iter().flat_map(|piece| source.all_matches(piece)).map(|index| {
        let message =
            "process groups and the registry are shared by the process: use the node's own directory";
        source.at(index, RULE, message)
    });
    let mut findings: Vec<Finding> = named.chain(global).collect();
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source::new("actors/src/lib.rs", text)).len()
    }

    #[test]
    fn an_actor_without_a_name_passes() {
        assert_eq!(findings("Actor::spawn_linked(None, Gpu, args, cell).await?"), 0);
        assert_eq!(findings("tokio::spawn(async move { Some(1) })"), 0);
    }

    #[test]
    fn a_named_actor_and_a_process_group_do_not() {
        assert_eq!(findings("Actor::spawn(\n    Some(\"gpu\".into()), Gpu, ())"), 1);
        assert_eq!(findings("pg::join(group, cells)"), 1);
    }
}
