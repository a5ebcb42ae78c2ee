//! A client's document, from text to an operation that is known to be right.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use graphql_tools::parser::{
    parse_query,
    query::{
        Definition, Directive, Document, InlineFragment, OperationDefinition, Query, Selection, SelectionSet,
        TypeCondition, Value, VariableDefinition,
    },
    schema,
};
use graphql_tools::validation::{
    rules::default_rules_validation_plan,
    validate::{ValidationPlan, validate},
};

use crate::alias;
use crate::auth::Denied;
use crate::config::Limits;
use crate::error::{GraphQlError, codes};
use crate::limits;
use crate::schema::{Literal, Schema, TypeRef};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

/// A variable that an operation declares.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: TypeRef,
    pub(crate) default: Option<Literal>,
}

/// One operation of a valid document.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) kind: OperationKind,
    pub(crate) name: Option<String>,
    pub(crate) variables: Vec<Variable>,
    /// The variables that `@skip` and `@include` ask for.
    pub(crate) condition_variables: Vec<String>,
    pub(crate) selection_set: SelectionSet<'static, String>,
    pub(crate) document: Document<'static, String>,
    pub(crate) introspects: bool,
}

/// Values of the variables that `@skip` and `@include` ask for, and of the labels of `@override` (`@` before them).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions(pub(crate) HashMap<String, bool>);

impl Conditions {
    /// Whether a selection with these directives is part of the answer.
    pub(crate) fn include(&self, directives: &[Directive<'static, String>]) -> bool {
        directives.iter().all(|directive| {
            let wanted = match directive.name.as_str() {
                "skip" => false,
                "include" => true,
                _ => return true,
            };
            let value = directive.arguments.iter().find(|(name, _)| name == "if").map(|(_, value)| value);
            match value {
                Some(Value::Boolean(value)) => *value == wanted,
                Some(Value::Variable(name)) => self.0.get(name).copied().unwrap_or(!wanted) == wanted,
                _ => true,
            }
        })
    }
}

/// Validates documents against the client schema.
pub(crate) struct Validator {
    document: schema::Document<'static, String>,
    rules: ValidationPlan,
}

impl Validator {
    pub(crate) fn new(document: schema::Document<'static, String>) -> Self {
        Self { document, rules: default_rules_validation_plan() }
    }

