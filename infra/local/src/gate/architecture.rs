//! The map of the suite: who decides, publishes, consumes and keeps what, and which crate stands on which.

use anyhow::Context as _;
use micrograph::manifest::Manifest;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The file, from the repository's root.
pub const FILE: &str = "tests/architecture.golden";

/// The map, as text.
pub fn map(manifests: &[Manifest]) -> String {
    let mut text = String::new();
    for manifest in manifests {
        let tables: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
        let _ = writeln!(text, "{}", manifest.micrograph);
        let mut line = |what: &str, values: &[String]| {
            let _ = writeln!(text, "  {what:<10} {}", values.join(", "));
        };
        let strings = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        line("decides", &strings(&manifest.decides));
        line("publishes", &manifest.publishes);
        line("consumes", &manifest.consumes);
        line("tables", &strings(&tables));
    }
    text
}

/// What is wrong with who publishes and consumes what.
pub fn loose_ends(manifests: &[Manifest]) -> Vec<String> {
    let mut loose = Vec::new();
    let published: BTreeSet<&String> = manifests.iter().flat_map(|it| &it.publishes).collect();
    for manifest in manifests {
        let micrograph = manifest.micrograph;
        for event in &manifest.consumes {
            let versions = format!("{event}.v");
            if !published.iter().any(|it| it.starts_with(&versions)) {
                loose.push(format!("{micrograph} consumes {event}, which nobody publishes"));
            }
        }
        for event in manifest.publishes.iter().filter(|it| !it.starts_with(&format!("{micrograph}."))) {
            loose.push(format!("{micrograph} publishes {event}, which is another domain's"));
        }
    }
    let by_name: BTreeMap<&str, &Manifest> = manifests.iter().map(|it| (it.micrograph, it)).collect();
    let all = contracts::published::all();
    for contract in &all {
        let name = format!("{}.{}.v{}", contract.domain, contract.name, contract.major);
        let declared = by_name.get(contract.domain).is_some_and(|manifest| match contract.kind {
            // One that is no longer published is still in archives, from which a later one reads it.
            Some(_) => {
                manifest.publishes.contains(&name)
                    || all.iter().any(|later| {
                        (later.domain, later.name) == (contract.domain, contract.name)
                            && (later.upcasts)().contains(&contract.major)
                    })
            }
            None => manifest.decides.contains(&contract.name),
        });
        if !declared {
            let what = if contract.kind.is_some() { "publishes" } else { "decides" };
            loose.push(format!("nobody {what} {name}, though it is in the published language"));
        }
    }
    loose
}

/// The crates of a folder of the repository.
fn crates(root: &Path, folder: &str) -> anyhow::Result<Vec<String>> {
    let path = root.join(folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("{} can't be read", path.display()))? {
        let entry = entry?.path();
        if entry.join("Cargo.toml").exists() {
            names.extend(entry.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The crates that a crate's manifest names under `[dependencies]`.
fn dependencies(folder: &Path) -> anyhow::Result<Vec<String>> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))?;
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    Ok(section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect())
}

/// How many crates there are, and which stand on what they may not: services meet in contracts only, shared crates know no
/// service, and the published language stands on nothing of ours.
pub fn couplings(root: &Path) -> anyhow::Result<(usize, Vec<(String, String)>)> {
    let (services, shared) = (crates(root, "services")?, crates(root, "shared")?);
    let mut wrong = Vec::new();
    let all =
        services.iter().map(|name| ("services", name)).chain(shared.iter().map(|name| ("shared", name)));
    for (folder, name) in all {
        let path = format!("{folder}/{name}");
        for dependency in dependencies(&root.join(&path))? {
            let coupled =
                services.contains(&dependency) || (name == "contracts" && shared.contains(&dependency));
            if coupled {
                wrong.push((path.clone(), dependency));
            }
        }
    }
    Ok((services.len() + shared.len(), wrong))
}
