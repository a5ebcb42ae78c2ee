//! `@link`: which version of federation a schema speaks, and under which names.

use std::collections::HashMap;

use crate::error::Code;
use crate::report::Report;
use crate::syntax::{Directive, Value};

/// The last minor version of federation 2 that is known here.
const LAST_MINOR: u32 = 12;

/// Federation's directives with the minor version of federation 2 that brought them.
const DIRECTIVES: &[(&str, u32)] = &[
    ("key", 0),
    ("requires", 0),
    ("provides", 0),
    ("external", 0),
    ("tag", 0),
    ("extends", 0),
    ("shareable", 0),
    ("inaccessible", 0),
    ("override", 0),
    ("composeDirective", 1),
    ("interfaceObject", 3),
    ("authenticated", 5),
    ("requiresScopes", 5),
    ("policy", 6),
    ("context", 8),
    ("fromContext", 8),
    ("cost", 9),
    ("listSize", 9),
    ("cacheTag", 12),
];

/// What federation 1 had, without any `@link`.
const FEDERATION_1: &[&str] = &["key", "requires", "provides", "external", "extends", "tag", "inaccessible"];

/// Federation's scalars.
const SCALARS: &[&str] = &["FieldSet", "Scope", "Policy", "ContextFieldValue"];

/// Directives that GraphQL itself has.
const BUILT_IN: &[&str] = &["deprecated", "specifiedBy", "oneOf", "skip", "include", "defer", "stream"];

/// Directives that are specifications of their own, by the last part of their URL.
const OWN_SPECIFICATIONS: &[&str] =
    &["tag", "inaccessible", "authenticated", "requiresScopes", "policy", "cost", "listSize"];

/// What a directive's written name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Federation's directive of that name.
    Federation(&'static str),
    /// `@link` itself.
    Link,
    /// GraphQL's own.
    BuiltIn,
    /// The schema's own.
    Own,
}

/// A `@link` to anything but federation.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    /// The URL without its version.
    pub(crate) identity: String,
    pub(crate) url: String,
    pub(crate) version: (u32, u32),
    /// Names of directives here, and there.
    pub(crate) imports: Vec<(String, String)>,
    /// What stands before `__` in names that are not imported.
    pub(crate) namespace: String,
}

/// The links of one schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    /// The minor version of federation 2; none is federation 1.
    pub(crate) minor: Option<u32>,
    directives: HashMap<String, &'static str>,
    scalars: Vec<String>,
    namespaces: Vec<String>,
    pub(crate) others: Vec<Linked>,
}

impl Links {
    /// Reads the `@link`s among a schema's directives.
    pub(crate) fn read(directives: &[Directive], report: &mut Report<'_>) -> Self {
        let mut links = Self::default();
        for directive in directives.iter().filter(|directive| directive.name == "link") {
            links.read_one(directive, report);
        }
        if links.minor.is_none() {
            links.directives.extend(FEDERATION_1.iter().map(|&name| (name.to_owned(), name)));
            links.scalars.push("_FieldSet".to_owned());
        }
        links
    }

    fn read_one(&mut self, directive: &Directive, report: &mut Report<'_>) {
        let Some(url) = directive.text("url") else {
            return invalid(
                report,
                directive,
                "a @link has no url",
                "write `@link(url: \"https://specs.apollo.dev/federation/v2.9\", import: [\"@key\"])`",
            );
        };
        let Some((identity, version)) = split(url) else {
            return invalid(
                report,
                directive,
                &format!("the url {url:?} of a @link does not end in a version"),
                "end it in `/v` and a version, as in `…/federation/v2.9`",
            );
        };
        let name = identity.rsplit('/').next().unwrap_or(identity);
        let namespace = directive.text("as").unwrap_or(name).to_owned();
        let Some(imports) = imports(directive) else {
            return invalid(
                report,
                directive,
                &format!("the imports of the @link to {url} are no list of names"),
                "write `import: [\"@key\", { name: \"@shareable\", as: \"@shared\" }]`",
            );
        };
        if identity.ends_with("specs.apollo.dev/link") {
            return;
        }
        if identity.ends_with("specs.apollo.dev/connect") {
            let message = "the schema uses connectors, which are not supported";
            let help = "answer these fields from a subgraph";
            return report.error(Code::UnsupportedFeature, directive.pos, message, help);
        }
        if identity.ends_with("specs.apollo.dev/federation") {
            return self.read_federation(directive, version, namespace, imports, report);
        }
        let own = OWN_SPECIFICATIONS.iter().find(|known| **known == name);
        if let Some(known) = own.filter(|_| identity.contains("specs.apollo.dev/")) {
            self.directives.insert(namespace.clone(), known);
            for (here, there) in &imports {
                if there.trim_start_matches('@') == *known {
                    self.directives.insert(here.trim_start_matches('@').to_owned(), known);
                }
            }
        }
        self.others.push(Linked {
            identity: identity.to_owned(),
            url: url.to_owned(),
            version,
            imports,
            namespace,
        });
    }

