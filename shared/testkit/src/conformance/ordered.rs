//! Changes in order: an item goes on from what was read of it, and what waits for its turn is kept beside it.

use super::{Report, Subject, same, version};
use crate::content::Field;
use anyhow::{Context as _, ensure};
use futures::future::join_all;
use projection::Key;
use projection::store::Outcome::{self, Applied, Duplicate, Forked, Stale};
use projection::store::{Head, StoreError, Waiting};
use std::collections::BTreeSet;

pub(super) async fn cases(report: &mut Report, subject: &Subject) {
    report.case("ordered: an item goes on only from what was read of it", conditions(subject)).await;
    report.case("ordered: what is written is read, besides what the joins keep", read(subject)).await;
    report.case("ordered: a change waits once, another of its number is a fork", waits(subject)).await;
    report.case("ordered: what waits comes in the order of its numbers", order(subject)).await;
    report.case("ordered: what waits is removed, again without harm", forgotten(subject)).await;
    report.case("ordered: what waits at one item is not at another", apart(subject)).await;
    report.case("ordered: a change that is parked says so", parked(subject)).await;
    report.case("ordered: an item that is too large is refused", too_large(subject)).await;
}

pub(super) async fn races(report: &mut Report, subject: &Subject) {
    report.case("ordered: of those who go on from the same, one does", race(subject)).await;
}

/// What fills the table.
pub(super) async fn large_cases(report: &mut Report, subject: &Subject) {
    report.case("ordered: more waits than one look shows", pages(subject)).await;
}

fn head(seq: u64, text: &str) -> Head {
    let view = serde_json::json!({ "text": text, "seq": seq, "shelf": "ordered", "title": text });
    let view = serde_dynamo::to_item(view).expect("an object becomes an item");
    Head { version: version(seq), hash: format!("{text}@{seq}"), view }
}

fn waiting(seq: u64, text: &str) -> Waiting {
    Waiting { seq, hash: format!("{text}@{seq}"), event: text.to_owned(), parked: false }
}

impl Subject {
    async fn advance(&self, key: &Key, before: Option<u64>, next: &Head) -> anyhow::Result<Outcome> {
        let written = self.store.ordered().advance(&self.table, key, before, next).await?;
        written.outcomes.first().copied().context("no outcome")
    }

    async fn wait(&self, key: &Key, waiting: &Waiting) -> anyhow::Result<Outcome> {
        let written = self.store.ordered().wait(&self.table, key, waiting).await?;
        written.outcomes.first().copied().context("no outcome")
    }

    async fn waiting(&self, key: &Key) -> anyhow::Result<Vec<Waiting>> {
        Ok(self.store.ordered().waiting(&self.table, key).await?)
    }
}

async fn conditions(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("ordered-conditions", "a");
    same!(subject.advance(&key, Some(0), &head(1, "from nothing")).await?, Stale(None));
    same!(subject.advance(&key, None, &head(2, "two")).await?, Applied);
    same!(subject.advance(&key, None, &head(3, "three")).await?, Stale(None));
    same!(subject.advance(&key, Some(1), &head(3, "three")).await?, Stale(None));
    same!(subject.advance(&key, Some(2), &head(5, "five")).await?, Applied);
    same!(subject.advance(&key, Some(2), &head(3, "three")).await?, Stale(None));
    let item = subject.item(&key).await?;
    same!(item.get("text"), Some(&Field::Text("five".to_owned())));
    same!(item.get("v"), Some(&Field::Number(version(5).packed().to_string())));
    Ok(())
}

async fn read(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-read");
    same!(subject.store.ordered().head(&subject.table, &key).await?, None);
    let later = Head { version: contracts::Version { epoch: 3, seq: 7 }, ..head(7, "seven") };
    for (before, next) in [(None, head(1, "one")), (Some(1), later)] {
        same!(subject.advance(&key, before, &next).await?, Applied);
        same!(subject.store.ordered().head(&subject.table, &key).await?, Some(next));
    }
    let from_snapshot = Head { hash: String::new(), ..head(9, "nine") };
    same!(subject.advance(&key, Some(7), &from_snapshot).await?, Applied);
    same!(subject.store.ordered().head(&subject.table, &key).await?, Some(from_snapshot));
    Ok(())
}

async fn waits(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-waits");
    same!(subject.waiting(&key).await?, Vec::new());
    same!(subject.wait(&key, &waiting(2, "two")).await?, Applied);
    same!(subject.wait(&key, &waiting(2, "two")).await?, Duplicate);
    same!(subject.wait(&key, &waiting(2, "another two")).await?, Forked);
    same!(subject.waiting(&key).await?, [waiting(2, "two")]);
    let items = subject.content().await?.0;
    ensure!(items.keys().all(|it| it.pk != key.pk), "what waits is taken for an item");
    Ok(())
}

