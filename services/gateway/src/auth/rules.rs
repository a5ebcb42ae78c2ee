//! What a schema asks of who wants to see a field.

use std::collections::{BTreeSet, HashMap};

use graphql_tools::parser::query::{Directive, Selection, SelectionSet, TypeCondition, Value};
use graphql_tools::parser::schema::{Definition, Document, TypeDefinition};

use super::{Claims, Policies};
use crate::error::{GraphQlError, PathSegment, codes};
use crate::limits;
use crate::operation::{Conditions, Operation, OperationKind};
use crate::schema::{Schema, TypeRef};

/// What is asked: each list in `scopes` and `policies` is one way to fulfil it, all of its names together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    authenticated: bool,
    scopes: Vec<Vec<String>>,
    policies: Vec<Vec<String>>,
}

/// What a schema asks, by type and by field.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    types: HashMap<String, Asked>,
    fields: HashMap<(String, String), Asked>,
}

/// Fields that the one who asks may not see, as (type, field).
pub(crate) type Denied = BTreeSet<(String, String)>;

/// The directives' specifications: what their URL ends in before the version.
const SPECS: [&str; 3] = ["authenticated", "requiresScopes", "policy"];

impl Rules {
    /// Reads them from a supergraph.
    pub(crate) fn of(supergraph: &Document<'static, String>) -> Self {
        let names = names(supergraph);
        let mut rules = Self::default();
        for definition in &supergraph.definitions {
            let Definition::TypeDefinition(definition) = definition else { continue };
            let (name, directives, fields) = match definition {
                TypeDefinition::Object(def) => (&def.name, &def.directives, def.fields.as_slice()),
                TypeDefinition::Interface(def) => (&def.name, &def.directives, def.fields.as_slice()),
                TypeDefinition::Scalar(def) => (&def.name, &def.directives, [].as_slice()),
                TypeDefinition::Enum(def) => (&def.name, &def.directives, [].as_slice()),
                TypeDefinition::Union(_) | TypeDefinition::InputObject(_) => continue,
            };
            if let Some(asked) = asked(directives, &names) {
                rules.types.insert(name.clone(), asked);
            }
            for field in fields {
                if let Some(asked) = asked(&field.directives, &names) {
                    rules.fields.insert((name.clone(), field.name.clone()), asked);
                }
            }
        }
        rules
    }

    /// Whether anything is guarded.
    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty() && self.fields.is_empty()
    }

    /// Whether an operation selects anything that is guarded, and what of it the one who asks may not see, with an
    /// error for each place.
    pub(crate) fn check(
        &self,
        operation: &Operation,
        conditions: &Conditions,
        schema: &Schema,
        claims: Option<&Claims>,
        policies: &dyn Policies,
    ) -> (bool, Denied, Vec<GraphQlError>) {
        let root = match operation.kind {
            OperationKind::Query => Some(&schema.query),
            OperationKind::Mutation => schema.mutation.as_ref(),
            OperationKind::Subscription => schema.subscription.as_ref(),
        };
        let mut walk = Walk {
            rules: self,
            schema,
            conditions,
            fragments: limits::fragments(&operation.document),
            claims,
            policies,
            guarded: false,
            denied: Denied::new(),
            errors: Vec::new(),
        };
        if let Some(root) = root {
            walk.set(&operation.selection_set, root, &mut Vec::new(), true);
        }
        (walk.guarded, walk.denied, walk.errors)
    }
}

struct Walk<'a> {
    rules: &'a Rules,
    schema: &'a Schema,
    conditions: &'a Conditions,
    fragments: HashMap<&'a str, &'a graphql_tools::parser::query::FragmentDefinition<'static, String>>,
    claims: Option<&'a Claims>,
    policies: &'a dyn Policies,
    guarded: bool,
    denied: Denied,
    errors: Vec<GraphQlError>,
}

