//! Whether replicas stayed where they were. Only those of nodes that were taken away may move or start again.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where a replica is, under which epoch, since when it is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    node: String,
    epoch: u64,
    since: String,
}

/// All replicas, by deployment and ordinal.
pub(crate) type Placement = BTreeMap<(String, u64), Placed>;

/// The placement that `GET /api/deployments` tells.
pub(crate) fn placement(body: &Value) -> Placement {
    let mut placement = Placement::new();
    for row in body["deployments"].as_array().into_iter().flatten() {
        for replica in row["replicas"].as_array().into_iter().flatten() {
            let text = |field: &str| replica[field].as_str().unwrap_or_default().to_owned();
            let key = (
                row["name"].as_str().unwrap_or_default().to_owned(),
                replica["ordinal"].as_u64().unwrap_or_default(),
            );
            let epoch = replica["epoch"].as_u64().unwrap_or_default();
            placement.insert(key, Placed { node: text("node_name"), epoch, since: text("since") });
        }
    }
    placement
}

/// The replicas that did not stay though nothing happened to their node; `hit` are the names of those to which it did.
pub(crate) fn disturbed(before: &Placement, after: &Placement, hit: &[String]) -> Vec<String> {
    let tell = |((name, ordinal), was): (&(String, u64), &Placed)| {
        let now = after.get(&(name.clone(), *ordinal));
        let stayed = now == Some(was) || hit.contains(&was.node);
        let what = match now {
            Some(now) if now.node != was.node => format!("moved from {} to {}", was.node, now.node),
            Some(_) => format!("started again on {}", was.node),
            None => format!("is gone from {}", was.node),
        };
        (!stayed).then(|| format!("{name}/{ordinal} {what}"))
    };
    before.iter().filter_map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(rows: &[(&str, u64, &str)]) -> Placement {
        let rows: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(ordinal, (node, epoch, since))| {
                json!({ "ordinal": ordinal, "node_name": node, "epoch": epoch, "since": since })
            })
            .collect();
        placement(&json!({ "deployments": [{ "name": "m", "replicas": rows }] }))
    }

    #[test]
    fn what_stays_is_not_told_and_what_moves_or_starts_again_is() {
        let before = told(&[("n1", 1, "a"), ("n2", 1, "a"), ("n3", 1, "a")]);
        assert_eq!(disturbed(&before, &before, &[]), Vec::<String>::new());
        let after = told(&[("n2", 2, "b"), ("n2", 1, "b")]);
        let expected = ["m/0 moved from n1 to n2", "m/1 started again on n2", "m/2 is gone from n3"];
        assert_eq!(disturbed(&before, &after, &[]), expected);
    }

    #[test]
    fn replicas_of_nodes_that_were_taken_away_may_move() {
        let before = told(&[("n1", 1, "a"), ("n2", 1, "a")]);
        let after = told(&[("n2", 2, "b"), ("n2", 1, "a")]);
        assert_eq!(disturbed(&before, &after, &["n1".to_owned()]), Vec::<String>::new());
    }
}
