//! The command line as it is documented.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Command {
    Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}")).command
}

fn refused(line: &str) -> String {
    Cli::try_parse_from(line.split(' ')).err().unwrap_or_else(|| panic!("{line} is taken")).to_string()
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_line_is_understood() {
    for line in [
        "llmhub dev",
        "llmhub dev --nodes 5 --data D --http-port 7000 --cluster-port 8000",
        "llmhub node",
        "llmhub node --config F --name n --zone z --data D --http 127.0.0.1:1 --cluster 127.0.0.1:2 --advertise h:2",
        "llmhub node --join a:1 --join b:2 --token T",
        "llmhub node --join a:1 b:2 --token T",
        "llmhub node leave",
        "llmhub node leave n-1",
        "llmhub node remove n-1 --url http://h:1 --key k --json",
        "llmhub node cordon n1",
        "llmhub node drain n1 --wait --timeout 60",
        "llmhub node uncordon n1",
        "llmhub rebalance --dry-run",
        "llmhub rebalance --stop",
        "llmhub explain tiny",
        "llmhub events --deployment tiny --node n1 --follow",
        "llmhub moves --planned-max 2 --urgent-max 100",
        "llmhub quota set research --replicas 20 --gpus 8 --memory-mib 65536",
        "llmhub quota list",
        "llmhub quota remove research",
        "llmhub deploy --model m --name a --tenant t --priority -5 --anti-affinity required --node n1 --node n2 --zone z",
        "llmhub deployments policy a --priority 10 --any-node --zone z",
        "llmhub config check F --json",
        "llmhub admin reset-key --data D",
        "llmhub backup create D --passphrase @F --url http://h:1",
        "llmhub backup create D --key-file F",
        "llmhub backup list D --key-file F --json",
        "llmhub backup verify D --passphrase -",
        "llmhub backup new-key F",
        "llmhub restore D --backup ID --key-file F --replace",
        "llmhub recover --data D --i-accept-that-newer-writes-may-be-lost",
        "llmhub recover --data-dir D",
        "llmhub deploy --model /m/a.gguf --name a --replicas 2 --gpus 1 --engine llama --env A=B --env C=D --wait",
        "llmhub deploy --model file:///m/a.gguf --name a --arg -t --arg 1",
        "llmhub provider add --name p --url http://h/v1 --api-key K --model a --model b",
        "llmhub provider list",
        "llmhub provider remove p",
        "llmhub key create --name k --scope read --scope deploy",
        "llmhub route list --json",
        "llmhub route show best",
        "llmhub route set best --step a=30,b=70 --step c --policy sticky-by-user --fallback-answer sorry",
        "llmhub route set best --file -",
        "llmhub route explain best --user u --vision --tools --json-schema --tokens 1000",
        "llmhub route remove best",
        "llmhub adapter list",
        "llmhub adapter show example --version 1",
        "llmhub adapter put --file example.json",
        "llmhub adapter rollback example --version 1",
        "llmhub adapter remove example",
        "llmhub key list --json",
        "llmhub key revoke key-1",
        "llmhub token create --uses 2",
        "llmhub token list",
        "llmhub token revoke tok-1",
        "llmhub status --json",
        "llmhub nodes",
        "llmhub export --view F --url http://h:1",
        "llmhub export --view -",
        "llmhub deployments --json",
        "llmhub deployments stop a",
        "llmhub deployments scale a --replicas 3",
        "llmhub deployments logs a --tail 10",
        "llmhub chat --model m hello",
        "llmhub chat --model m",
        "llmhub completion bash",
        "llmhub mock-engine --port 1 --key k",
    ] {
        parse(line);
    }
}

#[test]
fn running_a_node_and_acting_on_one_do_not_mix() {
    assert!(refused("llmhub node --name a leave").contains("cannot be used with"));
    let Command::Node(command) = parse("llmhub node leave n-1") else { panic!() };
    assert!(matches!(command.action, Some(NodeAction::Leave { id: Some(_), .. })));
}

#[test]
fn what_is_wrong_is_told() {
    assert!(refused("llmhub key create --name k --scope all").contains("inference"));
    assert!(refused("llmhub dev --nodes 0").contains("1..=9"));
    assert!(refused("llmhub deploy --name a").contains("--model"));
    assert!(refused("llmhub nods").contains("nodes"));
}

#[test]
fn no_help_shows_a_secret_of_the_environment() {
    fn check(command: &clap::Command) {
        for argument in command.get_arguments().filter(|a| a.get_env().is_some()) {
            let secret = ["key", "token", "api_key", "passphrase"].contains(&argument.get_id().as_str());
            assert_eq!(
                argument.is_hide_env_values_set(),
                secret,
                "{} {}",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}
