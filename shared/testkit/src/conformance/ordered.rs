//! Changes in order: an item goes on from what was read of it; what waits for its turn is kept beside it, and what it was
//! before a later epoch.

use super::{Report, Subject, same, version};
use crate::content::Field;
use anyhow::{Context as _, ensure};
use contracts::Version;
use futures::future::join_all;
use projection::Key;
use projection::reach::{FIRST, LAST, Reach};
use projection::store::Outcome::{self, Applied, Duplicate, Forked, Stale};
use projection::store::{Head, Kept, StoreError, Waiting};
use std::collections::BTreeSet;

pub(super) async fn cases(report: &mut Report, subject: &Subject) {
    report.case("ordered: an item goes on only from what was read of it", conditions(subject)).await;
    report.case("ordered: what is written is read, besides what the joins keep", read(subject)).await;
    report.case("ordered: an item goes on only with all that waits in it", inside(subject)).await;
    report.case("ordered: a change waits once, another of its number is a fork", waits(subject)).await;
    report.case("ordered: what waits comes in the order of its numbers", order(subject)).await;
    report.case("ordered: what waits is removed, again without harm", forgotten(subject)).await;
    report.case("ordered: what waits at one item is not at another", apart(subject)).await;
    report.case("ordered: a change that is parked says so", parked(subject)).await;
    report.case("ordered: two changes of one number in two epochs are two", epochs(subject)).await;
    report.case("ordered: only what is within the versions is shown", within(subject)).await;
    report.case("ordered: an item and its base are written together or not at all", bases(subject)).await;
    report.case("ordered: an item that is too large is refused", too_large(subject)).await;
}

pub(super) async fn races(report: &mut Report, subject: &Subject) {
    report.case("ordered: of those who go on from the same, one does", race(subject)).await;
}

/// What fills the table.
pub(super) async fn large_cases(report: &mut Report, subject: &Subject) {
    report.case("ordered: more waits than one look shows", pages(subject)).await;
}

fn at(epoch: u16, seq: u64) -> Version {
    Version { epoch, seq }
}

/// How far a line has come, given the last of each of its epochs.
fn reach(ends: &[(u16, u64)]) -> Reach {
    let mut reach = Reach::default();
    for (epoch, seq) in ends {
        reach.take(at(*epoch, *seq));
    }
    reach
}

fn to(seq: u64) -> Reach {
    Reach::to(version(seq))
}

fn head(seq: u64, text: &str) -> Head {
    let view = serde_json::json!({ "text": text, "seq": seq, "shelf": "ordered", "title": text });
    let view = serde_dynamo::to_item(view).expect("an object becomes an item");
    Head { reach: to(seq), hash: format!("{text}@{seq}"), view, kept: None, early: Vec::new() }
}

fn waiting(seq: u64, text: &str) -> Waiting {
    waiting_at(version(seq), text)
}

fn waiting_at(version: Version, text: &str) -> Waiting {
    let base = u64::from(version.epoch) * 3;
    Waiting { version, base, hash: format!("{text}@{version}"), event: text.to_owned(), parked: false }
}

impl Subject {
    async fn advance(&self, key: &Key, before: Option<Reach>, next: &Head) -> anyhow::Result<Outcome> {
        self.advance_from(key, before, next, None).await
    }

    async fn advance_from(
        &self,
        key: &Key,
        before: Option<Reach>,
        next: &Head,
        base: Option<&Head>,
    ) -> anyhow::Result<Outcome> {
        self.advance_past(key, before.map(|reach| Head { reach, ..head(0, "") }), next, base).await
    }

    async fn advance_past(
        &self,
        key: &Key,
        before: Option<Head>,
        next: &Head,
        base: Option<&Head>,
    ) -> anyhow::Result<Outcome> {
        let written = self.store.ordered().advance(&self.table, key, before.as_ref(), next, base).await?;
        written.outcomes.first().copied().context("no outcome")
    }

    async fn head(&self, key: &Key) -> anyhow::Result<Option<Head>> {
        Ok(self.store.ordered().head(&self.table, key).await?)
    }

    async fn base(&self, key: &Key) -> anyhow::Result<Option<Head>> {
        Ok(self.store.ordered().base(&self.table, key).await?)
    }

    async fn forget(&self, key: &Key, versions: &[Version]) -> anyhow::Result<f64> {
        Ok(self.store.ordered().forget(&self.table, key, versions).await?)
    }

    async fn wait(&self, key: &Key, waiting: &Waiting) -> anyhow::Result<Outcome> {
        let written = self.store.ordered().wait(&self.table, key, waiting).await?;
        written.outcomes.first().copied().context("no outcome")
    }

    async fn waiting(&self, key: &Key) -> anyhow::Result<Vec<Waiting>> {
        Ok(self.store.ordered().waiting(&self.table, key, FIRST..=LAST).await?)
    }
}

