//! The table of paths: where each goes, what key it needs, what it is for. The router and the OpenAPI document are both
//! made from it, so neither can know a path that the other does not.

use axum::Router;
use axum::extract::Request;
use axum::routing::{delete, get, post, put};
use domain::key::Scope;

use crate::api::{
    actors, adapters, backup, config, deploy, deployments, docs, events, explain, health, inference, keys,
    metrics, models, nodes, ollama, plan, prices, providers, rebalance, registry, restore, rotations,
    routes as model_routes, settings, status, tokens, view,
};
use crate::extract::App;
use crate::problem::Problem;

/// One path and method.
pub(crate) struct Route {
    pub method: &'static str,
    pub path: &'static str,
    /// What the key must allow; `None` needs no key.
    pub scope: Option<Scope>,
    /// The schema of its body in the OpenAPI document.
    pub body: Option<&'static str>,
    /// What its query may ask.
    pub query: &'static [&'static str],
    pub summary: &'static str,
}

macro_rules! scope {
    (open) => {
        None
    };
    ($scope:ident) => {
        Some(Scope::$scope)
    };
}

macro_rules! body {
    () => {
        None
    };
    ($body:ident) => {
        Some(stringify!($body))
    };
}

macro_rules! routes {
    ($($method:ident $path:literal $scope:ident $(($body:ident))? $([$($query:ident)*])? => $handler:path, $summary:literal;)*) => {
        /// Every path.
        pub(crate) const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            scope: scope!($scope),
            body: body!($($body)?),
            query: &[$($(stringify!($query)),*)?],
            summary: $summary,
        }),*];

        /// The router over them.
        pub(crate) fn router(app: App) -> Router {
            Router::new()
                $(.route($path, $method($handler)))*
                .fallback(|request: Request| async move { Problem::no_route(request.uri().path()) })
                .method_not_allowed_fallback(|request: Request| async move {
                    Problem::wrong_method(request.uri().path())
                })
                .with_state(app)
        }
    };
}

