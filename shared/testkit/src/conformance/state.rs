//! State: the greatest version of each item and source wins.

use super::{Report, Subject, row, same, tombstone, version};
use crate::content::{Field, view};
use anyhow::ensure;
use futures::future::join_all;
use projection::Key;
use projection::join::{Body, Put};
use projection::store::{Outcome, StoreError};
use std::collections::BTreeSet;

pub(super) async fn cases(report: &mut Report, subject: &Subject) {
    report.case("state: the first is applied", first(subject)).await;
    report.case("state: newer, older, the same and a fork are told apart", outcomes(subject)).await;
    report.case("state: a version of a later epoch wins", epochs(subject)).await;
    report
        .case("state: a tombstone keeps what is older out, and what is newer may come", resurrection(subject))
        .await;
    report.case("state: each source of an item has a version of its own", sources(subject)).await;
    report.case("state: keys and texts may be any Unicode", unicode(subject)).await;
    report.case("state: an item that is too large is refused", too_large(subject)).await;
}

pub(super) async fn races(report: &mut Report, subject: &Subject) {
    report.case("state: of writes at once the greatest version stays", race(subject)).await;
}

/// What fills the table: to be run last, since each look at the table reads all of it.
pub(super) async fn large_cases(report: &mut Report, subject: &Subject) {
    report.case("state: a scan goes on past its first page", pages(subject)).await;
}

fn title(text: &str) -> Field {
    Field::Text(text.to_owned())
}

async fn first(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("state-first", "a");
    same!(subject.put(&row(&key, None, 3, "three")).await?, Outcome::Applied);
    let item = subject.item(&key).await?;
    same!(item.get("title").cloned(), Some(title("three")));
    same!(item.get("size"), Some(&Field::Number("3".to_owned())));
    Ok(())
}

async fn outcomes(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("state-outcomes");
    same!(subject.put(&row(&key, None, 2, "two")).await?, Outcome::Applied);
    same!(subject.put(&row(&key, None, 2, "two")).await?, Outcome::Duplicate);
    same!(subject.put(&row(&key, None, 1, "one")).await?, Outcome::Stale(Some(version(2))));
    same!(subject.put(&row(&key, None, 2, "another two")).await?, Outcome::Forked);
    same!(subject.item(&key).await?.get("title").cloned(), Some(title("two")));
    same!(subject.put(&row(&key, None, 3, "three")).await?, Outcome::Applied);
    same!(subject.item(&key).await?.get("title").cloned(), Some(title("three")));
    Ok(())
}

async fn epochs(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("state-epochs");
    let at = |epoch, seq, name: &str| {
        let put = row(&key, None, seq, name);
        Put { version: contracts::Version { epoch, seq }, ..put }
    };
    same!(subject.put(&at(0, contracts::Version::MAX_SEQ, "old home")).await?, Outcome::Applied);
    same!(subject.put(&at(1, 1, "new home")).await?, Outcome::Applied);
    let newest = contracts::Version { epoch: u16::MAX, seq: contracts::Version::MAX_SEQ };
    same!(subject.put(&at(newest.epoch, newest.seq, "newest")).await?, Outcome::Applied);
    same!(subject.put(&at(1, 2, "late")).await?, Outcome::Stale(Some(newest)));
    Ok(())
}

async fn resurrection(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("state-resurrection");
    same!(subject.put(&row(&key, None, 1, "one")).await?, Outcome::Applied);
    same!(subject.put(&tombstone(&key, None, 3)).await?, Outcome::Applied);
    same!(subject.put(&row(&key, None, 2, "late")).await?, Outcome::Stale(Some(version(3))));
    same!(subject.put(&tombstone(&key, None, 3)).await?, Outcome::Duplicate);
    let item = subject.item(&key).await?;
    same!(item.keys().map(String::as_str).collect::<Vec<_>>(), ["d", "v"]);
    same!(subject.put(&row(&key, None, 4, "again")).await?, Outcome::Applied);
    same!(view(&subject.item(&key).await?).and_then(|it| it.get("title").cloned()), Some(title("again")));
    let never = Key::alone("state-tombstone-first");
    same!(subject.put(&tombstone(&never, None, 2)).await?, Outcome::Applied);
    same!(subject.put(&row(&never, None, 1, "late")).await?, Outcome::Stale(Some(version(2))));
    Ok(())
}

