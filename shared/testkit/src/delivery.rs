//! Payloads as AWS hands them to a function, of envelopes of one's own.
//!
//! The shapes are those that AWS documents for SQS, SNS, EventBridge and DynamoDB Streams as sources of Lambda.

use crate::log::NOW;
use contracts::event::source;
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";

/// A batch of SQS messages with these bodies, named `message-0`, `message-1` and so on.
pub fn sqs<B: Into<String>>(bodies: impl IntoIterator<Item = B>) -> String {
    let records = bodies.into_iter().enumerate().map(|(number, body)| sqs_record(number, &body.into()));
    payload(&records.collect::<Vec<_>>())
}

/// One record of a batch of SQS messages.
pub fn sqs_record(number: usize, body: &str) -> Value {
    json!({
        "messageId": format!("message-{number}"),
        "receiptHandle": format!("AQEB-receipt-{number}=="),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": NOW.as_millisecond().to_string(),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": (NOW.as_millisecond() + 1).to_string(),
        },
        "messageAttributes": {},
        "md5OfBody": "00000000000000000000000000000000",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:queue"),
        "awsRegion": REGION,
    })
}

/// A batch of records.
pub fn payload(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

/// An envelope as EventBridge hands it on: to a function as its payload, to a queue as the body of a message.
pub fn eventbridge(envelope: &Value) -> String {
    let text = |name: &str| envelope[name].as_str().unwrap_or_default();
    json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": text("type"),
        "source": source(text("domain")),
        "account": ACCOUNT,
        "time": text("time"),
        "region": REGION,
        "resources": [],
        "detail": envelope,
    })
    .to_string()
}

/// The body of an SQS message that SNS put there, with this message in it.
pub fn sns_wrapped(message: &str) -> String {
    json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:topic"),
        "Message": message,
        "Timestamp": NOW.to_string(),
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService.pem",
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    })
    .to_string()
}

/// The body of an SQS message that SNS put there by raw delivery: the envelope alone.
pub fn sns_raw(envelope: &Value) -> String {
    envelope.to_string()
}

/// The payload of a function that SNS calls itself.
pub fn sns(message: &str) -> String {
    payload(&[json!({
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:topic:21be56ed"),
        "Sns": {
            "Type": "Notification",
            "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
            "TopicArn": format!("arn:aws:sns:{REGION}:{ACCOUNT}:topic"),
            "Subject": null,
            "Message": message,
            "Timestamp": NOW.to_string(),
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertUrl": "EXAMPLE",
            "UnsubscribeUrl": "EXAMPLE",
            "MessageAttributes": {},
        },
    })])
}

/// A batch of changes of a table with an inline outbox; each change holds the events that it brought, and is named
/// `100`, `101` and so on.
pub fn stream<'a>(changes: impl IntoIterator<Item = &'a [Value]>) -> String {
    let records = changes.into_iter().enumerate().map(|(number, events)| {
        let events: Vec<Value> = events.iter().map(|event| json!({ "S": event.to_string() })).collect();
        let keys = json!({ "pk": { "S": format!("aggregate-{number}") } });
        json!({
            "eventID": format!("c4ca4238a0b923820dcc509a6f75849{number}"),
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": REGION,
            "dynamodb": {
                "ApproximateCreationDateTime": NOW.as_second(),
                "Keys": keys,
                "NewImage": { "pk": keys["pk"], "v": { "N": "1" }, "events": { "L": events } },
                "SequenceNumber": (100 + number).to_string(),
                "SizeBytes": 512,
                "StreamViewType": "NEW_IMAGE",
            },
            "eventSourceARN": format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/table/stream/2010-12-01T00:00:00.000"),
        })
    });
    payload(&records.collect::<Vec<_>>())
}

/// The payload of a function that the clock invokes.
pub fn scheduled() -> String {
    json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": NOW.to_string(),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/rule")],
        "detail": {},
    })
    .to_string()
}
