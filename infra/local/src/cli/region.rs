//! `tributary region`.

use super::Options;
use super::tools::Tools;
use crate::admin::Ask;
use crate::regions::{self, Standing};
use clap::Subcommand;
use std::fmt::Write as _;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List the regions: where aggregates are at home, and what waits to be forwarded
    List,
    /// Cut a region off from the others, as a partition of the network would
    Cut {
        /// The region
        region: String,
    },
    /// Connect a region again: what waited is forwarded
    Heal {
        /// The region
        region: String,
    },
    /// Make what is at home in one region at home in another, in a new epoch that fences the old home off
    FailOver {
        /// The region that is given up
        region: String,
        /// The region that takes over
        #[arg(long)]
        to: String,
    },
}

pub(super) async fn run(options: &Options, action: Action) -> anyhow::Result<()> {
    let ask = match action {
        Action::List => regions::Ask::List,
        Action::Cut { region } => regions::Ask::Cut(region),
        Action::Heal { region } => regions::Ask::Heal(region),
        Action::FailOver { region, to } => regions::Ask::FailOver { from: region, to },
    };
    let standings: Vec<Standing> = Tools::once(options, Ask::Region(ask)).await?;
    print!("{}", text(&standings));
    Ok(())
}

fn text(standings: &[Standing]) -> String {
    let mut text =
        format!("{:<16}{:<12}{:>10}{:>8}  to be forwarded\n", "region", "link", "at home", "epoch");
    for Standing { region, cut, shards, epoch, waiting } in standings {
        let link = if *cut { "cut off" } else { "up" };
        let waiting: Vec<String> = waiting.iter().map(|(to, count)| format!("{count} to {to}")).collect();
        let waiting = waiting.join(", ");
        let _ =
            writeln!(text, "{region:<16}{link:<12}{:>10}{epoch:>8}  {waiting}", format!("{shards} shards"));
    }
    text
}
