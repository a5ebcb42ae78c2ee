//! Event source mappings: what a handler gets, and what becomes of its messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedded::EventSourceMapping;
use embedded::mapping::{Backoff, Handler, MappingConfig, MappingError};
use embedded::queue::{Outgoing, QueueConfig, QueueSettings, Queues};
use serde_json::{Value, json};

fn queues() -> Queues {
    let queues = Queues::in_memory(QueueSettings::default()).expect("open");
    queues.create(QueueConfig::new("dead")).expect("create");
    queues.create(QueueConfig::new("q").redrive_to("dead", 3)).expect("create");
    queues.create(QueueConfig::new("q.fifo")).expect("create");
    queues
}

fn quick(queue: &str) -> MappingConfig {
    let backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(1) };
    MappingConfig { backoff, ..MappingConfig::new(queue) }
}

fn handler(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Handler {
    let answer = Arc::new(answer);
    Arc::new(move |payload, _| {
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            let event: Value = serde_json::from_slice(&payload)?;
            match answer(&event) {
                Value::String(error) => Err(error.into()),
                answer => Ok(answer),
            }
        })
    })
}

fn send(queues: &Queues, bodies: &[&str]) {
    queues.send("q", bodies.iter().map(|body| Outgoing::new(*body)).collect()).expect("send");
}

fn records(event: &Value) -> &Vec<Value> {
    event["Records"].as_array().expect("records")
}

#[tokio::test]
async fn a_handler_gets_what_lambda_gets() {
    let queues = queues();
    let attributes = json!({"kind": {"stringValue": "x", "dataType": "String"}});
    let body = "{\"quoted\": \"ü\\n\"}\n";
    let message = Outgoing {
        attributes: Some(attributes.clone()),
        deduplication_id: Some("d".into()),
        ..Outgoing::new(body).in_group("g")
    };
    let ids = queues.send("q.fifo", vec![message]).expect("send");
    let seen = Arc::new(Mutex::new(Value::Null));
    let keep = Arc::clone(&seen);
    let mapping = EventSourceMapping::start(
        queues.clone(),
        MappingConfig::new("q.fifo"),
        handler(move |event| {
            *keep.lock().expect("lock") = event.clone();
            Value::Null
        }),
    )
    .expect("start");
    queues.idle().await;
    mapping.stop().await;
    let event = seen.lock().expect("lock").clone();
    let record = &records(&event)[0];
    assert_eq!(record["messageId"], json!(*ids[0]));
    assert_eq!(record["body"], json!(body));
    assert_eq!(record["md5OfBody"], json!(format!("{:x}", md5::compute(body))));
    assert_eq!(record["messageAttributes"], attributes);
    assert_eq!(record["eventSource"], json!("aws:sqs"));
    assert_eq!(record["eventSourceARN"], json!("arn:aws:sqs:local:000000000000:q.fifo"));
    assert_eq!(record["awsRegion"], json!("local"));
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], json!("1"));
    assert_eq!(record["attributes"]["MessageGroupId"], json!("g"));
    assert_eq!(record["attributes"]["MessageDeduplicationId"], json!("d"));
    for name in ["SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp", "SequenceNumber"] {
        assert!(record["attributes"][name].is_string(), "{name}");
    }
    assert!(record["receiptHandle"].is_string());
}

#[tokio::test]
async fn what_a_handler_reports_comes_again_and_is_given_up_on_and_the_rest_is_deleted() {
    let queues = queues();
    send(&queues, &["good", "bad", "fine"]);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&calls);
    let mapping = EventSourceMapping::start(
        queues.clone(),
        quick("q"),
        handler(move |event| {
            let bodies: Vec<_> = records(event).iter().map(|record| record["body"].clone()).collect();
            keep.lock().expect("lock").push(json!(bodies));
            let bad = records(event).iter().filter(|record| record["body"] == "bad");
            let failures: Vec<_> = bad.map(|record| json!({"itemIdentifier": record["messageId"]})).collect();
            json!({ "batchItemFailures": failures })
        }),
    )
    .expect("start");
    queues.idle().await;
    mapping.stop().await;
    let calls = calls.lock().expect("lock").clone();
    assert_eq!(calls, [json!(["good", "bad", "fine"]), json!(["bad"]), json!(["bad"])]);
    assert_eq!(&*queues.receive("dead", 10, None).expect("receive")[0].body, "bad");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_fails_the_whole_batch() {
    for answer in [
        json!("an error"),
        json!({"batchItemFailures": [{"itemIdentifier": ""}]}),
        json!({"batchItemFailures": [{"itemIdentifier": null}]}),
        json!({"batchItemFailures": [{"wrong": "name"}]}),
        json!({"batchItemFailures": [{"itemIdentifier": "nobody"}]}),
        json!({"batchItemFailures": "text"}),
    ] {
        let queues = queues();
        send(&queues, &["one", "two"]);
        let given = answer.clone();
        let mapping = EventSourceMapping::start(queues.clone(), quick("q"), handler(move |_| given.clone()))
            .expect("start");
        queues.idle().await;
        mapping.stop().await;
        assert_eq!(queues.depth("dead").expect("depth").visible, 2, "{answer}");
    }
    for answer in
        [json!(null), json!({}), json!({"batchItemFailures": null}), json!({"batchItemFailures": []})]
    {
        let queues = queues();
        send(&queues, &["one", "two"]);
        let mapping = EventSourceMapping::start(queues.clone(), quick("q"), handler(move |_| answer.clone()))
            .expect("start");
        queues.idle().await;
        mapping.stop().await;
        assert_eq!(queues.depth("dead").expect("depth").visible, 0);
    }
}