async fn conditions(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("ordered-conditions", "a");
    same!(subject.advance(&key, Some(to(0)), &head(1, "from nothing")).await?, Stale(None));
    same!(subject.advance(&key, None, &head(2, "two")).await?, Applied);
    same!(subject.advance(&key, None, &head(3, "three")).await?, Stale(None));
    same!(subject.advance(&key, Some(to(1)), &head(3, "three")).await?, Stale(None));
    same!(subject.advance(&key, Some(to(2)), &head(5, "five")).await?, Applied);
    same!(subject.advance(&key, Some(to(2)), &head(3, "three")).await?, Stale(None));
    let item = subject.item(&key).await?;
    same!(item.get("text"), Some(&Field::Text("five".to_owned())));
    same!(item.get("v"), Some(&Field::Number(version(5).packed().to_string())));
    Ok(())
}

async fn inside(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("ordered-inside", "a");
    let with = |seq, early: &[u8]| Head { early: early.to_vec(), ..head(seq, "x") };
    let written =
        async |before: &Head, next: &Head| subject.advance_past(&key, Some(before.clone()), next, None).await;
    same!(subject.advance(&key, None, &with(1, b"")).await?, Applied);
    same!(written(&with(1, b"three"), &with(2, b"")).await?, Stale(None));
    // What comes early changes nothing else; who read the item before leaves nothing out.
    same!(written(&with(1, b""), &with(1, b"three")).await?, Applied);
    same!(written(&with(1, b""), &with(1, b"four")).await?, Stale(None));
    same!(written(&with(1, b""), &with(2, b"")).await?, Stale(None));
    same!(written(&with(1, b"thre"), &with(2, b"")).await?, Stale(None));
    same!(subject.head(&key).await?, Some(with(1, b"three")));
    same!(written(&with(1, b"three"), &with(1, b"three four")).await?, Applied);
    same!(written(&with(1, b"three"), &with(2, b"")).await?, Stale(None));
    let (bytes, next) = ([0, 1, 255, b'$', 0], with(2, &[0, 1, 255, b'$', 0]));
    same!(written(&with(1, b"three four"), &next).await?, Applied);
    same!(subject.head(&key).await?, Some(next.clone()));
    same!(subject.base(&key).await?, None);
    let split = Head { reach: reach(&[(0, 2), (1, 2)]), ..with(2, b"") };
    let from = |early: &[u8]| Some(with(2, early));
    same!(subject.advance_past(&key, from(b""), &split, Some(&with(2, b""))).await?, Stale(None));
    same!(subject.advance_past(&key, from(&bytes), &split, Some(&with(2, b""))).await?, Applied);
    same!((subject.head(&key).await?, subject.base(&key).await?), (Some(split), Some(with(2, b""))));
    let shown = subject.item(&key).await?;
    ensure!(!shown.contains_key(Head::EARLY), "what waits is taken for content: {shown:?}");
    Ok(())
}

async fn read(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-read");
    same!(subject.head(&key).await?, None);
    let later = Head { reach: Reach::to(at(3, 7)), ..head(7, "seven") };
    let kept = Some(Kept { changes: 4, until: 1_700_000_000 });
    let of_two = Head { reach: reach(&[(3, 9), (5, 8)]), kept, ..head(8, "eight") };
    let from_snapshot = Head { reach: Reach::of_snapshot(at(5, 10)), hash: String::new(), ..head(9, "nine") };
    let mut before = None;
    for next in [head(1, "one"), later, of_two, from_snapshot] {
        same!(subject.advance(&key, before, &next).await?, Applied);
        same!(subject.head(&key).await?, Some(next.clone()));
        before = Some(next.reach);
    }
    Ok(())
}

async fn epochs(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-epochs");
    let (one, other) = (waiting_at(at(0, 4), "one"), waiting_at(at(1, 4), "other"));
    same!(subject.wait(&key, &other).await?, Applied);
    same!(subject.wait(&key, &one).await?, Applied);
    same!(subject.waiting(&key).await?, [one, other.clone()]);
    subject.forget(&key, &[at(0, 4)]).await?;
    same!(subject.waiting(&key).await?, [other]);

    let before = reach(&[(0, 3), (1, 4)]);
    let next = |ends: &[(u16, u64)]| Head { reach: reach(ends), ..head(4, "x") };
    same!(subject.advance(&key, None, &next(&[(0, 3), (1, 4)])).await?, Applied);
    same!(subject.advance(&key, Some(reach(&[(0, 4), (1, 4)])), &next(&[(1, 5)])).await?, Stale(None));
    same!(subject.advance(&key, Some(before.clone()), &next(&[(0, 4), (1, 4)])).await?, Applied);
    same!(subject.advance(&key, Some(before), &next(&[(0, 3), (1, 5)])).await?, Stale(None));
    let version = subject.item(&key).await?.remove("v");
    same!(version, Some(Field::Number(at(1, 4).packed().to_string())));
    Ok(())
}

