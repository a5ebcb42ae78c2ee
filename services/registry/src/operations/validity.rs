//! Whether an operation is right by a schema.

use crate::schema::{SCALARS, Schema};
use graphql_tools::parser::query::parse_query;
use graphql_tools::parser::schema::{Document, parse_schema};
use graphql_tools::validation::rules::{
    FieldsOnCorrectType, FragmentsOnCompositeTypes, KnownArgumentNames, KnownDirectives, KnownTypeNames,
    LeafFieldSelections, PossibleFragmentSpreads, ProvidedRequiredArguments, UniqueDirectivesPerLocation,
    ValuesOfCorrectType, VariablesAreInputTypes, VariablesInAllowedPosition,
};
use graphql_tools::validation::validate::{ValidationPlan, validate};

/// What operations are held against.
pub(crate) struct Validator {
    schema: Document<'static, String>,
    plan: ValidationPlan,
}

impl Validator {
    /// A validator of what clients see. Rules that look at the operation alone are left out: they say nothing of a
    /// change, and that two selections can be merged depends on aliases, which the usage log hasn't.
    pub fn new(api: &Schema) -> Option<Self> {
        // The parser has no scalars of its own.
        let sdl = SCALARS.iter().fold(api.sdl(), |sdl, name| sdl + "scalar " + name + "\n");
        let schema = parse_schema::<String>(&sdl).ok()?.into_static();
        let plan = ValidationPlan::from(vec![
            Box::new(KnownTypeNames::new()),
            Box::new(FragmentsOnCompositeTypes::new()),
            Box::new(VariablesAreInputTypes::new()),
            Box::new(LeafFieldSelections::new()),
            Box::new(FieldsOnCorrectType::new()),
            Box::new(PossibleFragmentSpreads::new()),
            Box::new(KnownArgumentNames::new()),
            Box::new(ProvidedRequiredArguments::new()),
            Box::new(KnownDirectives::new()),
            Box::new(VariablesInAllowedPosition::new()),
            Box::new(ValuesOfCorrectType::new()),
            Box::new(UniqueDirectivesPerLocation::new()),
        ]);
        Some(Self { schema, plan })
    }

    /// The first thing that is wrong with an operation.
    pub fn wrong(&self, operation: &str) -> Option<String> {
        let operation = match parse_query::<String>(operation) {
            Ok(operation) => operation.into_static(),
            Err(error) => return Some(error.to_string()),
        };
        validate(&self.schema, &operation, &self.plan).into_iter().next().map(|error| error.message)
    }
}