routes! {
    post "/v1/chat/completions" Inference (ChatRequest) => inference::answer, "Answer a chat, whole or as a stream";
    post "/v1/completions" Inference (CompletionRequest) => inference::answer, "Continue a text";
    post "/v1/embeddings" Inference (EmbeddingRequest) => inference::answer, "Turn texts into vectors";
    post "/v1/responses" Inference (ResponseRequest) => inference::answer, "Answer a chat in OpenAI's Responses interface";
    post "/v1/moderations" Inference (ModerationRequest) => inference::answer, "Say whether texts are harmful";
    post "/v1/rerank" Inference (RerankRequest) => inference::answer, "Order documents by how well they answer a query";
    post "/v1/images/generations" Inference (ImageRequest) => inference::answer, "Draw pictures";
    post "/v1/audio/speech" Inference (SpeechRequest) => inference::answer, "Read a text aloud";
    post "/v1/audio/transcriptions" Inference (TranscriptionRequest) => inference::answer, "Write down what is said in a recording, sent as a form";
    post "/v1/messages" Inference (MessageRequest) => inference::answer, "Answer a chat in Anthropic's interface";
    post "/v1/messages/count_tokens" Inference (CountRequest) => inference::answer, "Count or estimate the tokens of a chat in Anthropic's interface";
    post "/api/chat" Inference (OllamaChatRequest) => inference::answer, "Answer a chat in Ollama's interface";
    post "/api/generate" Inference (OllamaGenerateRequest) => inference::answer, "Continue a text in Ollama's interface";
    post "/api/embed" Inference (OllamaEmbedRequest) => inference::answer, "Turn texts into vectors in Ollama's interface";
    get "/api/tags" Inference [consistent] => ollama::tags, "List models in Ollama's interface";
    post "/api/show" Inference (OllamaShowRequest) => ollama::show, "Show a model in Ollama's interface";
    get "/api/version" Inference => ollama::version, "The program's version in Ollama's interface";
    post "/api/v1/chat/completions" Inference (EnvelopeRequest) => inference::answer, "Answer a prompt in an envelope, sent as JSON or as a form";
    get "/api/v1/models" Inference [consistent] => models::envelope, "List models in an envelope";
    get "/v1/models" Inference [consistent] => models::list, "List the models that can be called";
    get "/v1/models/{*id}" Inference [consistent] => models::get, "Show one model";
    post "/v1/deploy" Deploy (DeployRequest) => deploy::deploy, "Deploy a model";
    get "/health" open => health::health, "Whether the process lives";
    get "/ready" open => health::ready, "Whether the node can take requests";
    get "/metrics" Read => metrics::page, "Counters in Prometheus' text format";
    get "/api/status" Read [consistent] => status::show, "The cluster at a glance, with warnings";
    get "/api/view" Admin [consistent] => view::export, "What decisions look at, without any secret";
    get "/api/actors" Read [consistent node] => actors::show, "What a node's actors show";
    get "/api/nodes" Read [consistent] => nodes::list, "List nodes";
    get "/api/nodes/{id}" Read [consistent] => nodes::get, "Show a node by id or name";
    delete "/api/nodes/{id}" Admin => nodes::remove, "Remove a node that is gone for good";
    post "/api/nodes/{id}/leave" Admin => nodes::leave, "Let a node hand over its work and leave";
    post "/api/nodes/{id}/cordon" Admin => nodes::cordon, "Keep new work off a node";
    post "/api/nodes/{id}/drain" Admin => nodes::drain, "Keep new work off a node, and move what it has elsewhere";
    post "/api/nodes/{id}/uncordon" Admin => nodes::uncordon, "Let a node have work again";
    post "/api/nodes/{id}/renew" Admin => nodes::renew, "Have a node get a new certificate";
    get "/api/rotations" Read [consistent] => rotations::list, "Which keys of the cluster are in use, and how far their replacement is";
    post "/api/rotations/{kind}" Admin (RotationRequest) => rotations::rotate, "Replace the data key (secrets), the gossip key (gossip) or the certificate authority (ca)";
    get "/api/rebalance" Read [consistent] => rebalance::show, "What a rebalance would move, and whether one runs";
    post "/api/rebalance" Admin => rebalance::start, "Spread replicas better, a few moves at a time";
    delete "/api/rebalance" Admin => rebalance::stop, "End a rebalance; what is under way stays where it was";
    get "/api/events" Read [consistent node deployment after limit] => events::list, "What happened lately";
    get "/api/moves" Read [consistent] => settings::show_moves, "How much may move at once";
    put "/api/moves" Admin (MovesRequest) => settings::set_moves, "Set how much may move at once";
    get "/api/quotas" Read [consistent after limit] => settings::list_quotas, "List tenants with their quotas and what they use";
    put "/api/quotas/{*tenant}" Admin (QuotaRequest) => settings::set_quota, "Set a tenant's quota";
    delete "/api/quotas/{*tenant}" Admin => settings::remove_quota, "Take a tenant's quota away";
    get "/api/prices" Read [consistent after limit] => prices::list, "List what models cost";
    put "/api/prices/{*model}" Admin (PriceRequest) => prices::set, "Set what a million tokens of a model cost";
    delete "/api/prices/{*model}" Admin => prices::remove, "Take a model's price away";
    get "/api/routes" Read [consistent after limit] => model_routes::list, "List what becomes of calls for models";
    get "/api/routes/{*name}" Read [consistent] => model_routes::get, "Show what becomes of calls for a model";
    put "/api/routes/{*name}" Admin (RouteRequest) => model_routes::set, "Set all of what becomes of calls for a model";
    delete "/api/routes/{*name}" Admin => model_routes::remove, "Let calls for a model go to all that offer it again";
    get "/api/explain" Read [consistent model user key label vision tools json_schema tokens] => plan::explain, "Who would be asked for a call, in which order and why";
    get "/api/adapters" Read [consistent after limit] => adapters::list, "List declared dialects, those of the program among them";
    get "/api/adapters/{name}" Read [consistent version] => adapters::get, "Show a declared dialect";
    put "/api/adapters/{name}" Admin (AdapterDeclaration) => adapters::put, "Declare a dialect, or a new version of it";
    post "/api/adapters/{name}/rollback" Admin (RollbackRequest) => adapters::rollback, "Speak a version of a declared dialect again";
    delete "/api/adapters/{name}" Admin => adapters::remove, "Take a declared dialect away, with all its versions";
    get "/api/deployments" Read [consistent after limit] => deployments::list, "List deployments";
    get "/api/deployments/{id}" Read [consistent] => deployments::get, "Show a deployment by id or name";
    delete "/api/deployments/{id}" Deploy => deployments::remove, "Delete a deployment";
    get "/api/deployments/{id}/explain" Read [consistent] => explain::show, "Why each replica is where it is, or nowhere";
    post "/api/deployments/{id}/policy" Deploy (PolicyRequest) => deployments::set_policy, "Change a deployment's policy";
    post "/api/deployments/{id}/stop" Deploy => deployments::stop, "Stop a deployment's replicas";
    post "/api/deployments/{id}/start" Deploy => deployments::start, "Start a stopped deployment";
    post "/api/deployments/{id}/restart" Deploy => deployments::restart, "Start a deployment's engines anew";
    post "/api/deployments/{id}/scale" Deploy (ScaleRequest) => deployments::scale, "Change the number of replicas";
    get "/api/deployments/{id}/logs" Read [consistent replica tail] => deployments::logs, "Last log lines of a replica";
    get "/api/models" Read [consistent after limit] => registry::list, "List registered models";
    post "/api/models" Deploy (ModelRequest) => registry::put, "Register a model";
    delete "/api/models/{*id}" Deploy => registry::remove, "Forget a model";
    get "/api/providers" Read [consistent after limit] => providers::list, "List providers, without their keys";
    post "/api/providers" Admin (ProviderRequest) => providers::put, "Add or replace a provider";
    put "/api/providers" Admin (ProviderRequest) => providers::put, "Add or replace a provider";
    delete "/api/providers/{*name}" Admin => providers::remove, "Remove a provider";
    get "/api/keys" Admin [consistent after limit] => keys::list, "List API keys, without their texts";
    post "/api/keys" Admin (KeyRequest) => keys::create, "Make an API key; its text is shown once";
    get "/api/keys/{id}" Admin [consistent] => keys::get, "Show an API key, its limits and what is used of them";
    put "/api/keys/{id}/limits" Admin (LimitsRequest) => keys::set_limits, "Set all limits of an API key";
    delete "/api/keys/{id}" Admin => keys::revoke, "Revoke an API key";
    get "/api/tokens" Admin [consistent after limit] => tokens::list, "List join tokens, without their texts";
    post "/api/tokens" Admin (TokenRequest) => tokens::create, "Make a join token; its text is shown once";
    delete "/api/tokens/{id}" Admin => tokens::revoke, "Revoke a join token";
    get "/api/config" Read [consistent prefix after limit] => config::list, "List configuration keys, without their values";
    get "/api/config/{*key}" Read [consistent] => config::get, "Read a configuration value; its revision is the ETag";
    put "/api/config/{*key}" Admin (ConfigValue) => config::put, "Write a configuration value, under `If-Match` or `If-None-Match: *` only if they hold";
    delete "/api/config/{*key}" Admin => config::remove, "Delete a configuration value";
    get "/api/backup" Admin [recipient] => backup::stream, "Stream what a backup keeps, a JSON object a line";
    get "/api/restore" Admin [consistent] => restore::show, "Whether a backup can be restored here, and for which key its data keys are wrapped";
    post "/api/restore" Admin (RestoreRequest) => restore::begin, "Begin to restore a backup";
    post "/api/restore/rows" Admin (RestoreRows) => restore::rows, "Restore some rows of a backup that was begun";
    post "/api/restore/end" Admin (RestoreEnd) => restore::end, "End a restore: all rows are in";
    get "/openapi.json" open => docs::document, "This document";
    get "/docs" open => docs::page, "These paths as a page";
}