impl Walk<'_> {
    /// `path` is the way to the objects of this set; `exact` is whether it names one place, and no list is on it.
    fn set(
        &mut self,
        set: &SelectionSet<'static, String>,
        parent: &str,
        path: &mut Vec<String>,
        exact: bool,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) if self.conditions.include(&field.directives) => {
                    let Some(def) = self.schema.get(parent).and_then(|def| def.field(&field.name)) else {
                        continue;
                    };
                    let (ty, is_list) = (def.ty.name().to_owned(), is_list(&def.ty));
                    let key = field.alias.as_ref().unwrap_or(&field.name);
                    if exact {
                        path.push(key.clone());
                    }
                    if self.sees(parent, &field.name, &ty) {
                        self.set(&field.selection_set, &ty, path, exact && !is_list);
                    } else {
                        self.denied.insert((parent.to_owned(), field.name.clone()));
                        let place = path.iter().cloned().map(PathSegment::Key).collect();
                        let message = format!("{parent}.{} may not be seen without more rights", field.name);
                        let error = GraphQlError::new(codes::UNAUTHORIZED_FIELD_OR_TYPE, message);
                        self.errors.push(error.at_path(place));
                    }
                    if exact {
                        path.pop();
                    }
                }
                Selection::InlineFragment(fragment) if self.conditions.include(&fragment.directives) => {
                    let on = match &fragment.type_condition {
                        Some(TypeCondition::On(name)) => name.as_str(),
                        None => parent,
                    };
                    self.set(&fragment.selection_set, on, path, exact);
                }
                Selection::FragmentSpread(spread) if self.conditions.include(&spread.directives) => {
                    if let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()).copied() {
                        let TypeCondition::On(on) = &fragment.type_condition;
                        self.set(&fragment.selection_set, on, path, exact);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the one who asks may see a field: by its own rule, that of its type, and, through an interface or a
    /// union, those of all that may stand behind it.
    fn sees(&mut self, parent: &str, field: &str, ty: &str) -> bool {
        let possible = |name: &str| self.schema.get(name).map(|def| def.possible.clone()).unwrap_or_default();
        let parents = possible(parent).into_iter().chain([parent.to_owned()]);
        let types = possible(ty).into_iter().chain([ty.to_owned()]);
        let fields = parents.flat_map(|parent| {
            let own = self.rules.types.get(&parent);
            own.into_iter().chain(self.rules.fields.get(&(parent, field.to_owned())))
        });
        let asked: Vec<&Asked> = fields.chain(types.filter_map(|ty| self.rules.types.get(&ty))).collect();
        self.guarded |= !asked.is_empty();
        asked.into_iter().all(|asked| asked.is_fulfilled(self.claims, self.policies))
    }
}

impl Asked {
    fn is_fulfilled(&self, claims: Option<&Claims>, policies: &dyn Policies) -> bool {
        let nobody = Claims::default();
        let of = claims.unwrap_or(&nobody);
        let scopes = of.scopes();
        let one_of = |ways: &[Vec<String>], fulfils: &dyn Fn(&str) -> bool| {
            ways.is_empty() || ways.iter().any(|way| way.iter().all(|name| fulfils(name)))
        };
        (!self.authenticated || claims.is_some())
            && one_of(&self.scopes, &|scope| scopes.contains(scope))
            && one_of(&self.policies, &|policy| policies.grants(of, policy))
    }
}

/// By which names the directives stand in this supergraph: `@link` may have given them others.
fn names(supergraph: &Document<'static, String>) -> [String; 3] {
    let mut names = SPECS.map(str::to_owned);
    for definition in &supergraph.definitions {
        let Definition::SchemaDefinition(schema) = definition else { continue };
        for link in schema.directives.iter().filter(|directive| directive.name == "link") {
            let text = |name: &str| crate::supergraph::argument(link, name);
            let Some(url) = text("url") else { continue };
            let spec = url.rsplit('/').nth(1).unwrap_or_default();
            if let (Some(at), Some(name)) = (SPECS.iter().position(|known| *known == spec), text("as")) {
                name.clone_into(&mut names[at]);
            }
        }
    }
    names
}

fn asked(directives: &[Directive<'static, String>], names: &[String; 3]) -> Option<Asked> {
    let [authenticated, scopes, policy] = names;
    let mut asked = Asked::default();
    for directive in directives {
        if directive.name == *authenticated {
            asked.authenticated = true;
        } else if directive.name == *scopes {
            asked.scopes.extend(ways(directive, "scopes"));
        } else if directive.name == *policy {
            asked.policies.extend(ways(directive, "policies"));
        }
    }
    (asked != Asked::default()).then_some(asked)
}

/// A list of lists of names. One that can't be read can't be fulfilled: what is guarded stays guarded.
fn ways(directive: &Directive<'static, String>, argument: &str) -> Vec<Vec<String>> {
    let value = directive.arguments.iter().find(|(name, _)| name == argument).map(|(_, value)| value);
    let nobody = || vec![vec![String::new()]];
    let Some(Value::List(ways)) = value else { return nobody() };
    let ways: Option<Vec<Vec<String>>> = ways
        .iter()
        .map(|way| match way {
            Value::List(names) => names
                .iter()
                .map(|name| match name {
                    Value::String(name) => Some(name.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        })
        .collect();
    ways.filter(|ways| !ways.is_empty()).unwrap_or_else(nobody)
}

fn is_list(ty: &TypeRef) -> bool {
    match ty {
        TypeRef::Named(_) => false,
        TypeRef::List(_) => true,
        TypeRef::NonNull(inner) => is_list(inner),
    }
}
