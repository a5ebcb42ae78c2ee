//! From files to contracts.

use super::{Contract, Contracts, Form, Id, Unreadable};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the name of a file says.
struct Name {
    id: Id,
    minor: Option<u16>,
    what: What,
}

#[derive(PartialEq)]
enum What {
    Schema,
    Example,
    Retired,
}

pub(super) fn contracts(files: BTreeMap<String, String>) -> Result<Contracts, Unreadable> {
    let mut all: BTreeMap<Id, Contract> = BTreeMap::new();
    for (path, text) in &files {
        let parts: Vec<&str> = path.split('/').collect();
        // What stands beside the domains' folders is about all of them.
        if parts.len() < 3 {
            continue;
        }
        let name = name(&parts).ok_or_else(|| Unreadable::Stray { path: path.clone() })?;
        let contract = all.entry(name.id.clone()).or_default();
        match name.what {
            What::Retired => {
                let value = json(path, text)?;
                contract.retired = Some(value["why"].as_str().unwrap_or_default().to_owned());
            }
            What::Schema => {
                let beside = path.replace(".schema.json", ".example.json");
                let alone = || Unreadable::Alone { path: beside.clone(), beside: path.clone() };
                let example = json(&beside, files.get(&beside).ok_or_else(alone)?)?;
                let form = Form::new(json(path, text)?, example);
                match name.minor {
                    None => contract.today = Some(form),
                    Some(minor) => _ = contract.released.insert(minor, form),
                }
            }
            What::Example => {
                let beside = path.replace(".example.json", ".schema.json");
                if !files.contains_key(&beside) {
                    return Err(Unreadable::Alone { path: beside, beside: path.clone() });
                }
            }
        }
    }
    if all.is_empty() { Err(Unreadable::Empty) } else { Ok(Contracts { all, files }) }
}

fn json(path: &str, text: &str) -> Result<Value, Unreadable> {
    serde_json::from_str(text)
        .map_err(|error| Unreadable::NotJson { path: path.to_owned(), why: error.to_string() })
}

fn name(parts: &[&str]) -> Option<Name> {
    let (domain, name, released, file) = match parts {
        [domain, name, file] => (domain, name, false, file),
        [domain, name, "released", file] => (domain, name, true, file),
        _ => return None,
    };
    let mut words = file.strip_prefix('v')?.strip_suffix(".json")?.split('.');
    let major = words.next()?.parse().ok()?;
    let minor = if released { Some(words.next()?.parse().ok()?) } else { None };
    let what = match words.next()? {
        "schema" => What::Schema,
        "example" => What::Example,
        "retired" if !released => What::Retired,
        _ => return None,
    };
    let id = Id { domain: (*domain).to_owned(), name: (*name).to_owned(), major };
    words.next().is_none().then_some(Name { id, minor, what })
}
