//! What only the merged types show: interfaces that are not implemented, and hidden parts that can be seen.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Code, HintCode, Location};
use crate::merge::{Merged, Overrides};
use crate::report::{Findings, listed, location};
use crate::subgraph::Schema;
use crate::syntax::{Directive, Field, Kind, TypeDefinition, Value};
use crate::types::is_subtype_in;

/// Checks the merged types.
pub(crate) fn check(schemas: &[Schema], merged: &Merged, overrides: &Overrides, findings: &mut Findings) {
    let mut checker = Checker { schemas, merged, findings };
    for ty in merged.types.values() {
        checker.interfaces(ty);
        checker.runtime_types(ty, overrides);
        checker.visible(ty);
    }
    if let Some(query) = merged.types.get("Query")
        && is_hidden(&query.directives)
    {
        checker.error(
            Code::QueryRootTypeInaccessible,
            "Query",
            None,
            "the query root is @inaccessible",
            "take the @inaccessible out: clients need something to query",
        );
    }
}

struct Checker<'a> {
    schemas: &'a [Schema],
    merged: &'a Merged,
    findings: &'a mut Findings,
}

fn is_hidden(directives: &[Directive]) -> bool {
    directives.iter().any(|directive| directive.name == "inaccessible")
}

impl Checker<'_> {
    fn error(
        &mut self,
        code: Code,
        ty: &str,
        member: Option<&str>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let locations = self.places(ty, member);
        self.findings.error(code, locations, message, help);
    }

    /// Where a type, or a member of it, is in the subgraphs.
    fn places(&self, ty: &str, member: Option<&str>) -> Vec<Location> {
        self.schemas
            .iter()
            .filter_map(|schema| {
                let ty = schema.types.get(ty)?;
                let pos = match member {
                    None => ty.name.pos,
                    Some(member) => ty
                        .fields
                        .get(member)
                        .map(|field| field.name.pos)
                        .or_else(|| ty.inputs.get(member).map(|input| input.name.pos))
                        .or_else(|| ty.values.get(member).map(|value| value.name.pos))?,
                };
                Some(location(&schema.name, pos))
            })
            .collect()
    }

    fn is_type_hidden(&self, name: &str) -> bool {
        self.merged.types.get(name).is_some_and(|ty| is_hidden(&ty.directives))
    }

    fn interfaces(&mut self, ty: &TypeDefinition) {
        for interface in ty.interfaces.iter().filter_map(|name| self.merged.types.get(&name.text)) {
            for wanted in &interface.fields {
                self.implemented(ty, interface, wanted);
            }
        }
    }

    fn implemented(&mut self, ty: &TypeDefinition, interface: &TypeDefinition, wanted: &Field) {
        let (name, of, field_name) = (&ty.name.text, &interface.name.text, &wanted.name.text);
        let Some(field) = ty.fields.iter().find(|field| field.name.text == *field_name) else {
            let having: Vec<&str> = self
                .schemas
                .iter()
                .filter(|schema| schema.types.get(of).is_some_and(|ty| ty.fields.contains_key(field_name)))
                .map(|schema| schema.name.as_str())
                .collect();
            let implementing: Vec<&str> = self
                .schemas
                .iter()
                .filter(|schema| schema.types.get(name).is_some_and(|ty| ty.interfaces.contains_key(of)))
                .map(|schema| schema.name.as_str())
                .collect();
            let mut locations = self.places(of, Some(field_name));
            locations.extend(self.places(name, None));
            let message = format!(
                "{of} has the field {field_name} in {}, but {name}, which implements it in {}, has it nowhere",
                listed(&having),
                listed(&implementing)
            );
            let help = format!("add `{field_name}: {}` to {name} in some subgraph", wanted.ty);
            return self.findings.error(Code::InterfaceFieldNoImplem, locations, message, help);
        };
        let is_part = |sub: &str, sup: &str| self.merged.hierarchy.is_part(sub, sup);
        if !is_subtype_in(&field.ty, &wanted.ty, &is_part) {
            let mut locations = self.places(name, Some(field_name));
            locations.extend(self.places(of, Some(field_name)));
            self.findings.error(
                Code::InterfaceFieldNoImplem,
                locations,
                format!(
                    "put together, {name}.{field_name} is of type {}, but its interface {of} says {}",
                    field.ty, wanted.ty
                ),
                format!(
                    "make {of}.{field_name} {} in all subgraphs, or {name}.{field_name} {}",
                    field.ty, wanted.ty
                ),
            );
        }
        if is_hidden(&field.directives)
            && !is_hidden(&wanted.directives)
            && !is_hidden(&interface.directives)
            && !is_hidden(&ty.directives)
        {
            self.error(
                Code::ImplementedByInaccessible,
                name,
                Some(field_name),
                format!(
                    "{name}.{field_name} is @inaccessible, but {of}.{field_name}, which it implements, is not"
                ),
                format!("make {of}.{field_name} @inaccessible too"),
            );
        }
        let hidden_arguments = field.arguments.iter().filter(|argument| is_hidden(&argument.directives));
        for argument in hidden_arguments {
            let of_interface = wanted.arguments.iter().find(|known| known.name.text == argument.name.text);
            if of_interface.is_some_and(|known| !is_hidden(&known.directives)) {
                self.error(
                    Code::ImplementedByInaccessible,
                    name,
                    Some(field_name),
                    format!(
                        "the argument {} of {name}.{field_name} is @inaccessible, but that of {of} is not",
                        argument.name.text
                    ),
                    "hide both",
                );
            }
        }
    }

    /// A field that several subgraphs resolve to an interface or union returns the same kinds of object in each.
    fn runtime_types(&mut self, ty: &TypeDefinition, overrides: &Overrides) {
        if ty.kind != Kind::Object {
            return;
        }
        for field in &ty.fields {
            let of = field.ty.name();
            if !self.merged.types.get(of).is_some_and(|ty| matches!(ty.kind, Kind::Interface | Kind::Union)) {
                continue;
            }
            let mut returned: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (index, schema) in self.schemas.iter().enumerate() {
                let Some(own) =
                    schema.types.get(&ty.name.text).and_then(|ty| ty.fields.get(&field.name.text))
                else {
                    continue;
                };
                let is_resolved =
                    !own.is_external() && !overrides.is_moved(index, &ty.name.text, &field.name.text);
                let is_object = schema.types.get(own.ty.name()).is_some_and(|ty| ty.is_interface_object);
                if is_resolved && !is_object {
                    let mut possible = schema.possible(own.ty.name());
                    possible.sort_unstable();
                    returned.insert(&schema.name, possible);
                }
            }
            let Some(first) = returned.values().next().cloned() else { continue };
            if returned.values().all(|possible| *possible == first) {
                continue;
            }
            let common: Vec<&str> = first
                .into_iter()
                .filter(|name| returned.values().all(|possible| possible.contains(name)))
                .collect();
            let place = format!("{}.{}", ty.name.text, field.name.text);
            let said: Vec<String> = returned
                .iter()
                .map(|(subgraph, possible)| format!("{} in {subgraph}", listed(possible)))
                .collect();
            let locations = self.places(&ty.name.text, Some(&field.name.text));
            if common.is_empty() {
                self.findings.error(
                    Code::ShareableHasMismatchedRuntimeTypes,
                    locations,
                    format!("{place} returns {}: nothing that both know", listed(&said)),
                    "a shared field gives the same in all subgraphs: let them return a type in common, or rename one",
                );
            } else {
                self.findings.hint(
                    HintCode::InconsistentRuntimeTypesForShareableReturn,
                    locations,
                    format!(
                        "{place} returns {}; all must resolve it to one of {}",
                        listed(&said),
                        listed(&common)
                    ),
                );
            }
        }
    }

    /// What clients see refers to nothing hidden, and is not empty.
    fn visible(&mut self, ty: &TypeDefinition) {
        let name = &ty.name.text;
        if is_hidden(&ty.directives) {
            return;
        }
        let members: HashMap<&str, bool> = match ty.kind {
            Kind::Scalar => return,
            Kind::Object | Kind::Interface => ty
                .fields
                .iter()
                .map(|field| (field.name.text.as_str(), is_hidden(&field.directives)))
                .collect(),
            Kind::Union => ty
                .members
                .iter()
                .map(|member| (member.text.as_str(), self.is_type_hidden(&member.text)))
                .collect(),
            Kind::Enum => ty
                .values
                .iter()
                .map(|value| (value.name.text.as_str(), is_hidden(&value.directives)))
                .collect(),
            Kind::Input => ty
                .inputs
                .iter()
                .map(|input| (input.name.text.as_str(), is_hidden(&input.directives)))
                .collect(),
        };
        if !members.is_empty() && members.values().all(|hidden| *hidden) {
            self.error(
                Code::OnlyInaccessibleChildren,
                name,
                None,
                format!("all of {name} is @inaccessible, but {name} itself is not"),
                format!("make {name} @inaccessible, or leave something of it visible"),
            );
        }
        for field in ty.fields.iter().filter(|field| !is_hidden(&field.directives)) {
            let place = format!("{name}.{}", field.name.text);
            self.referred(name, &field.name.text, &place, field.ty.name());
            for argument in &field.arguments {
                let place = format!("the argument {} of {place}", argument.name.text);
                if is_hidden(&argument.directives) {
                    if argument.is_required() {
                        self.required(name, &field.name.text, &place);
                    }
                    continue;
                }
                self.referred(name, &field.name.text, &place, argument.ty.name());
                self.default(name, &field.name.text, &place, argument.ty.name(), argument.default.as_ref());
            }
        }
        for input in &ty.inputs {
            let place = format!("{name}.{}", input.name.text);
            if is_hidden(&input.directives) {
                if input.is_required() {
                    self.required(name, &input.name.text, &place);
                }
                continue;
            }
            self.referred(name, &input.name.text, &place, input.ty.name());
            self.default(name, &input.name.text, &place, input.ty.name(), input.default.as_ref());
        }
    }

    fn referred(&mut self, ty: &str, member: &str, place: &str, of: &str) {
        if self.is_type_hidden(of) {
            self.error(
                Code::ReferencedInaccessible,
                ty,
                Some(member),
                format!("{place} is of the @inaccessible type {of}, but visible itself"),
                format!("make {place} @inaccessible too, or {of} visible"),
            );
        }
    }

    fn required(&mut self, ty: &str, member: &str, place: &str) {
        self.error(
            Code::RequiredInaccessible,
            ty,
            Some(member),
            format!("{place} is @inaccessible, but required: no client could call it"),
            "make it optional, or visible",
        );
    }

    fn default(&mut self, ty: &str, member: &str, place: &str, of: &str, default: Option<&Value>) {
        if let Some(hidden) = default.and_then(|value| self.hidden_in(of, value)) {
            self.error(
                Code::DefaultValueUsesInaccessible,
                ty,
                Some(member),
                format!("the default of {place} uses {hidden}, which is @inaccessible"),
                "take it out of the default, or make it visible",
            );
        }
    }

    /// The first hidden thing in a literal.
    fn hidden_in(&self, of: &str, value: &Value) -> Option<String> {
        match value {
            Value::List(items) => items.iter().find_map(|item| self.hidden_in(of, item)),
            Value::Enum(name) => {
                let ty = self.merged.types.get(of)?;
                let value = ty.values.iter().find(|value| value.name.text == *name)?;
                is_hidden(&value.directives).then(|| format!("{of}.{name}"))
            }
            Value::Object(fields) => {
                let ty = self.merged.types.get(of)?;
                fields.iter().find_map(|(name, value)| {
                    let input = ty.inputs.iter().find(|input| input.name.text == *name)?;
                    if is_hidden(&input.directives) {
                        return Some(format!("{of}.{name}"));
                    }
                    self.hidden_in(input.ty.name(), value)
                })
            }
            _ => None,
        }
    }
}
