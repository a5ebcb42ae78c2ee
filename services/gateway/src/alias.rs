//! Aliases that hide fields. `{ product { sku: title } }` gives the title the key under which the gateway itself
//! must read the entity's key, so such an alias gets a prefix on its way to the subgraphs.

use graphql_tools::parser::query::Field;

use crate::schema::Schema;

const PREFIX: &str = "_client_";

/// The alias that a field has towards subgraphs.
pub(crate) fn towards_subgraphs(field: &Field<'static, String>, schema: &Schema) -> Option<String> {
    let alias = field.alias.as_ref().filter(|alias| **alias != field.name)?;
    let hides = schema.is_field_name(alias) || alias.starts_with(PREFIX);
    Some(if hides { format!("{PREFIX}{alias}") } else { alias.clone() })
}

/// The response key that the client knows for a key of a subgraph's answer.
pub(crate) fn towards_client(key: &str) -> &str {
    key.strip_prefix(PREFIX).unwrap_or(key)
}