async fn within(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-within");
    let all = [at(0, 2), at(0, 3), at(1, 1), at(1, 3), at(4, 2)];
    for version in all {
        same!(subject.wait(&key, &waiting_at(version, "x")).await?, Applied);
    }
    for (from, until, shown) in [
        (at(0, 1), at(0, 1), &all[..0]),
        (at(0, 2), at(0, 2), &all[..1]),
        (at(0, 3), at(1, 0), &all[1..2]),
        (at(0, 3), at(1, 3), &all[1..4]),
        (at(1, 4), LAST, &all[4..]),
    ] {
        let waiting = subject.store.ordered().waiting(&subject.table, &key, from..=until).await?;
        let versions: Vec<Version> = waiting.iter().map(|it| it.version).collect();
        same!(versions, shown);
    }
    Ok(())
}

async fn bases(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::new("ordered-bases", "a");
    let (first, other) = (head(1, "first"), head(2, "other"));
    let next = Head { reach: reach(&[(0, 2), (1, 2)]), ..head(2, "next") };
    same!(subject.base(&key).await?, None);
    same!(subject.advance_from(&key, Some(to(7)), &next, Some(&first)).await?, Stale(None));
    same!(subject.base(&key).await?, None);
    same!(subject.advance_from(&key, None, &next, Some(&first)).await?, Applied);
    same!((subject.head(&key).await?, subject.base(&key).await?), (Some(next.clone()), Some(first.clone())));
    same!(subject.advance_from(&key, Some(to(2)), &other, Some(&other)).await?, Stale(None));
    same!((subject.head(&key).await?, subject.base(&key).await?), (Some(next.clone()), Some(first)));
    same!(subject.advance_from(&key, Some(next.reach.clone()), &head(3, "x"), Some(&other)).await?, Applied);
    same!(subject.base(&key).await?, Some(other.clone()));
    same!(subject.waiting(&key).await?, Vec::new());
    let large = Head { view: head(1, &"x".repeat(450_000)).view, ..other };
    let refused = subject.advance_from(&key, Some(to(3)), &head(4, "x"), Some(&large)).await;
    ensure!(refused.is_err(), "a base that is too large is written");
    same!(subject.head(&key).await?, Some(head(3, "x")));
    let items = subject.content().await?.0;
    let shown: Vec<&Key> = items.keys().filter(|it| it.pk == key.pk).collect();
    same!(shown, [&key]);
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
        let units = subject.forget(&key, &[2, 4, 9].map(version)).await?;
        ensure!(units >= 0.0, "{units} units");
        same!(subject.waiting(&key).await?, [waiting(3, "x")]);
    }
    same!(subject.wait(&key, &waiting(2, "another")).await?, Applied);
    let many: Vec<Version> = (10..70).map(version).collect();
    for version in &many {
        subject.wait(&key, &waiting_at(*version, "x")).await?;
    }
    subject.forget(&key, &many).await?;
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
    same!(subject.head(&other).await?, None);
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
    // One that is edited goes on.
    same!(subject.wait(&key, &parked(2, "edited")).await?, Forked);
    same!(subject.wait(&key, &waiting(2, "edited")).await?, Applied);
    same!(subject.wait(&key, &waiting(2, "two")).await?, Forked);
    same!(subject.waiting(&key).await?, [waiting(2, "edited"), parked(3, "three")]);
    Ok(())
}

async fn too_large(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-too-large");
    let huge = head(1, &"x".repeat(450_000));
    match subject.store.ordered().advance(&subject.table, &key, None, &huge, None).await {
        Err(StoreError::Refused { .. }) => {}
        other => anyhow::bail!("{other:?}"),
    }
    same!(subject.head(&key).await?, None);
    Ok(())
}

async fn race(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("ordered-race");
    for round in 0..10_u64 {
        let before = (round > 0).then(|| to(round));
        let next: Vec<Head> = (0..8).map(|who| head(round + 1, &format!("from {who}"))).collect();
        let outcomes = join_all(next.iter().map(|next| subject.advance(&key, before.clone(), next))).await;
        let applied: Vec<usize> = outcomes
            .into_iter()
            .enumerate()
            .filter_map(|(who, outcome)| (outcome.ok()? == Applied).then_some(who))
            .collect();
        same!(applied.len(), 1);
        let stored = subject.head(&key).await?;
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
    let mut seen: BTreeSet<Version> = BTreeSet::new();
    loop {
        let some: Vec<Version> = subject.waiting(&key).await?.into_iter().map(|it| it.version).collect();
        if some.is_empty() {
            break;
        }
        ensure!(seen.len() as u64 + 1 == some[0].seq, "{some:?} come after {seen:?}");
        seen.extend(some.iter());
        subject.forget(&key, &some).await?;
    }
    same!(seen.len(), 12);
    Ok(())
}
