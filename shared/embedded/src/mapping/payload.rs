//! The payload that a Lambda function gets from a queue.

use std::io::Write as _;

use bytes::Bytes;

use crate::REGION;
use crate::queue::{Received, is_fifo, queue_arn};

/// Who sends all messages, in the form of an IAM principal's id.
const SENDER: &str = "AIDAEMBEDDEDTRIBUTARY";

/// About how many bytes a message takes in a payload.
pub(super) fn record_bytes(message: &Received) -> usize {
    let escaped = message.body.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n')).count();
    640 + message.body.len() + escaped + message.attributes.as_ref().map_or(0, |attributes| attributes.len())
}

/// The event of a batch of messages, as in <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>.
pub(super) fn sqs_event(queue: &str, batch: &[Received]) -> Bytes {
    let arn = queue_arn(queue);
    let fifo = is_fifo(queue);
    let mut out = Vec::with_capacity(batch.iter().map(record_bytes).sum::<usize>() + 32);
    out.extend_from_slice(b"{\"Records\":[");
    for (at, message) in batch.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_record(&mut out, message, &arn, fifo);
    }
    out.extend_from_slice(b"]}");
    Bytes::from(out)
}

fn write_record(out: &mut Vec<u8>, message: &Received, arn: &str, fifo: bool) {
    let Received { message_id, receipt, body, receive_count, sent_ms, first_received_ms, .. } = message;
    write!(
        out,
        "{{\"messageId\":\"{message_id}\",\"receiptHandle\":\"{handle}\",\"body\":",
        handle = receipt.0
    )
    .expect("a Vec takes all");
    write_text(out, body);
    write!(
        out,
        ",\"attributes\":{{\"ApproximateReceiveCount\":\"{receive_count}\",\"SentTimestamp\":\"{sent_ms}\",\
         \"SenderId\":\"{SENDER}\",\"ApproximateFirstReceiveTimestamp\":\"{first_received_ms}\""
    )
    .expect("a Vec takes all");
    if fifo {
        write!(out, ",\"SequenceNumber\":\"{:020}\"", message.sequence_number).expect("a Vec takes all");
    }
    for (name, value) in
        [("MessageGroupId", &message.group), ("MessageDeduplicationId", &message.deduplication_id)]
    {
        if let Some(value) = value {
            write!(out, ",\"{name}\":").expect("a Vec takes all");
            write_text(out, value);
        }
    }
    out.extend_from_slice(b"},\"messageAttributes\":");
    out.extend_from_slice(message.attributes.as_deref().unwrap_or("{}").as_bytes());
    write!(
        out,
        ",\"md5OfBody\":\"{:x}\",\"eventSource\":\"aws:sqs\",\"eventSourceARN\":\"{arn}\",\
         \"awsRegion\":\"{REGION}\"}}",
        md5::compute(body.as_bytes())
    )
    .expect("a Vec takes all");
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes all text");
}
