use std::collections::HashMap;

use documents::sha256;
use serde::Deserialize;
use serde_json::Value;

/// The documents that are run, by their ids and by the hashes of their texts.
#[derive(Debug, Clone, Default)]
pub struct TrustedDocuments {
    documents: HashMap<String, String>,
}

/// Why a list of trusted documents can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON.
    #[error("the list of trusted documents is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON of another form.
    #[error(
        "the list of trusted documents is neither an Apollo persisted query manifest \
         ({{\"format\":\"apollo-persisted-query-manifest\",\"version\":1,\"operations\":[{{\"id\",\"body\"}}]}}) \
         nor an object of documents by id"
    )]
    Form,
}

#[derive(Deserialize)]
struct Manifest {
    version: u64,
    operations: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    body: String,
}

impl TrustedDocuments {
    /// Reads a list: an Apollo persisted query manifest, or an object of documents by id, as Relay's compiler writes.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let value: Value = serde_json::from_str(text)?;
        let listed = if value["format"] == "apollo-persisted-query-manifest" {
            let Manifest { version, operations } =
                serde_json::from_value(value).map_err(|_| ManifestError::Form)?;
            if version != 1 {
                return Err(ManifestError::Form);
            }
            operations
        } else {
            let documents: HashMap<String, String> =
                serde_json::from_value(value).map_err(|_| ManifestError::Form)?;
            documents.into_iter().map(|(id, body)| Listed { id, body }).collect()
        };
        let mut documents = HashMap::with_capacity(2 * listed.len());
        for Listed { id, body } in listed {
            documents.insert(sha256(&body), body.clone());
            documents.insert(id, body);
        }
        Ok(Self { documents })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&str> {
        self.documents.get(id).map(String::as_str)
    }

    pub(super) fn by_text(&self, text: &str) -> Option<&str> {
        self.by_id(&sha256(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_others_are_refused() {
        let relay = TrustedDocuments::parse(r#"{"1":"{a}","2":"{b}"}"#).unwrap();
        assert_eq!(relay.by_id("2"), Some("{b}"));
        assert_eq!(relay.by_text("{a}"), Some("{a}"));
        assert_eq!(relay.by_text("{c}"), None);
        for wrong in ["[]", r#"{"1":2}"#, r#"{"format":"apollo-persisted-query-manifest","version":2}"#] {
            assert!(matches!(TrustedDocuments::parse(wrong), Err(ManifestError::Form)), "{wrong}");
        }
        assert!(matches!(TrustedDocuments::parse("{"), Err(ManifestError::Json(_))));
    }
}
