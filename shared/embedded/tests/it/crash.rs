//! A process that is killed while it writes: nothing that it was told is stored may be lost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use aws_sdk_dynamodb::types::StreamViewType;
use embedded::dynamodb::DynamoDb;
use embedded::queue::{Outgoing, QueueConfig, QueueSettings, Queues};

use crate::table::{create, put, text};

const FOLDER: &str = "EMBEDDED_CRASH_FOLDER";

/// After how many acknowledgements each child is killed.
const ROUNDS: [u32; 4] = [3, 40, 170, 400];

/// Run by [`nothing_acknowledged_is_lost_by_kill_9`] in a process of its own; alone it does nothing.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let db = DynamoDb::open(&folder.join("d.db")).expect("open");
    let queues = Queues::open(&folder.join("q.db"), QueueSettings::default()).expect("open");
    queues.create(QueueConfig::new("q")).expect("create");
    if db.streams().is_empty() {
        create(&db, "things", Some(StreamViewType::NewImage)).await;
    }
    let first = u32::try_from(queues.depth("q").expect("depth").total()).expect("few");
    // Numbers go on from what an earlier child stored; more may be stored than it could tell.
    for n in first.. {
        put(&db, "things", &format!("key-{n}"), n).await;
        queues.send("q", vec![Outgoing::new(n.to_string())]).expect("send");
        let mut out = std::io::stderr().lock();
        writeln!(out, "stored {n}").expect("tell");
        out.flush().expect("tell");
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = 0;
    for round in ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "crash::child_that_writes_until_it_is_killed",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = 0;
        for line in lines {
            let line = line.expect("a line");
            let Some(n) = line.strip_prefix("stored ") else { panic!("the child failed: {line}") };
            told = n.parse::<u32>().expect("a number") + 1;
            seen += 1;
            if seen == round {
                break;
            }
        }
        assert_eq!(seen, round, "the child ended by itself");
        // SIGKILL: the child can't do anything about it.
        child.kill().expect("kill");
        child.wait().expect("gone");
    }

    let db = DynamoDb::open(&folder.path().join("d.db")).expect("open");
    let queues = Queues::open(&folder.path().join("q.db"), QueueSettings::default()).expect("open");
    queues.create(QueueConfig::new("q")).expect("create");
    let mut next = 0;
    while let Some(message) = queues.receive("q", 1, None).expect("receive").first() {
        assert_eq!(*message.body, *next.to_string());
        next += 1;
    }
    assert!(next >= told, "{told} messages were acknowledged, {next} are there");
    for n in 0..told {
        let key = text(&format!("key-{n}"));
        let found = db.client().get_item().table_name("things").key("pk", key).send().await.expect("get");
        assert!(found.item().is_some(), "item {n} was acknowledged");
    }
    let mut records = 0;
    while let Some(batch) = db.stream_batch("things", 100).expect("read") {
        records += batch.len();
        db.ack(&batch).expect("ack");
    }
    assert!(records >= told as usize, "{told} writes were acknowledged, {records} are in the stream");
}