async fn order(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("ordered-order", "a \u{1F600} key");
    for seq in [3, 1_000_000_007, 2] {
        same!(subject.wait(&key, &waiting(seq, "x")).await?, Applied);
    }
    same!(subject.waiting(&key).await?, [2, 3, 1_000_000_007].map(|seq| waiting(seq, "x")));
    Ok(())
}

async fn forgotten(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-forgotten");
    for seq in [2, 3, 4] {
        same!(subject.wait(&key, &waiting(seq, "x")).await?, Applied);
    }
    for _ in 0..2 {
        let units = subject.store.ordered().forget(&subject.table, &key, &[2, 4, 9]).await?;
        ensure!(units >= 0.0, "{units} units");
        same!(subject.waiting(&key).await?, [waiting(3, "x")]);
    }
    same!(subject.wait(&key, &waiting(2, "another")).await?, Applied);
    let many: Vec<u64> = (10..70).collect();
    for seq in &many {
        subject.wait(&key, &waiting(*seq, "x")).await?;
    }
    subject.store.ordered().forget(&subject.table, &key, &many).await?;
    same!(subject.waiting(&key).await?, [waiting(2, "another"), waiting(3, "x")]);
    Ok(())
}

async fn apart(subject: &Subject) -> anyhow::Result<()> {
    let (one, other) = (Key::new("ordered-apart", "1"), Key::new("ordered-apart", "10"));
    same!(subject.wait(&one, &waiting(2, "one")).await?, Applied);
    same!(subject.wait(&other, &waiting(2, "other")).await?, Applied);
    same!(subject.advance(&one, None, &head(1, "one")).await?, Applied);
    same!(subject.waiting(&one).await?, [waiting(2, "one")]);
    same!(subject.waiting(&other).await?, [waiting(2, "other")]);
    same!(subject.store.ordered().head(&subject.table, &other).await?, None);
    Ok(())
}

async fn parked(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-parked");
    let parked = |seq, text| Waiting { parked: true, ..waiting(seq, text) };
    same!(subject.wait(&key, &waiting(2, "two")).await?, Applied);
    same!(subject.wait(&key, &parked(2, "another")).await?, Forked);
    same!(subject.wait(&key, &parked(2, "two")).await?, Applied);
    same!(subject.wait(&key, &parked(2, "two")).await?, Duplicate);
    same!(subject.wait(&key, &waiting(2, "two")).await?, Duplicate);
    same!(subject.wait(&key, &parked(3, "three")).await?, Applied);
    same!(subject.waiting(&key).await?, [parked(2, "two"), parked(3, "three")]);
    Ok(())
}

async fn too_large(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-too-large");
    let huge = head(1, &"x".repeat(450_000));
    match subject.store.ordered().advance(&subject.table, &key, None, &huge).await {
        Err(StoreError::Refused { .. }) => {}
        other => anyhow::bail!("{other:?}"),
    }
    same!(subject.store.ordered().head(&subject.table, &key).await?, None);
    Ok(())
}

async fn race(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-race");
    for round in 0..10_u64 {
        let before = (round > 0).then_some(round);
        let next: Vec<Head> = (0..8).map(|who| head(round + 1, &format!("from {who}"))).collect();
        let outcomes = join_all(next.iter().map(|next| subject.advance(&key, before, next))).await;
        let applied: Vec<usize> = outcomes
            .into_iter()
            .enumerate()
            .filter_map(|(who, outcome)| (outcome.ok()? == Applied).then_some(who))
            .collect();
        same!(applied.len(), 1);
        let stored = subject.store.ordered().head(&subject.table, &key).await?;
        same!(stored.as_ref(), Some(&next[applied[0]]));
    }
    Ok(())
}

async fn pages(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-pages");
    let text = "x".repeat(200_000);
    for seq in 1..=12 {
        same!(subject.wait(&key, &waiting(seq, &text)).await?, Applied);
    }
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    loop {
        let some: Vec<u64> = subject.waiting(&key).await?.into_iter().map(|it| it.seq).collect();
        if some.is_empty() {
            break;
        }
        ensure!(seen.len() as u64 + 1 == some[0], "{some:?} come after {seen:?}");
        seen.extend(some.iter());
        subject.store.ordered().forget(&subject.table, &key, &some).await?;
    }
    same!(seen.len(), 12);
    Ok(())
}
