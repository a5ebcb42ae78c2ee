//! What a micrograph says that it needs, and what comes of it.

use crate::catalogue::catalogue;
use crate::inventory::inventory;
use crate::world::World;
use aws_sdk_dynamodb::types::{StreamViewType, TimeToLiveStatus};
use contracts::Envelope;
use contracts::catalogue::ProductListed;
use micrograph::manifest::{Alarm, AlarmMetric, Manifest, Trigger};
use micrograph::{InvokeError, Micrograph};
use projection::{Projection, Row};

#[test]
fn the_manifest_of_a_micrograph_with_everything() {
    insta::assert_json_snapshot!("catalogue", Manifest::of(&catalogue()));
}

#[test]
fn a_queue_is_subscribed_to_each_topic_that_feeds_its_projection() {
    let goods = Projection::new("goods", 1)
        .state(|it: &Envelope<ProductListed>| Row::new(projection::Key::alone(&it.subject), &it.data.0));
    let micrograph = Micrograph::new("shop").consumes_topics(&["new-goods", "old-goods"], goods);
    let manifest = Manifest::of(&micrograph);
    let subscribed: Vec<_> = manifest.subscriptions.iter().map(|it| (it.topic, it.queue.as_str())).collect();
    assert_eq!(subscribed, [("new-goods", "shop-goods-1"), ("old-goods", "shop-goods-1")]);
    assert!(manifest.rules.is_empty(), "what comes by topics doesn't come by the bus too");
}

#[test]
fn the_key_of_what_is_alone_is_the_same_for_who_writes_and_who_reads() {
    assert_eq!(federation::Key::ALONE, projection::Key::ALONE);
}

#[test]
fn queues_hide_a_message_for_six_timeouts_and_have_a_dead_letter_queue_of_their_kind() {
    for manifest in [Manifest::of(&catalogue()), Manifest::of(&inventory())] {
        for function in &manifest.functions {
            let Trigger::Queue { queue, batch_size, window_seconds, .. } = &function.trigger else {
                continue;
            };
            let queue = manifest.queues.iter().find(|it| it.name == *queue).expect("it is declared");
            assert!(queue.visibility_timeout_seconds >= 6 * function.timeout_seconds + window_seconds);
            for name in [&queue.name, &queue.dead_letter_queue] {
                assert_eq!(queue.fifo, name.strip_suffix(".fifo").is_some(), "{name}");
            }
            assert!(!queue.fifo || (*batch_size <= 10 && *window_seconds == 0), "what SQS allows");
        }
    }
}

#[test]
fn nothing_is_dropped_by_age_before_an_alarm() {
    let manifest = Manifest::of(&catalogue());
    for queue in &manifest.queues {
        for name in [&queue.name, &queue.dead_letter_queue] {
            let age = AlarmMetric::QueueAge { queue: name.clone() };
            let alarm = manifest.alarms.iter().find(|it| it.metric == age).expect("an alarm");
            assert!(alarm.above < queue.retention_seconds.into(), "{name}");
        }
        let depth = AlarmMetric::QueueDepth { queue: queue.dead_letter_queue.clone() };
        assert!(manifest.alarms.iter().any(|it| it.metric == depth && it.above == 0), "{}", queue.name);
    }
    let entries = |alarm: &Alarm| alarm.metric == AlarmMetric::QuarantineEntries && alarm.above == 0;
    assert!(manifest.alarms.iter().any(entries));
    assert!(manifest.functions.iter().any(|it| it.handler == "watch"), "who measures it");
    assert!(manifest.tables.iter().any(|it| it.name == "catalogue-quarantine" && it.ttl.is_none()));
}

