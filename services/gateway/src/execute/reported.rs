//! Errors that subgraphs report, and what clients are told of them.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{GraphQlError, codes};

/// An error as a subgraph reports it. What does not fit the specification is left out, not refused.
#[derive(Deserialize)]
pub(super) struct SubgraphError {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    pub(super) path: Option<Vec<Value>>,
    #[serde(default)]
    extensions: Option<Map<String, Value>>,
}

/// Codes that servers give to what is their own failure, or that of who asked them: the client sent neither.
const OWN: [&str; 3] = ["INTERNAL_SERVER_ERROR", codes::PARSE_FAILED, codes::VALIDATION_FAILED];

/// Where servers put traces of their stack, and the messages of what they caught.
const INSIDES: [&str; 5] = ["debugMessage", "exception", "originalError", "stacktrace", "trace"];

/// By which somebody finds in the subgraph's log what a client is not told.
const CORRELATION: &str = "correlationId";

impl SubgraphError {
    /// The error without a place. Without detail, what is not meant for clients stays out of it: of a failure of the
    /// subgraph's own everything but its code, of any other error the insides.
    pub(super) fn for_client(self, subgraph: &str, detail: bool) -> GraphQlError {
        let mut extensions = self.extensions.unwrap_or_default();
        let code = extensions.get("code").and_then(Value::as_str);
        let is_own = code.is_none_or(|code| OWN.contains(&code));
        if !detail {
            extensions.retain(|name, _| {
                if is_own { name == "code" || name == CORRELATION } else { !INSIDES.contains(&name.as_str()) }
            });
        }
        let message = match self.message {
            _ if is_own && !detail => format!("{subgraph} failed"),
            Some(message) => message,
            None => "the subgraph reported an error without a message".to_owned(),
        };
        if !extensions.get("code").is_some_and(Value::is_string) {
            extensions.insert("code".to_owned(), Value::from(codes::DOWNSTREAM_SERVICE_ERROR));
        }
        extensions.insert("serviceName".to_owned(), Value::from(subgraph));
        GraphQlError { message, locations: Vec::new(), path: None, extensions: Box::new(extensions) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(error: &Value, detail: bool) -> Value {
        let error: SubgraphError = serde_json::from_value(error.clone()).unwrap();
        serde_json::to_value(error.for_client("pricing", detail)).unwrap()
    }

    #[test]
    fn what_a_subgraph_reports_is_handed_on() {
        let error = json!({ "message": "no", "extensions": { "code": "X", "stacktrace": ["at"] } });
        let extensions = json!({ "code": "X", "stacktrace": ["at"], "serviceName": "pricing" });
        assert_eq!(told(&error, true), json!({ "message": "no", "extensions": extensions }));
        let extensions = json!({ "code": "DOWNSTREAM_SERVICE_ERROR", "serviceName": "pricing" });
        let message = "the subgraph reported an error without a message";
        assert_eq!(told(&json!({}), true), json!({ "message": message, "extensions": extensions }));
    }

    #[test]
    fn without_detail_what_is_meant_for_clients_stays_and_nothing_else() {
        let secret = "connection to 10.0.0.1 as admin refused";
        for code in
            [json!(null), json!("INTERNAL_SERVER_ERROR"), json!("GRAPHQL_VALIDATION_FAILED"), json!(7)]
        {
            let extensions =
                json!({ "code": code, "correlationId": "c-1", "sql": secret, "exception": { "at": secret } });
            let told = told(&json!({ "message": secret, "extensions": extensions }), false);
            assert_eq!(told["message"], "pricing failed");
            assert_eq!(told["extensions"]["correlationId"], "c-1");
            assert!(!told.to_string().contains("10.0.0.1"), "{told}");
        }
        let extensions = json!({ "code": "OUT_OF_STOCK", "left": 3, "stacktrace": [secret] });
        let extensions = json!({ "message": "three are left", "extensions": extensions });
        let left = json!({ "code": "OUT_OF_STOCK", "left": 3, "serviceName": "pricing" });
        assert_eq!(told(&extensions, false), json!({ "message": "three are left", "extensions": left }));
    }
}