#[tokio::test]
async fn a_panic_and_a_timeout_are_failures_of_the_batch() {
    let queues = queues();
    send(&queues, &["one"]);
    let mapping = EventSourceMapping::start(queues.clone(), quick("q"), handler(|_| panic!("on purpose")))
        .expect("start");
    queues.idle().await;
    mapping.stop().await;
    send(&queues, &["two"]);
    let never: Handler = Arc::new(|_, _| Box::pin(std::future::pending()));
    let config = MappingConfig { timeout: Duration::from_millis(5), ..quick("q") };
    let mapping = EventSourceMapping::start(queues.clone(), config, never).expect("start");
    queues.idle().await;
    mapping.stop().await;
    assert_eq!(queues.depth("dead").expect("depth").visible, 2);
}

#[tokio::test]
async fn a_window_gathers_a_batch_until_it_is_full_or_the_window_ends() {
    for (window, bodies, expected) in
        [(Duration::from_mins(1), &["a", "b", "c"][..], 3), (Duration::from_millis(20), &["a", "b"][..], 2)]
    {
        let queues = queues();
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&sizes);
        let config = MappingConfig { batch_size: 3, window, ..quick("q") };
        let mapping = EventSourceMapping::start(
            queues.clone(),
            config,
            handler(move |event| {
                keep.lock().expect("lock").push(records(event).len());
                Value::Null
            }),
        )
        .expect("start");
        for body in bodies {
            send(&queues, &[body]);
            tokio::task::yield_now().await;
        }
        queues.idle().await;
        mapping.stop().await;
        assert_eq!(*sizes.lock().expect("lock"), [expected]);
    }
}

#[tokio::test]
async fn a_window_ends_early_where_somebody_waits_for_all_work() {
    let queues = queues();
    let config = MappingConfig { window: Duration::from_mins(5), ..quick("q") };
    let mapping = EventSourceMapping::start(queues.clone(), config, handler(|_| Value::Null)).expect("start");
    for _ in 0..2 {
        send(&queues, &["a", "b"]);
        tokio::task::yield_now().await;
        assert!(!queues.is_idle(), "the window is open");
        tokio::time::timeout(Duration::from_mins(1), queues.idle()).await.expect("it is not waited out");
    }
    mapping.stop().await;
}

#[tokio::test]
async fn stopping_waits_for_the_handler_and_takes_no_more() {
    let queues = queues();
    send(&queues, &["one"]);
    let (started, mut has_started) = tokio::sync::watch::channel(false);
    let (release, released) = tokio::sync::watch::channel(false);
    let slow: Handler = Arc::new(move |_, _| {
        started.send_replace(true);
        let mut released = released.clone();
        Box::pin(async move {
            released.wait_for(|released| *released).await?;
            Ok(Value::Null)
        })
    });
    let mapping = EventSourceMapping::start(queues.clone(), quick("q"), slow).expect("start");
    has_started.wait_for(|started| *started).await.expect("started");
    let stopping = tokio::spawn(mapping.stop());
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    send(&queues, &["two"]);
    release.send_replace(true);
    stopping.await.expect("stopped");
    assert_eq!(queues.depth("q").expect("depth").visible, 1);
}

#[tokio::test]
async fn batches_are_handled_side_by_side_up_to_the_concurrency() {
    let queues = queues();
    send(&queues, &["a", "b", "c", "d"]);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let counting: Handler = Arc::new(move |_, _| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        Box::pin(async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Value::Null)
        })
    });
    let config = MappingConfig { batch_size: 1, concurrency: 2, ..quick("q") };
    let mapping = EventSourceMapping::start(queues.clone(), config, counting).expect("start");
    queues.idle().await;
    mapping.stop().await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn limits_are_lambdas() {
    let queues = queues();
    for config in [
        MappingConfig { batch_size: 10_001, ..MappingConfig::new("q") },
        MappingConfig { batch_size: 11, ..MappingConfig::new("q.fifo") },
        MappingConfig { window: Duration::from_secs(1), ..MappingConfig::new("q.fifo") },
        MappingConfig { concurrency: 0, ..MappingConfig::new("q") },
        MappingConfig { timeout: Duration::from_secs(31), ..MappingConfig::new("q") },
    ] {
        let refused = EventSourceMapping::start(queues.clone(), config, handler(|_| Value::Null));
        assert!(matches!(refused, Err(MappingError::Limit { .. })));
    }
}
