//! Which node a command asks, and with what. The options may stand before the command's name or after it; what stands
//! after it wins, and both win over the environment. A command that asks no node refuses them.

use std::path::PathBuf;

use clap::Args;

use super::args::{
    AdapterCommand, AdminCommand, AuthorityCommand, BackupCommand, Cli, Command, ConfigCommand,
    DeploymentCommand, KeyCommand, KeyRotation, NodeAction, PriceCommand, ProviderCommand, QuotaCommand,
    RecoverArgs, RewrapArgs, RouteCommand, SECRET, SecretsCommand, TokenCommand,
};
use super::failure::Failure;

/// The variable that names the node to ask.
pub(crate) const URL: &str = "LLMHUB_URL";
/// The variable that holds the API key.
pub(crate) const KEY: &str = "LLMHUB_KEY";
/// The node that is asked where nothing is said.
const DEFAULT_URL: &str = "http://127.0.0.1:6602";

/// Which node to ask, and how to print what it answers.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Target {
    /// Address of a node [env: LLMHUB_URL] [default: http://127.0.0.1:6602]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// What a node is asked with.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Access {
    /// API key [env: LLMHUB_KEY]
    #[arg(long, value_name = "KEY", long_help = format!("API key [env: LLMHUB_KEY]: {SECRET}"))]
    pub(crate) key: Option<String>,
    /// More certificate authorities, for nodes that serve HTTPS (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The address that was given, or the environment's, or the usual one.
pub(crate) fn url(given: Option<&str>, environment: impl Fn(&str) -> Option<String>) -> String {
    let given = given.map(str::to_owned).or_else(|| environment(URL).filter(|url| !url.is_empty()));
    given.unwrap_or_else(|| DEFAULT_URL.to_owned())
}

impl Access {
    /// The key as it was given, not read yet; one that is empty means none.
    pub(crate) fn key(&self, environment: impl Fn(&str) -> Option<String>) -> Option<String> {
        self.key.clone().or_else(|| environment(KEY)).filter(|key| !key.is_empty())
    }
}

impl Cli {
    /// The command, told what stands before its name.
    ///
    /// # Errors
    /// Names the option that says nothing to this command.
    pub(crate) fn settle(self) -> Result<Command, Failure> {
        let Cli { before: Target { url, access: Access { key, ca_file, json } }, mut command } = self;
        if json {
            *prints(&mut command).ok_or_else(|| strange("--json"))? = true;
        }
        match asks(&mut command) {
            Some((own_url, own)) => {
                *own_url = own_url.take().or(url);
                own.key = own.key.take().or(key);
                own.ca_file = own.ca_file.take().or(ca_file);
            }
            None if url.is_some() => return Err(strange("--url")),
            None if key.is_some() => return Err(strange("--key")),
            None if ca_file.is_some() => return Err(strange("--ca-file")),
            None => {}
        }
        Ok(command)
    }
}

fn strange(option: &str) -> Failure {
    Failure::Usage(format!("{option} before the command says nothing to this command: leave it out"))
}

/// Whether a command that prints a result prints it as JSON.
fn prints(command: &mut Command) -> Option<&mut bool> {
    match command {
        Command::Config(ConfigCommand::Check { json, .. })
        | Command::Admin(AdminCommand::ResetKey { json, .. })
        | Command::Backup(
            BackupCommand::List { json, .. }
            | BackupCommand::Verify { json, .. }
            | BackupCommand::NewKey { json, .. },
        )
        | Command::Secrets(SecretsCommand::Rewrap(RewrapArgs { json, .. }))
        | Command::Recover(RecoverArgs { json, .. }) => Some(json),
        command => asks(command).map(|(_, access)| &mut access.json),
    }
}