    /// All that is wrong with a document.
    fn errors(&self, document: &Document<'static, String>) -> Vec<GraphQlError> {
        let found = catch_unwind(AssertUnwindSafe(|| validate(&self.document, document, &self.rules)));
        let Ok(found) = found else {
            return vec![GraphQlError::new(codes::VALIDATION_FAILED, "the document could not be validated")];
        };
        found
            .into_iter()
            .map(|error| {
                let mut shown = GraphQlError::new(codes::VALIDATION_FAILED, error.message);
                for at in error.locations {
                    shown = shown.at(at.line, at.column);
                }
                shown.with("rule", error.error_code)
            })
            .collect()
    }
}

/// Checks, parses and validates a document, and picks the operation to run.
pub(crate) fn parse(
    text: &str,
    operation_name: Option<&str>,
    schema: &Schema,
    validator: &Validator,
    limits: &Limits,
) -> Result<Operation, Vec<GraphQlError>> {
    limits::check_text(text, limits).map_err(|error| vec![error])?;
    let document = parse_query::<String>(text).map_err(|error| vec![parse_error(&error)])?.into_static();
    let operation = pick(&document, operation_name).map_err(|error| vec![error])?;
    let (kind, name, variables, selection_set) = parts(operation);
    limits::check_document(&document, selection_set, limits).map_err(|error| vec![error])?;
    let root = match kind {
        OperationKind::Query => Some(&schema.query),
        OperationKind::Mutation => schema.mutation.as_ref(),
        OperationKind::Subscription => schema.subscription.as_ref(),
    };
    if root.is_none() {
        let message = format!("the graph has no {}s", kind.as_str());
        return Err(vec![GraphQlError::new(codes::VALIDATION_FAILED, message)]);
    }
    let mut found = Found::default();
    for definition in &document.definitions {
        match definition {
            Definition::Operation(operation) => {
                let (_, _, variables, set) = parts(operation);
                variables.iter().filter_map(|variable| variable.default_value.as_ref()).for_each(|value| {
                    found.read_value(value);
                });
                found.read(set);
            }
            Definition::Fragment(fragment) => found.read(&fragment.selection_set),
        }
    }
    if let Some(alias) = found.reserved_alias {
        let message =
            format!("the alias {alias} starts with two underscores, which GraphQL keeps for itself");
        return Err(vec![GraphQlError::new(codes::VALIDATION_FAILED, message)]);
    }
    if found.infinite {
        let message = "a number is larger than a Float can hold";
        return Err(vec![GraphQlError::new(codes::VALIDATION_FAILED, message)]);
    }
    let errors = validator.errors(&document);
    if !errors.is_empty() {
        return Err(errors);
    }
    let variables: Vec<Variable> = variables
        .iter()
        .map(|variable: &VariableDefinition<'static, String>| Variable {
            name: variable.name.clone(),
            ty: (&variable.var_type).into(),
            default: variable.default_value.clone(),
        })
        .collect();
    let condition_variables = variables
        .iter()
        .filter(|variable| found.condition_variables.contains(&variable.name))
        .map(|variable| variable.name.clone())
        .collect();
    Ok(Operation {
        kind,
        name: name.cloned(),
        variables,
        condition_variables,
        selection_set: selection_set.clone(),
        introspects: found.introspects,
        document,
    })
}

impl OperationKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

fn parse_error(error: &graphql_tools::parser::query::ParseError) -> GraphQlError {
    let at = error.0.position;
    let text = error.to_string();
    let details: Vec<&str> = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect();
    let details = if details.is_empty() { text.clone() } else { details.join(", ") };
    GraphQlError::new(codes::PARSE_FAILED, format!("the document does not parse: {details}"))
        .at(at.line, at.column)
}

type Parts<'a> = (
    OperationKind,
    Option<&'a String>,
    &'a [VariableDefinition<'static, String>],
    &'a SelectionSet<'static, String>,
);

fn parts<'a>(operation: &'a OperationDefinition<'static, String>) -> Parts<'a> {
    match operation {
        OperationDefinition::SelectionSet(set) => (OperationKind::Query, None, &[], set),
        OperationDefinition::Query(query) => {
            (OperationKind::Query, query.name.as_ref(), &query.variable_definitions, &query.selection_set)
        }
        OperationDefinition::Mutation(mutation) => (
            OperationKind::Mutation,
            mutation.name.as_ref(),
            &mutation.variable_definitions,
            &mutation.selection_set,
        ),
        OperationDefinition::Subscription(subscription) => (
            OperationKind::Subscription,
            subscription.name.as_ref(),
            &subscription.variable_definitions,
            &subscription.selection_set,
        ),
    }
}

fn pick<'a>(
    document: &'a Document<'static, String>,
    wanted: Option<&str>,
) -> Result<&'a OperationDefinition<'static, String>, GraphQlError> {
    let mut operations = document.definitions.iter().filter_map(|definition| match definition {
        Definition::Operation(operation) => Some(operation),
        Definition::Fragment(_) => None,
    });
    let failed = |message: String| GraphQlError::new(codes::OPERATION_RESOLUTION_FAILED, message);
    match wanted {
        Some(wanted) => operations
            .find(|operation| parts(operation).1.is_some_and(|name| name == wanted))
            .ok_or_else(|| failed(format!("the document has no operation named {wanted}"))),
        None => match (operations.next(), operations.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(failed("the document has no operation".to_owned())),
            (Some(_), Some(_)) => {
                Err(failed("the document has several operations: say which by `operationName`".to_owned()))
            }
        },
    }
}

