//! From a message's body to an envelope whose data has not been looked at yet.

use crate::json;
use contracts::Header;
use contracts::envelope::MAX_EVENT_BYTES;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The body is not an envelope, nor one wrapped by SNS or EventBridge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event's envelope: {0}")]
pub struct Malformed(pub String);

#[derive(Deserialize)]
struct Wrapper<'a> {
    #[serde(rename = "Type", borrow, default)]
    sns_type: Option<Cow<'a, str>>,
    #[serde(rename = "Message", borrow, default)]
    sns_message: Option<Cow<'a, str>>,
    #[serde(rename = "detail-type", borrow, default)]
    detail_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
}

/// Takes off what SNS and EventBridge put around an envelope: first SNS's notification, then EventBridge's event.
/// What comes out is the same for a message however it travelled.
pub fn unwrap(body: &str) -> Result<Cow<'_, str>, Malformed> {
    let malformed = |error: serde_json::Error| Malformed(json::describe(&error));
    let wrapper: Wrapper<'_> = serde_json::from_str(body).map_err(malformed)?;
    match wrapper {
        Wrapper { sns_type: Some(kind), sns_message: Some(message), .. } if kind == "Notification" => {
            let inner: Wrapper<'_> = serde_json::from_str(&message).map_err(malformed)?;
            Ok(match inner {
                Wrapper { detail_type: Some(_), detail: Some(detail), .. } => detail.get().to_owned().into(),
                _ => message.into_owned().into(),
            })
        }
        Wrapper { detail_type: Some(_), detail: Some(detail), .. } => Ok(detail.get().into()),
        _ => Ok(body.into()),
    }
}

/// Reads an unwrapped envelope's header. One that is larger than an event may be is malformed, for every consumer alike.
pub fn header(envelope: &str) -> Result<Header<'_>, Malformed> {
    if envelope.len() > MAX_EVENT_BYTES {
        return Err(Malformed(format!("{} bytes; an event has at most {MAX_EVENT_BYTES}", envelope.len())));
    }
    serde_json::from_str(envelope).map_err(|error| Malformed(json::describe(&error)))
}