/// Which node a command that asks one asks, and with what.
fn asks(command: &mut Command) -> Option<(&mut Option<String>, &mut Access)> {
    let target = match command {
        Command::Node(node) => match node.action.as_mut()? {
            NodeAction::Leave { target, .. } | NodeAction::Remove { target, .. } => target,
            NodeAction::Cordon(named) | NodeAction::Uncordon(named) | NodeAction::Renew(named) => {
                &mut named.target
            }
            NodeAction::Drain(args) => &mut args.named.target,
        },
        Command::Deploy(args) => &mut args.target,
        Command::Backup(BackupCommand::Create { target, .. }) => target,
        Command::Restore(args) => &mut args.target,
        Command::Deployments { action: None, target } => target,
        Command::Deployments { action: Some(action), .. } => of_deployment(action),
        Command::Provider(ProviderCommand::Add(add)) => return Some((&mut add.node_url, &mut add.access)),
        Command::Provider(ProviderCommand::List(target) | ProviderCommand::Remove { target, .. })
        | Command::Key(
            KeyCommand::Create { target, .. } | KeyCommand::List(target) | KeyCommand::Limit { target, .. },
        )
        | Command::Token(
            TokenCommand::Create { target, .. }
            | TokenCommand::List(target)
            | TokenCommand::Revoke { target, .. },
        )
        | Command::Status(target)
        | Command::Export { target, .. }
        | Command::Nodes(target) => target,
        Command::Key(KeyCommand::Show(named) | KeyCommand::Revoke(named)) | Command::Explain(named) => {
            &mut named.target
        }
        Command::Events(args) => &mut args.target,
        Command::Rebalance(args) => &mut args.target,
        Command::Moves(args) => &mut args.target,
        Command::Quota(
            QuotaCommand::Set { target, .. }
            | QuotaCommand::List(target)
            | QuotaCommand::Remove { target, .. },
        ) => target,
        Command::Price(
            PriceCommand::Set { target, .. }
            | PriceCommand::List(target)
            | PriceCommand::Remove { target, .. },
        ) => target,
        Command::Route(command) => of_route(command),
        Command::Adapter(command) => of_adapter(command),
        Command::Secrets(SecretsCommand::Rotate(how)) | Command::Gossip(KeyRotation::Rotate(how)) => {
            &mut how.target
        }
        Command::Ca(AuthorityCommand::Rotate { how, .. }) => &mut how.target,
        Command::Rotations(target) => target,
        Command::Chat(args) => &mut args.target,
        Command::Dev(_)
        | Command::Config(_)
        | Command::Admin(_)
        | Command::Backup(_)
        | Command::Secrets(SecretsCommand::Rewrap(_))
        | Command::Recover(_)
        | Command::Completion { .. }
        | Command::MockEngine(_) => return None,
    };
    Some((&mut target.url, &mut target.access))
}

fn of_deployment(command: &mut DeploymentCommand) -> &mut Target {
    match command {
        DeploymentCommand::Show(named)
        | DeploymentCommand::Stop(named)
        | DeploymentCommand::Start(named)
        | DeploymentCommand::Restart(named)
        | DeploymentCommand::Delete(named)
        | DeploymentCommand::Scale { named, .. }
        | DeploymentCommand::Logs { named, .. } => &mut named.target,
        DeploymentCommand::Policy(change) => &mut change.named.target,
    }
}

fn of_route(command: &mut RouteCommand) -> &mut Target {
    match command {
        RouteCommand::List(target)
        | RouteCommand::Show { target, .. }
        | RouteCommand::Remove { target, .. } => target,
        RouteCommand::Set(set) => &mut set.target,
        RouteCommand::Explain(ask) => &mut ask.target,
    }
}

fn of_adapter(command: &mut AdapterCommand) -> &mut Target {
    match command {
        AdapterCommand::List(target)
        | AdapterCommand::Show { target, .. }
        | AdapterCommand::Put { target, .. }
        | AdapterCommand::Rollback { target, .. }
        | AdapterCommand::Remove { target, .. } => target,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn settled(line: &str) -> Result<Command, Failure> {
        Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}")).settle()
    }

    fn target(line: &str) -> Target {
        match settled(line).unwrap() {
            Command::Status(target) => target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_may_stand_on_either_side_of_the_command_and_the_later_wins() {
        let before = target("llmhub --url http://a:1 --key k --ca-file f --json status");
        let after = target("llmhub status --url http://a:1 --key k --ca-file f --json");
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
        assert_eq!(target("llmhub --url http://a:1 status --url http://b:1").url.unwrap(), "http://b:1");
    }

    #[test]
    fn a_providers_url_is_not_the_nodes() {
        let line = "llmhub --url http://n:1 provider add --name p --url http://h/v1 --model a --key k";
        let Command::Provider(ProviderCommand::Add(add)) = settled(line).unwrap() else { panic!() };
        assert_eq!((add.url.as_deref().unwrap(), add.access.key.as_deref()), ("http://h/v1", Some("k")));
        assert_eq!(add.node_url.as_deref(), Some("http://n:1"));
    }

    #[test]
    fn a_command_that_asks_no_node_refuses_them() {
        for line in [
            "llmhub --url http://a:1 dev",
            "llmhub --key k node",
            "llmhub --ca-file f config check F",
            "llmhub --json completion bash",
        ] {
            let failure = settled(line).unwrap_err();
            assert_eq!(failure.code(), 2, "{line}");
            let option = line.split(' ').nth(1).unwrap();
            assert!(failure.to_string().starts_with(option), "{failure}");
        }
        let checked = settled("llmhub --json config check F").unwrap();
        assert!(matches!(checked, Command::Config(ConfigCommand::Check { json: true, .. })));
    }

    #[test]
    fn what_is_not_given_comes_from_the_environment() {
        let set = |name: &str| Some(format!("from {name}"));
        assert_eq!(url(Some("http://a:1"), set), "http://a:1");
        assert_eq!(url(None, set), "from LLMHUB_URL");
        assert_eq!(url(None, |_| Some(String::new())), DEFAULT_URL);
        let access = Access::default();
        assert_eq!(access.key(set).as_deref(), Some("from LLMHUB_KEY"));
        assert_eq!(access.key(|_| Some(String::new())), None);
        assert_eq!(Access { key: Some("k".to_owned()), ..access }.key(set).as_deref(), Some("k"));
    }
}
