//! The page about events and commands, for people: who publishes, who consumes, which fields they read.

use super::asyncapi::summary;
use super::readers::Reader;
use contracts::published::{Contract, all};
use micrograph::manifest::Manifest;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The file, in the folder `events`.
pub const FILE: &str = "README.md";

/// The page.
pub fn written(manifests: &[Manifest], readers: &[Reader]) -> String {
    let contracts = all();
    let mut text = String::from(
        "# Events and commands\n\n\
         What the micrographs say to one another, written by `UPDATE_CONTRACTS=1 cargo test -p suite-tests --test contracts` \
         from the code. Each event and command has a JSON Schema and an example of the whole envelope; `released/` holds each \
         version that was ever released. For machines: [asyncapi.json](asyncapi.json), [readers.json](readers.json).\n\n",
    );
    text.push_str(&drawing(manifests));
    for manifest in manifests {
        let own: Vec<&Contract> = contracts.iter().filter(|it| it.domain == manifest.micrograph).collect();
        let (events, commands): (Vec<&Contract>, Vec<&Contract>) =
            own.iter().partition(|it| it.kind.is_some());
        if own.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {}\n", manifest.micrograph);
        for contract in events {
            event(&mut text, contract, readers);
        }
        if !commands.is_empty() {
            text.push_str("| command | carries out |\n|---|---|\n");
            for contract in commands {
                let _ = writeln!(text, "| {} | {} |", linked(contract), summary(contract));
            }
        }
    }
    text
}

/// An arrow from each domain to each of those that project its events.
fn drawing(manifests: &[Manifest]) -> String {
    let mut text = String::from("```mermaid\nflowchart LR\n");
    for manifest in manifests {
        let mut by_domain: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for consumed in &manifest.consumes {
            let (domain, name) = consumed.split_once('.').unwrap_or_default();
            if domain != manifest.micrograph {
                by_domain.entry(domain).or_default().insert(name);
            }
        }
        for (domain, names) in by_domain {
            let names: Vec<&str> = names.into_iter().collect();
            let _ = writeln!(text, "    {domain} -- \"{}\" --> {}", names.join("<br>"), manifest.micrograph);
        }
    }
    text + "```\n"
}

fn event(text: &mut String, contract: &Contract, readers: &[Reader]) {
    let kind = contract.kind.map(|kind| format!("{kind:?}")).unwrap_or_default();
    let _ = writeln!(text, "### {} v{}\n", contract.name, contract.major);
    let folder = format!("{}/{}/v{}", contract.domain, contract.name, contract.major);
    let _ = writeln!(
        text,
        "{} *{kind}*; [schema]({folder}.schema.json), [example]({folder}.example.json).\n",
        summary(contract)
    );
    let name = format!("{}.{}", contract.domain, contract.name);
    let of_event: Vec<&Reader> =
        readers.iter().filter(|it| it.event == name && it.major == contract.major).collect();
    if of_event.is_empty() {
        text.push_str("Nobody reads it.\n\n");
        return;
    }
    text.push_str("| read by | fields | shown as |\n|---|---|---|\n");
    for reader in of_event {
        for (projection, fields) in &reader.projections {
            let read: Vec<String> = fields.keys().map(|field| format!("`{field}`")).collect();
            let shown: BTreeSet<&str> = fields
                .keys()
                .filter_map(|field| reader.graph.get(field))
                .flatten()
                .map(String::as_str)
                .collect();
            let shown: Vec<String> = shown.into_iter().map(|field| format!("`{field}`")).collect();
            let _ = writeln!(
                text,
                "| {}.{projection} | {} | {} |",
                reader.micrograph,
                read.join(" "),
                shown.join(" ")
            );
        }
    }
    text.push('\n');
}

fn linked(contract: &Contract) -> String {
    let Contract { domain, name, major, .. } = contract;
    format!("[{name} v{major}]({domain}/{name}/v{major}.schema.json)")
}