/// What one walk over a document finds.
#[derive(Default)]
struct Found {
    condition_variables: HashSet<String>,
    reserved_alias: Option<String>,
    introspects: bool,
    /// A number that no subgraph could read.
    infinite: bool,
}

impl Found {
    fn read_value(&mut self, value: &Literal) {
        match value {
            Value::Float(number) => self.infinite |= !number.is_finite(),
            Value::List(items) => items.iter().for_each(|item| self.read_value(item)),
            Value::Object(fields) => fields.iter().for_each(|(_, value)| self.read_value(value)),
            _ => {}
        }
    }

    fn read(&mut self, set: &SelectionSet<'static, String>) {
        for selection in &set.items {
            let directives = match selection {
                Selection::Field(field) => {
                    self.introspects |= matches!(field.name.as_str(), "__schema" | "__type");
                    if let Some(alias) = &field.alias
                        && alias.starts_with("__")
                    {
                        self.reserved_alias = Some(alias.clone());
                    }
                    field.arguments.iter().for_each(|(_, value)| self.read_value(value));
                    self.read(&field.selection_set);
                    &field.directives
                }
                Selection::InlineFragment(fragment) => {
                    self.read(&fragment.selection_set);
                    &fragment.directives
                }
                Selection::FragmentSpread(spread) => &spread.directives,
            };
            for directive in directives.iter().filter(|d| matches!(d.name.as_str(), "skip" | "include")) {
                for (_, value) in &directive.arguments {
                    if let Value::Variable(name) = value {
                        self.condition_variables.insert(name.clone());
                    }
                }
            }
        }
    }
}

impl Operation {
    /// The operation as the planner gets it: fragments inlined, `@skip` and `@include` decided, introspection
    /// and the root's `__typename` left out, since the gateway answers those itself.
    ///
    /// Fields that are denied are left out as well. `wants_type_name` tells of which abstract types the gateway must learn each object's type.
    /// `None` if nothing is left to ask a subgraph for.
    pub(crate) fn for_planning(
        &self,
        conditions: &Conditions,
        schema: &Schema,
        wants_type_name: &dyn Fn(&str) -> bool,
        denied: &Denied,
    ) -> Option<Document<'static, String>> {
        let root = match self.kind {
            OperationKind::Query => Some(&schema.query),
            OperationKind::Mutation => schema.mutation.as_ref(),
            OperationKind::Subscription => schema.subscription.as_ref(),
        }?;
        let inliner = Inliner {
            fragments: limits::fragments(&self.document),
            conditions,
            schema,
            wants_type_name,
            denied,
        };
        let items = inliner.items(&self.selection_set, root, true);
        if items.is_empty() {
            return None;
        }
        let selection_set = SelectionSet { span: self.selection_set.span, items };
        let mut operation = self.document.definitions.iter().find_map(|definition| match definition {
            Definition::Operation(operation) if parts(operation).1 == self.name.as_ref() => {
                Some(operation.clone())
            }
            _ => None,
        })?;
        match &mut operation {
            OperationDefinition::SelectionSet(set) => *set = selection_set,
            OperationDefinition::Query(Query { selection_set: set, directives, .. }) => {
                *set = selection_set;
                directives.clear();
            }
            OperationDefinition::Mutation(mutation) => {
                mutation.selection_set = selection_set;
                mutation.directives.clear();
            }
            OperationDefinition::Subscription(subscription) => {
                subscription.selection_set = selection_set;
                subscription.directives.clear();
            }
        }
        Some(Document { definitions: vec![Definition::Operation(operation)] })
    }
}

struct Inliner<'a> {
    fragments: HashMap<&'a str, &'a graphql_tools::parser::query::FragmentDefinition<'static, String>>,
    conditions: &'a Conditions,
    schema: &'a Schema,
    wants_type_name: &'a dyn Fn(&str) -> bool,
    denied: &'a Denied,
}

