//! Names and labels of all metrics of the gateway.

/// Finished inference calls, by operation and outcome.
pub(super) const REQUESTS: &str = "llmhub_gateway_requests_total";
/// Inference calls under way.
pub(super) const IN_FLIGHT: &str = "llmhub_gateway_in_flight";
/// Time from a call's arrival to the end of its answer.
pub(super) const DURATION: &str = "llmhub_gateway_duration_seconds";
/// Time from a call's arrival to the first byte of its answer.
pub(super) const FIRST_BYTE: &str = "llmhub_gateway_first_byte_seconds";
/// Tokens that answers told.
pub(super) const TOKENS: &str = "llmhub_gateway_tokens_total";
/// Further targets tried after a failed one.
pub(super) const RETRIES: &str = "llmhub_gateway_retries_total";
/// Calls that other nodes relayed to this one.
pub(super) const RELAYED: &str = "llmhub_gateway_relayed_total";
/// Requests without a key that allows them.
pub(super) const REFUSED_KEYS: &str = "llmhub_gateway_refused_keys_total";
/// Calls of keys with limits that were let through.
pub(super) const ADMITTED: &str = "llmhub_limits_admitted_total";
/// Calls of keys with limits that were not let through, by unit and reason.
pub(super) const LIMITED: &str = "llmhub_limits_refused_total";
/// What this node was granted of keys' limits and has not used.
pub(super) const LEASED: &str = "llmhub_limits_leased";
/// Keys with limits in use on this node.
pub(super) const LIMITED_KEYS: &str = "llmhub_limits_keys";
/// Other requests, by class of status.
pub(super) const API: &str = "llmhub_api_requests_total";
/// Clients' connections.
pub(super) const CONNECTIONS: &str = "llmhub_gateway_connections";
/// Calls under way to a target from this node.
pub(super) const TARGET_IN_FLIGHT: &str = "llmhub_target_in_flight";
/// Smoothed time to a target's first byte.
pub(super) const TARGET_LATENCY: &str = "llmhub_target_latency_seconds";
/// Calls to a target, by outcome.
pub(super) const TARGET_CALLS: &str = "llmhub_target_calls_total";
/// Nodes by health, as this node sees them.
pub(super) const NODES: &str = "llmhub_cluster_nodes";
/// Replicas wanted and ready.
pub(super) const REPLICAS: &str = "llmhub_cluster_replicas";
/// The last command this node applied.
pub(super) const APPLIED: &str = "llmhub_cluster_applied_index";
/// Whether this node knows a leader.
pub(super) const HAS_LEADER: &str = "llmhub_cluster_has_leader";
