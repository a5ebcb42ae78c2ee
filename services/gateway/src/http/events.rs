//! The two forms in which a subscription's events go out: server-sent events (GraphQL over SSE, "distinct connections
//! mode") and parts of a multipart answer (Apollo's protocol for subscriptions over HTTP).

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use http::{HeaderMap, HeaderValue, header};

use crate::answer::Answer;
use crate::subscription::Events;

/// How events go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    EventStream,
    Multipart,
}

/// How a stream stands.
enum State {
    /// Nothing was sent yet.
    Fresh(Events),
    Open(Events),
    Ended,
}

impl Form {
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::EventStream => "text/event-stream; charset=utf-8",
            Self::Multipart => "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0",
        })
    }

    /// What comes before everything else. A boundary goes out with the part before it, so that nobody has to wait for the
    /// next part to know that this one is whole; it is a sign of life too.
    fn opening(self) -> &'static [u8] {
        match self {
            Self::EventStream => b":\n\n",
            Self::Multipart => b"\r\n--graphql",
        }
    }

    fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::EventStream => b":\n\n",
            Self::Multipart => b"\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql",
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::EventStream => b"event: complete\ndata:\n\n",
            Self::Multipart => b"--\r\n",
        }
    }

    fn event(self, answer: &Answer) -> Bytes {
        let Answer { body, executed, .. } = answer;
        match self {
            Self::EventStream => next(body),
            // What ends a subscription stands beside the payload.
            Self::Multipart => {
                let (before, after): (&[u8], &[u8]) =
                    if *executed { (b"{\"payload\":", b"}") } else { (b"{\"payload\":null,", b"") };
                let body = if *executed { &body[..] } else { body.strip_prefix(b"{").unwrap_or(body) };
                let head: &[u8] = b"\r\ncontent-type: application/json\r\n\r\n";
                [head, before, body, after, b"\r\n--graphql"].concat().into()
            }
        }
    }

    /// The bytes of a subscription: its events, a sign of life after each pause of `heartbeat`, and its end.
    pub(super) fn stream(self, events: Events, heartbeat: Duration) -> BoxStream<'static, Bytes> {
        let sent = unfold(State::Fresh(events), move |state| async move {
            let mut events = match state {
                State::Ended => return None,
                State::Fresh(events) => return Some((self.opening().into(), State::Open(events))),
                State::Open(events) => events,
            };
            Some(match tokio::time::timeout(heartbeat, events.next()).await {
                Ok(Some(answer)) => (self.event(&answer), State::Open(events)),
                Ok(None) => (self.end().into(), State::Ended),
                Err(_) => (self.heartbeat().into(), State::Open(events)),
            })
        });
        sent.boxed()
    }
}

/// An answer that is no subscription's, as a stream of one event.
pub(super) fn single(body: &Bytes) -> Bytes {
    [&next(body)[..], Form::EventStream.end()].concat().into()
}

/// An event. An answer has no line feeds but in the values of subgraphs that write some between their fields: each line is
/// sent as one.
fn next(body: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(body.len() + 32);
    text.extend_from_slice(b"event: next\n");
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}

/// The form of a stream that a client takes, the one that it likes best.
pub(super) fn wanted(headers: &HeaderMap) -> Option<Form> {
    let mut best: Option<(f32, Form)> = None;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parameters = range.split(';').map(str::trim);
            let name = parameters.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut is_ours) = (1.0_f32, false);
            for parameter in parameters {
                let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                let value = value.trim().trim_matches('"');
                match key.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.parse().unwrap_or(0.0),
                    "subscriptionspec" => is_ours = value == "1.0",
                    _ => {}
                }
            }
            let form = match name.as_str() {
                "text/event-stream" => Form::EventStream,
                "multipart/mixed" if is_ours => Form::Multipart,
                _ => continue,
            };
            if quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, form));
            }
        }
    }
    best.map(|(_, form)| form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_form_is_given() {
        let form = |accept: &'static str| {
            wanted(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(form("text/event-stream"), Some(Form::EventStream));
        assert_eq!(form("multipart/mixed;subscriptionSpec=1.0, application/json"), Some(Form::Multipart));
        assert_eq!(
            form("multipart/mixed; boundary=graphql; subscriptionSpec=\"1.0\""),
            Some(Form::Multipart)
        );
        assert_eq!(
            form("text/event-stream;q=0.5, multipart/mixed;subscriptionSpec=1.0"),
            Some(Form::Multipart)
        );
        assert_eq!(form("application/json, text/event-stream;q=0.1"), Some(Form::EventStream));
        for other in [
            "application/json",
            "*/*",
            "multipart/mixed",
            "multipart/mixed;deferSpec=20220824",
            "text/event-stream;q=0",
        ] {
            assert_eq!(form(other), None, "{other}");
        }
        assert_eq!(wanted(&HeaderMap::new()), None);
    }

    #[test]
    fn events_have_the_form_of_their_protocol() {
        let data = Answer {
            body: Bytes::from_static(b"{\"data\":{\n\"a\":1}}"),
            executed: true,
            ..Answer::refusal(&[])
        };
        let refused = Answer { body: Bytes::from_static(b"{\"errors\":[]}"), ..Answer::refusal(&[]) };
        assert_eq!(Form::EventStream.event(&data), "event: next\ndata: {\"data\":{\ndata: \"a\":1}}\n\n");
        let part = |json: &str| format!("\r\ncontent-type: application/json\r\n\r\n{json}\r\n--graphql");
        assert_eq!(Form::Multipart.event(&data), part("{\"payload\":{\"data\":{\n\"a\":1}}}"));
        assert_eq!(Form::Multipart.event(&refused), part("{\"payload\":null,\"errors\":[]}"));
        assert_eq!(single(&refused.body), "event: next\ndata: {\"errors\":[]}\n\nevent: complete\ndata:\n\n");
    }
}