    fn read_federation(
        &mut self,
        directive: &Directive,
        version: (u32, u32),
        namespace: String,
        imports: Vec<(String, String)>,
        report: &mut Report<'_>,
    ) {
        let minor = version.1;
        if version.0 != 2 || minor > LAST_MINOR {
            let message = format!("federation v{}.{minor} is not known", version.0);
            let help = format!("link a version from v2.0 to v2.{LAST_MINOR}");
            return report.error(Code::UnknownFederationLinkVersion, directive.pos, message, &help);
        }
        if self.minor.is_some() {
            let help = "keep one @link, with all imports";
            return invalid(report, directive, "federation is linked twice", help);
        }
        self.minor = Some(minor);
        for (known, since) in DIRECTIVES {
            if *since <= minor {
                self.directives.insert(format!("{namespace}__{known}"), known);
            }
        }
        for (here, there) in imports {
            let Some(name) = there.strip_prefix('@') else {
                if SCALARS.contains(&there.as_str()) {
                    self.scalars.push(here);
                } else {
                    let is_directive = DIRECTIVES.iter().any(|(known, _)| *known == there);
                    let help = if is_directive {
                        format!("did you mean \"@{there}\"?")
                    } else {
                        "take it out of the imports".to_owned()
                    };
                    let message = format!("federation v2.{minor} has no type {there}");
                    invalid(report, directive, &message, &help);
                }
                continue;
            };
            match DIRECTIVES.iter().find(|(known, _)| *known == name) {
                Some((known, since)) if *since <= minor => {
                    self.directives.insert(here.trim_start_matches('@').to_owned(), known);
                }
                Some((known, since)) => {
                    let message = format!("@{known} is not in federation v2.{minor}");
                    invalid(report, directive, &message, &format!("link v2.{since} or later"));
                }
                None if name == "link" => {}
                None => {
                    let message = format!("federation v2.{minor} has no {there}");
                    invalid(report, directive, &message, "take it out of the imports");
                }
            }
        }
        self.namespaces.push(namespace);
    }

    /// What a written name of a directive means.
    pub(crate) fn meaning(&self, written: &str) -> Meaning {
        if let Some(known) = self.directives.get(written) {
            Meaning::Federation(known)
        } else if written == "link" || written == "core" {
            Meaning::Link
        } else if BUILT_IN.contains(&written) {
            Meaning::BuiltIn
        } else {
            Meaning::Own
        }
    }

    /// Whether a type belongs to federation's machinery and never to the graph.
    pub(crate) fn is_machinery(&self, type_name: &str) -> bool {
        matches!(type_name, "_Any" | "_Entity" | "_Service" | "_FieldSet" | "link__Import" | "link__Purpose")
            || type_name.starts_with("federation__")
            || self.scalars.iter().any(|scalar| scalar == type_name)
            || self.namespaces.iter().any(|space| {
                type_name.strip_prefix(space.as_str()).is_some_and(|rest| rest.starts_with("__"))
            })
    }

    /// What to do about a directive that has no meaning here but is federation's under another name.
    pub(crate) fn help_for(&self, written: &str) -> Option<String> {
        let (known, since) = DIRECTIVES.iter().find(|(known, _)| *known == written)?;
        Some(match self.minor {
            None => format!(
                "link federation: `extend schema @link(url: \"https://specs.apollo.dev/federation/v2.{}\", import: [\"@{known}\"])`",
                since.max(&3)
            ),
            Some(minor) if minor < *since => {
                format!("link federation v2.{since} or later and import \"@{known}\"")
            }
            Some(_) => format!("add \"@{known}\" to the imports of the @link to federation"),
        })
    }

    /// The link that a directive of the schema's own comes by, and its name there.
    pub(crate) fn source_of(&self, written: &str) -> Option<(&Linked, String)> {
        self.others.iter().find_map(|linked| {
            let imported = linked
                .imports
                .iter()
                .find(|(here, _)| here.strip_prefix('@') == Some(written))
                .map(|(_, there)| there.trim_start_matches('@').to_owned());
            let spaced =
                written.strip_prefix(linked.namespace.as_str()).and_then(|rest| rest.strip_prefix("__"));
            let plain = (written == linked.namespace).then(|| written.to_owned());
            imported.or_else(|| spaced.map(str::to_owned)).or(plain).map(|name| (linked, name))
        })
    }
}

fn invalid(report: &mut Report<'_>, directive: &Directive, message: &str, help: &str) {
    report.error(Code::InvalidLinkDirectiveUsage, directive.pos, message, help);
}

/// The URL without its version, and the version.
fn split(url: &str) -> Option<(&str, (u32, u32))> {
    let url = url.trim_end_matches('/');
    let (identity, version) = url.rsplit_once("/v")?;
    let (major, minor) = version.split_once('.')?;
    Some((identity, (major.parse().ok()?, minor.parse().ok()?)))
}

fn imports(directive: &Directive) -> Option<Vec<(String, String)>> {
    let items = match directive.argument("import") {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(Value::List(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    items
        .iter()
        .map(|item| match item {
            Value::Text(name) => Some((name.clone(), name.clone())),
            Value::Object(fields) => {
                let get = |key: &str| {
                    fields.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_text())
                };
                let there = get("name")?;
                Some((get("as").unwrap_or(there).to_owned(), there.to_owned()))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_at_its_version() {
        assert_eq!(
            split("https://specs.apollo.dev/federation/v2.9"),
            Some(("https://specs.apollo.dev/federation", (2, 9)))
        );
        assert_eq!(split("https://a.test/x/v1.0/"), Some(("https://a.test/x", (1, 0))));
        assert_eq!(split("https://a.test/x"), None);
    }
}
