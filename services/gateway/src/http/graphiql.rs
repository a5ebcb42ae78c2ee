use bytes::Bytes;
use http::{HeaderMap, Response};
use crate::config::Graphiql;
pub(super) fn respond(_page: &Graphiql, _query: &str, _headers: &HeaderMap) -> Option<Response<Bytes>> { None }