async fn sources(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("state-sources", "a");
    same!(subject.put(&row(&key, Some("left"), 5, "left")).await?, Outcome::Applied);
    same!(subject.put(&row(&key, Some("right"), 1, "right")).await?, Outcome::Applied);
    same!(subject.put(&row(&key, Some("right"), 1, "right")).await?, Outcome::Duplicate);
    same!(subject.put(&row(&key, Some("right"), 1, "other")).await?, Outcome::Forked);
    same!(subject.put(&row(&key, Some("left"), 4, "late")).await?, Outcome::Stale(Some(version(5))));
    same!(subject.put(&tombstone(&key, Some("left"), 6)).await?, Outcome::Applied);
    same!(subject.put(&row(&key, Some("left"), 5, "left")).await?, Outcome::Stale(Some(version(6))));
    let item = subject.item(&key).await?;
    ensure!(!item.contains_key("left") && item.contains_key("d_left"), "left is gone: {item:?}");
    let Some(Field::Map(right)) = item.get("right") else { anyhow::bail!("right stays: {item:?}") };
    same!(right.get("title").cloned(), Some(title("right")));
    same!(subject.put(&row(&key, Some("left"), 7, "again")).await?, Outcome::Applied);
    let item = subject.item(&key).await?;
    ensure!(item.contains_key("left") && !item.contains_key("d_left"), "left is back: {item:?}");
    Ok(())
}

async fn unicode(subject: &Subject) -> anyhow::Result<()> {
    let texts =
        ["state-ünï ✓", "state-\u{1f382} a/b#c", "state-\"quoted\\\n\u{0}", "state-\u{e9}", "state-e\u{301}"];
    for text in texts {
        same!(subject.put(&row(&Key::new(text, text), None, 1, text)).await?, Outcome::Applied);
    }
    for text in texts {
        same!(subject.item(&Key::new(text, text)).await?.get("title").cloned(), Some(title(text)));
    }
    Ok(())
}

async fn race(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("state-race");
    let puts: Vec<Put> = (1..=24).map(|seq| row(&key, None, seq, &format!("{seq}"))).collect();
    for outcome in join_all(puts.iter().rev().chain(&puts).map(|put| subject.put(put))).await {
        let outcome = outcome?;
        ensure!(outcome != Outcome::Forked, "a fork in a race of one history");
    }
    same!(subject.item(&key).await?.get("title").cloned(), Some(title("24")));
    Ok(())
}

async fn too_large(subject: &Subject) -> anyhow::Result<()> {
    let put = row(&Key::alone("state-too-large"), None, 1, &"x".repeat(410 * 1024));
    let refused = subject.store.put(&subject.table, &put).await;
    ensure!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    let part = Put { source: Some("part"), ..put };
    let refused = subject.store.put(&subject.table, &part).await;
    ensure!(matches!(refused, Err(StoreError::Refused { .. })), "as a part: {refused:?}");
    Ok(())
}

async fn pages(subject: &Subject) -> anyhow::Result<()> {
    let mut wanted = BTreeSet::new();
    for number in 0..8 {
        let key = Key::new("state-pages", format!("{number}"));
        let view = serde_json::json!({ "filling": "x".repeat(300 * 1024) });
        let body = Body::View(serde_dynamo::to_item(view)?);
        let put = Put { body, ..row(&key, None, 1, "large") };
        same!(subject.put(&put).await?, Outcome::Applied);
        wanted.insert(key);
    }
    let (mut after, mut pages, mut found) = (None, 0, BTreeSet::new());
    loop {
        let (items, next) = subject.store.scan(&subject.table, after).await?;
        for (key, _) in items {
            ensure!(found.insert(key.clone()), "{key} came twice");
        }
        pages += 1;
        after = next;
        if after.is_none() {
            break;
        }
    }
    ensure!(pages > 1, "2.4 MB came in one page");
    ensure!(wanted.is_subset(&found), "found {} items, not all of the large ones", found.len());
    Ok(())
}
