//! How subgraphs are asked: how often, and when no more.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use gateway::transport::{Breaker, Resilience};

/// What is set of a [`Resilience`], times of single subgraphs aside.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// How often a query is sent again, of a subgraph that can't be reached or answers with 502, 503 or 504; a mutation
    /// never is.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        env = "GATEWAY_RETRIES",
        value_parser = RangedU64ValueParser::<u32>::new().range(..=10)
    )]
    retries: u32,

    /// Milliseconds before a query is sent again; twice as many each time.
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value_t = 25,
        env = "GATEWAY_RETRY_PAUSE",
        value_parser = RangedU64ValueParser::<u64>::new().range(..=60_000)
    )]
    retry_pause: u64,

    /// Milliseconds after which a query that is not answered is sent once more, beside the first; the first answer counts.
    /// 0 never does.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, env = "GATEWAY_HEDGE_AFTER")]
    hedge_after: u64,

    /// Failures in a row after which a subgraph is left alone for a while; 0 never does.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, env = "GATEWAY_BREAKER_FAILURES")]
    breaker_failures: u32,

    /// Seconds for which it is left alone; then one request tries.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 5,
        env = "GATEWAY_BREAKER_REST",
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400)
    )]
    breaker_rest: u64,
}

impl Asking {
    /// The rules, where a subgraph has `patience` for an answer.
    pub(crate) fn rules(&self, patience: Duration) -> anyhow::Result<Resilience> {
        let hedge_after = (self.hedge_after > 0).then(|| Duration::from_millis(self.hedge_after));
        if let Some(after) = hedge_after.filter(|after| *after >= patience) {
            anyhow::bail!(
                "--hedge-after {}: a subgraph has {patience:?} for an answer (--subgraph-timeout), so nothing would be sent \
                 again after {after:?}; say less, or 0 to send nothing twice",
                self.hedge_after
            );
        }
        let rest = Duration::from_secs(self.breaker_rest);
        Ok(Resilience {
            retries: self.retries,
            pause: Duration::from_millis(self.retry_pause),
            hedge_after,
            breaker: (self.breaker_failures > 0).then_some(Breaker { failures: self.breaker_failures, rest }),
            ..Resilience::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        asking: Asking,
    }

    fn rules(arguments: &str) -> Result<Resilience, String> {
        let arguments = std::iter::once("gateway").chain(arguments.split_whitespace());
        let program = Program::try_parse_from(arguments).map_err(|error| error.to_string())?;
        program.asking.rules(Duration::from_secs(10)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_is_as_in_the_library() {
        assert_eq!(rules(""), Ok(Resilience::default()));
    }

    #[test]
    fn each_rule_can_be_set_and_switched_off() {
        let set = "--retries 3 --retry-pause 40 --hedge-after 250 --breaker-failures 7 --breaker-rest 9";
        let expected = Resilience {
            retries: 3,
            pause: Duration::from_millis(40),
            hedge_after: Some(Duration::from_millis(250)),
            breaker: Some(Breaker { failures: 7, rest: Duration::from_secs(9) }),
            ..Resilience::default()
        };
        assert_eq!(rules(set), Ok(expected));
        let off = Resilience { retries: 0, hedge_after: None, breaker: None, ..Resilience::default() };
        assert_eq!(rules("--retries 0 --hedge-after 0 --breaker-failures 0"), Ok(off));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (arguments, expected) in [
            ("--retries 11", "0..=10"),
            ("--retries often", "--retries <NUMBER>"),
            ("--retry-pause 60001", "0..=60000"),
            ("--hedge-after soon", "--hedge-after <MILLISECONDS>"),
            ("--hedge-after 10000", "a subgraph has 10s for an answer"),
            ("--breaker-failures few", "--breaker-failures <NUMBER>"),
            ("--breaker-rest 0", "1..=86400"),
        ] {
            let refused = rules(arguments).unwrap_err();
            assert!(refused.contains(expected), "{arguments}: {refused}");
        }
    }
}