#[tokio::test]
async fn a_dead_letter_is_quarantined_for_the_consumer_that_gave_it_up() {
    let world = World::of(catalogue()).await;
    for (number, (queue, consumer)) in [
        ("test-catalogue-titles-dead-letters", "titles"),
        ("catalogue-commands-dead-letters.fifo", "commands"),
        ("somewhere-else", "somewhere-else"),
    ]
    .into_iter()
    .enumerate()
    {
        let record = serde_json::json!({
            "messageId": "m", "body": format!("letter {number}"), "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:eu-west-1:000000000000:{queue}"),
        });
        let payload = serde_json::json!({ "Records": [record] }).to_string();
        let answer = world.app.invoke("dead-letters", payload.as_bytes(), None).await.expect("an answer");
        assert_eq!(answer, serde_json::json!({ "batchItemFailures": [] }));
        let all = world.quarantined().await;
        let (entry, _) = all.iter().find(|(_, raw)| raw.ends_with(&number.to_string())).expect("kept");
        assert_eq!((entry.consumer.as_str(), entry.reason.as_str()), (consumer, "Exhausted"));
    }
    let standing = world.app.invoke("watch", b"{}", None).await.expect("an answer");
    assert_eq!(standing["entries"], 3);
}

#[test]
fn a_generation_is_a_table_a_queue_and_a_function_of_one_name() {
    let manifest = Manifest::of(&catalogue());
    assert_eq!(manifest.projections.len(), 2);
    for projection in &manifest.projections {
        let name = &projection.deployed;
        assert!(manifest.tables.iter().any(|it| it.name == *name), "{name} has no table");
        assert!(manifest.queues.iter().any(|it| it.name == *name), "{name} has no queue");
        let function = manifest.functions.iter().find(|it| it.name == *name).expect("a function");
        assert_eq!(function.handler, projection.generation.handler(projection.name));
        assert!(projection.folds.iter().all(|it| !it.joins.is_empty()), "{name} folds to nothing");
    }
    let names: std::collections::BTreeSet<&str> =
        manifest.functions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), manifest.functions.len(), "functions with one name: {names:?}");
}

#[test]
fn every_name_in_a_manifest_is_one_that_it_declares() {
    let manifest = Manifest::of(&catalogue());
    let tables: Vec<&str> = manifest.tables.iter().map(|it| it.name.as_str()).collect();
    for function in &manifest.functions {
        for table in function.reads.iter().chain(&function.writes) {
            assert!(tables.contains(&table.as_str()), "{} names {table}", function.handler);
        }
        if let Trigger::Stream { table, .. } = &function.trigger {
            assert!(manifest.tables.iter().any(|it| it.name == *table && it.stream), "{table} has no stream");
        }
    }
}

#[tokio::test]
async fn a_handler_that_is_not_there_is_named_with_those_that_are() {
    let world = World::of(catalogue()).await;
    for handler in ["consumer.nothing", "consumer.", "outbox.product", ""] {
        let error = world.app.invoke(handler, b"{}", None).await.expect_err("there is none");
        assert!(matches!(error, InvokeError::UnknownHandler { .. }));
        let text = error.to_string();
        assert!(text.contains(&format!("`{handler}`")) && text.contains("consumer.titles"), "{text}");
    }
    let nothing = World::of(micrograph::Micrograph::new("nothing")).await;
    for handler in ["commands", "outbox", "subgraph"] {
        nothing.app.invoke(handler, b"{}", None).await.expect_err("it has no role");
    }
    assert!(nothing.app.subgraph().is_none() && nothing.app.consumer("consumer.titles-1").is_none());
}

#[tokio::test]
async fn tables_are_created_as_declared_and_only_once() {
    let world = World::of(catalogue()).await;
    world.app.create_tables().await.expect("they are there already");
    let client = world.db.client();
    for table in world.app.manifest().tables {
        let name = world.app.environment().table(&table.name);
        let found = client.describe_table().table_name(&name).send().await.expect("it exists").table;
        let found = found.expect("a description");
        let view = found.stream_specification().and_then(|it| it.stream_view_type().cloned());
        assert_eq!(view, table.stream.then_some(StreamViewType::NewImage), "{name}");
        let indexes = found.global_secondary_indexes().iter().filter_map(|it| it.index_name());
        assert_eq!(indexes.collect::<Vec<_>>(), table.indexes.iter().map(|it| it.name).collect::<Vec<_>>());
        let ttl = client.describe_time_to_live().table_name(&name).send().await.expect("it exists");
        let ttl = ttl.time_to_live_description.expect("a description");
        let enabled = ttl.time_to_live_status() == Some(&TimeToLiveStatus::Enabled);
        assert_eq!(enabled.then(|| ttl.attribute_name()).flatten(), table.ttl, "{name}");
    }
    assert_eq!(world.db.streams(), ["test-catalogue-product"]);
}