impl Inliner<'_> {
    fn items(
        &self,
        set: &SelectionSet<'static, String>,
        parent: &str,
        is_root: bool,
    ) -> Vec<Selection<'static, String>> {
        let mut items = Vec::with_capacity(set.items.len());
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    let answered_here = matches!(field.name.as_str(), "__schema" | "__type")
                        || (is_root && field.name == "__typename");
                    let is_denied = || {
                        let of = |(ty, name): &(String, String)| ty == parent && *name == field.name;
                        self.denied.iter().any(of)
                    };
                    if answered_here || !self.conditions.include(&field.directives) || is_denied() {
                        continue;
                    }
                    let mut planned = field.clone();
                    planned.directives.clear();
                    planned.alias = alias::towards_subgraphs(field, self.schema);
                    if planned.name == "__typename" {
                        // The gateway reads types under their own name.
                        planned.alias = None;
                        if items.iter().any(is_plain_type_name) {
                            continue;
                        }
                    }
                    let ty = self
                        .schema
                        .get(parent)
                        .and_then(|def| def.field(&field.name))
                        .map(|def| def.ty.name());
                    if let Some(ty) = ty
                        && self.schema.get(ty).is_some_and(crate::schema::TypeDef::is_composite)
                    {
                        planned.selection_set.items = self.items(&field.selection_set, ty, false);
                        let abstract_type =
                            self.schema.get(ty).is_some_and(crate::schema::TypeDef::is_abstract);
                        let lacks_type_name = !planned.selection_set.items.iter().any(is_plain_type_name);
                        let wanted = abstract_type && (self.wants_type_name)(ty) && lacks_type_name;
                        if wanted || planned.selection_set.items.is_empty() {
                            planned.selection_set.items.push(type_name_field(field));
                        }
                    }
                    items.push(Selection::Field(planned));
                }
                Selection::InlineFragment(fragment) => {
                    if !self.conditions.include(&fragment.directives) {
                        continue;
                    }
                    let on = match &fragment.type_condition {
                        Some(TypeCondition::On(name)) => name.as_str(),
                        None => parent,
                    };
                    let inner = self.items(&fragment.selection_set, on, is_root);
                    if !inner.is_empty() {
                        items.push(inline(on, inner, fragment));
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()) else { continue };
                    if !self.conditions.include(&spread.directives) {
                        continue;
                    }
                    let TypeCondition::On(on) = &fragment.type_condition;
                    let inner = self.items(&fragment.selection_set, on, is_root);
                    if !inner.is_empty() {
                        let shell = InlineFragment {
                            position: spread.position,
                            type_condition: None,
                            directives: Vec::new(),
                            selection_set: SelectionSet {
                                span: fragment.selection_set.span,
                                items: Vec::new(),
                            },
                        };
                        items.push(inline(on, inner, &shell));
                    }
                }
            }
        }
        items
    }
}

fn inline(
    on: &str,
    items: Vec<Selection<'static, String>>,
    like: &InlineFragment<'static, String>,
) -> Selection<'static, String> {
    Selection::InlineFragment(InlineFragment {
        position: like.position,
        type_condition: Some(TypeCondition::On(on.to_owned())),
        directives: Vec::new(),
        selection_set: SelectionSet { span: like.selection_set.span, items },
    })
}

fn is_plain_type_name(selection: &Selection<'static, String>) -> bool {
    matches!(selection, Selection::Field(field) if field.name == "__typename" && field.alias.is_none())
}

fn type_name_field(
    like: &graphql_tools::parser::query::Field<'static, String>,
) -> Selection<'static, String> {
    let mut field = like.clone();
    "__typename".clone_into(&mut field.name);
    field.alias = None;
    field.arguments = Vec::new();
    field.directives = Vec::new();
    field.selection_set = SelectionSet { span: like.selection_set.span, items: Vec::new() };
    Selection::Field(field)
}
