//! Bounds that more than one crate relies on. A bound lives here when breaking it on one node could hurt another.

use crate::Millis;

/// How long an idempotent retry is recognised.
pub const REQUEST_AGE_MAX_MS: Millis = 10 * 60 * 1000;
/// How many request ids are remembered at most; the oldest go first.
pub const REQUESTS_MAX: usize = 100_000;
/// Replicas one deployment may ask for.
pub const REPLICAS_MAX: u32 = 1_000;
/// Environment variables one deployment may set.
pub const ENV_MAX: usize = 64;
/// Engine arguments one deployment may pass.
pub const ARGS_MAX: usize = 64;
/// Bytes of all of one deployment's variables and arguments together.
pub const SPEC_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a path or an address in a row.
pub const PLACE_LEN_MAX: usize = 4096;
/// Models one provider may list.
pub const PROVIDER_MODELS_MAX: usize = 1_000;
/// Bytes of a configuration value's key.
pub const CONFIG_KEY_LEN_MAX: usize = 512;
/// Bytes of a configuration value.
pub const CONFIG_VALUE_LEN_MAX: usize = 128 * 1024;
/// Configuration values there may be.
pub const CONFIG_KEYS_MAX: usize = 200_000;
/// Bytes of all configuration values and their keys: every node keeps them in memory.
pub const CONFIG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes of a reason kept in a row; longer ones are cut.
pub const REASON_LEN_MAX: usize = 512;
/// Events kept; the oldest go first. About 250 bytes each.
pub const EVENTS_MAX: usize = 4_096;
/// Tenants that may have a quota.
pub const QUOTAS_MAX: usize = 1_000;
/// The largest number of moves at once that can be set.
pub const MOVES_MAX: u32 = 1_000;
/// Nodes, or zones, one deployment may be pinned to.
pub const PINS_MAX: usize = 64;
/// Priorities lie between minus this and this.
pub const PRIORITY_MAX: i32 = 1_000;
/// A node's lease on its work; a node that did not renew for this long may lose it.
pub const LEASE_MS: Millis = 6_000;
/// A node stops exclusive work this long before the leader may think the lease is over.
pub const LEASE_MARGIN_MS: Millis = 1_000;
/// How often a node renews its lease.
pub const LEASE_RENEW_MS: Millis = 1_000;

/// Limits one API key may have.
pub const LIMITS_PER_KEY_MAX: usize = 8;
/// The largest amount of a limit in requests or tokens.
pub const LIMIT_AMOUNT_MAX: u64 = 1_000_000_000_000;
/// The largest amount of a limit in money, in millionths of its unit: a billion.
pub const LIMIT_MONEY_MAX: u64 = 1_000_000_000_000_000;
/// The most a million tokens can cost, in millionths of a unit of money: a million.
pub const PRICE_MAX: u64 = 1_000_000_000_000;
/// Models that may have a price.
pub const PRICES_MAX: usize = 10_000;
/// Bytes of a declared dialect.
pub const ADAPTER_LEN_MAX: usize = 32 * 1024;
/// Versions of a declared dialect that are kept; the oldest go first.
pub const ADAPTER_VERSIONS_MAX: usize = 10;
/// Dialects that may be declared.
pub const ADAPTERS_MAX: usize = 100;
/// The shortest window of a limit.
pub const LIMIT_WINDOW_MIN_MS: Millis = 1_000;
/// The longest window of a limit.
pub const LIMIT_WINDOW_MAX_MS: Millis = 31 * 86_400_000;
/// Tokens that an answer is assumed to have when its client does not say how many it may have.
pub const OUTPUT_TOKENS_ASSUMED: u64 = 1_024;
/// Tokens read, or written, that one call counts as at most, whatever its answer tells.
pub const CALL_TOKENS_MAX: u64 = 1_000_000_000;
/// Counters one command may ask for.
pub const ASKS_MAX: usize = 256;

/// Names that may have a route.
pub const ROUTES_MAX: usize = 1_000;
/// Steps of a route's chain.
pub const ROUTE_STEPS_MAX: usize = 8;
/// Models of one step.
pub const ROUTE_TARGETS_MAX: usize = 16;
/// The largest weight of a model in a step.
pub const ROUTE_WEIGHT_MAX: u32 = 1_000_000;
/// Routes that may lie behind one another.
pub const ROUTE_DEPTH_MAX: usize = 4;
/// Callers a route may name to prefer something for.
pub const ROUTE_CALLERS_MAX: usize = 64;
/// Models preferred for one caller.
pub const ROUTE_PREFERRED_MAX: usize = 8;
/// Models whose answers one is made of.
pub const ROUTE_FUSED_MAX: usize = 8;
/// Bytes of what is answered when nothing else answers.
pub const ROUTE_ANSWER_LEN_MAX: usize = 4_096;
/// The longest time a route can say: a day.
pub const ROUTE_TIME_MAX_MS: Millis = 86_400_000;
/// Targets one call can be made to try.
pub const ROUTE_ATTEMPTS_MAX: u32 = 16;
/// The most calls under way at a target from a node that a route can say.
pub const ROUTE_IN_FLIGHT_MAX: u32 = 100_000;
/// The most calls waiting for a target at a node that a route can say.
pub const ROUTE_WAITING_MAX: u32 = 10_000;

/// Data keys of other clusters that are kept for what was restored and is sealed under them.
pub const RESTORED_KEYS_MAX: usize = 8;
/// Restores that are remembered; the oldest go first.
pub const RESTORES_MAX: usize = 16;

/// Cuts a reason to what a row keeps, on a character boundary.
pub fn cut_reason(mut reason: String) -> String {
    if reason.len() > REASON_LEN_MAX {
        let mut end = REASON_LEN_MAX;
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
    }
    reason
}
