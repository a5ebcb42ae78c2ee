//! A GraphQL request, from a POST body or a GET URL.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{GraphQlError, codes};

/// What a client asks, whatever way it came.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The document; empty where the request only names it.
    pub query: String,
    /// The id of a trusted document, in place of the document.
    pub document_id: Option<String>,
    /// Which of the document's operations to run.
    pub operation_name: Option<String>,
    /// Values of the operation's variables.
    pub variables: Map<String, Value>,
    /// Whether the plan is asked for, in place of the answer.
    pub explain: bool,
    /// Protocol extensions, as persisted queries use them.
    pub extensions: Map<String, Value>,
}

#[derive(Deserialize)]
struct Body {
    query: Option<Value>,
    #[serde(rename = "documentId")]
    document_id: Option<Value>,
    #[serde(rename = "operationName")]
    operation_name: Option<Value>,
    variables: Option<Value>,
    extensions: Option<Value>,
}

impl Request {
    /// Reads a JSON body.
    pub fn from_json(body: &[u8]) -> Result<Self, GraphQlError> {
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(GraphQlError::new(
                codes::BATCHING_NOT_SUPPORTED,
                "the body is an array: send each request on its own, batches are not supported",
            ));
        }
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| bad(format!("the body is not a JSON object with a GraphQL request: {error}")))?;
        let document = text(body.query, "query")?;
        let is_missing = document.is_none();
        let request = Self {
            query: document.unwrap_or_default(),
            document_id: text(body.document_id, "documentId")?,
            operation_name: text(body.operation_name, "operationName")?.filter(|name| !name.is_empty()),
            variables: map(body.variables, "variables")?,
            extensions: map(body.extensions, "extensions")?,
            explain: false,
        };
        request.with_document(is_missing)
    }

    /// Reads the query part of a URL, without its `?`.
    pub fn from_url(query: &str) -> Result<Self, GraphQlError> {
        let mut request = Self::default();
        let mut is_missing = true;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "query" => {
                    request.query = value.into_owned();
                    is_missing = false;
                }
                "documentId" if !value.is_empty() => request.document_id = Some(value.into_owned()),
                "operationName" if !value.is_empty() => request.operation_name = Some(value.into_owned()),
                "variables" => request.variables = json_map(&value, "variables")?,
                "extensions" => request.extensions = json_map(&value, "extensions")?,
                _ => {}
            }
        }
        request.with_document(is_missing)
    }

    /// Whether the request names its document by a hash, with or without the text.
    pub fn is_persisted(&self) -> bool {
        self.extensions.get("persistedQuery").is_some_and(|it| !it.is_null())
    }

    /// The length of the URL's query that says the same by the document's hash; see [`Request::is_persisted`].
    pub fn persisted_length(&self) -> usize {
        let mut url = form_urlencoded::Serializer::new(String::new());
        if let Some(name) = &self.operation_name {
            url.append_pair("operationName", name);
        }
        for (name, value) in [("variables", &self.variables), ("extensions", &self.extensions)] {
            if !value.is_empty() {
                url.append_pair(name, &Value::from(value.clone()).to_string());
            }
        }
        url.finish().len()
    }

    fn with_document(self, is_missing: bool) -> Result<Self, GraphQlError> {
        if is_missing && self.document_id.is_none() && !self.is_persisted() {
            return Err(missing_query());
        }
        Ok(self)
    }
}

fn missing_query() -> GraphQlError {
    bad("the request has no `query`: send the text of a GraphQL document")
}

fn bad(message: impl Into<String>) -> GraphQlError {
    GraphQlError::new(codes::BAD_REQUEST, message)
}

fn text(value: Option<Value>, name: &str) -> Result<Option<String>, GraphQlError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad(format!("`{name}` must be a string"))),
    }
}

fn map(value: Option<Value>, name: &str) -> Result<Map<String, Value>, GraphQlError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(bad(format!("`{name}` must be an object"))),
    }
}

fn json_map(text: &str, name: &str) -> Result<Map<String, Value>, GraphQlError> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| bad(format!("`{name}` is not JSON: {error}")))?;
    map(Some(value), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_request() {
        let body = br#"{"query":"{a}","operationName":"","variables":{"x":1},"extensions":null,"other":1}"#;
        let posted = Request::from_json(body).unwrap();
        let got = Request::from_url("query=%7Ba%7D&variables=%7B%22x%22%3A1%7D&operationName=").unwrap();
        assert_eq!(posted, got);
        assert_eq!(got.query, "{a}");
        assert_eq!(got.variables["x"], 1);
    }

    #[test]
    fn what_is_no_request_says_why() {
        let code = |body: &str| Request::from_json(body.as_bytes()).unwrap_err().code().to_owned();
        assert_eq!(code(" [{\"query\":\"{a}\"}]"), codes::BATCHING_NOT_SUPPORTED);
        for body in
            ["", "1", "\"q\"", "{}", "{\"query\":1}", "{\"query\":\"{a}\",\"variables\":[]}", "{\"query\""]
        {
            assert_eq!(code(body), codes::BAD_REQUEST, "{body}");
        }
        let persisted = r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#;
        assert!(Request::from_json(persisted.as_bytes()).unwrap().is_persisted());
        assert_eq!(Request::from_url("documentId=a").unwrap().document_id.as_deref(), Some("a"));
        assert_eq!(Request::from_url("variables={}").unwrap_err().code(), codes::BAD_REQUEST);
        assert_eq!(Request::from_url("query={a}&variables=[1]").unwrap_err().code(), codes::BAD_REQUEST);
    }
}
