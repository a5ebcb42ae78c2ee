//! Changes by a dotted set: each sequence number of a source counts once.

use super::{Report, Subject, decimal, dot, same};
use anyhow::ensure;
use futures::future::join_all;
use projection::Key;
use projection::join::Dot;
use projection::store::Outcome::{self, Applied, Duplicate};
use rust_decimal::Decimal;
use std::collections::BTreeSet;

pub(super) async fn cases(report: &mut Report, subject: &Subject) {
    report.case("dotted set: each change counts once, in any order", once(subject)).await;
    report.case("dotted set: several changes in one write, some of them known", folded(subject)).await;
    report.case("dotted set: more changes than one write holds", many(subject)).await;
    report.case("dotted set: many changes in one write, around some that are known", around(subject)).await;
    report.case("dotted set: a compacted set still knows its changes", compacted(subject)).await;
    report.case("dotted set: each source counts on its own", sources(subject)).await;
    report.case("dotted set: each epoch counts on its own", epochs(subject)).await;
    report.case("dotted set: decimals are exact", exact(subject)).await;
}

pub(super) async fn races(report: &mut Report, subject: &Subject) {
    report.case("dotted set: changes at once all count, once", race(subject)).await;
    report.case("dotted set: many changes at once, many times, all count once", race_of_many(subject)).await;
}

async fn once(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-once");
    for (seq, expected) in [(2, Applied), (1, Applied), (2, Duplicate), (7, Applied), (1, Duplicate)] {
        same!(subject.add(&[dot(&key, seq, Decimal::from(seq))]).await?, [expected]);
    }
    same!(subject.number(&key, "total").await?, Decimal::from(10));
    Ok(())
}

async fn folded(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-folded");
    let one = |seq| dot(&key, seq, Decimal::ONE);
    same!(subject.add(&[one(1), one(3)]).await?, [Applied, Applied]);
    same!(
        subject.add(&[one(4), one(3), one(2), one(4), one(1)]).await?,
        [Applied, Duplicate, Applied, Duplicate, Duplicate]
    );
    same!(subject.add(&[one(2), one(4)]).await?, [Duplicate, Duplicate]);
    same!(subject.number(&key, "total").await?, Decimal::from(4));
    Ok(())
}

async fn many(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-many");
    let dots: Vec<Dot> = (1..=150).rev().map(|seq| dot(&key, seq, Decimal::from(seq))).collect();
    same!(subject.add(&dots).await?, vec![Applied; 150]);
    same!(subject.add(&dots).await?, vec![Duplicate; 150]);
    same!(subject.number(&key, "total").await?, Decimal::from(150 * 151 / 2));
    Ok(())
}

async fn around(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-around");
    let one = |seq| dot(&key, seq, Decimal::ONE);
    let dots = |seqs: &[u64]| seqs.iter().copied().map(one).collect::<Vec<Dot>>();
    same!(subject.add(&dots(&[3, 5, 40])).await?, [Applied; 3]);
    let odd: Vec<u64> = (0..30).map(|it| 2 * it + 1).collect();
    let outcomes = subject.add(&dots(&odd)).await?;
    same!(outcomes.iter().filter(|it| **it == Duplicate).count(), 2);
    same!((outcomes[1], outcomes[2]), (Duplicate, Duplicate));
    same!(remembered(subject, &key, "applied").await?, 30);
    let all: Vec<u64> = (1..=60).collect();
    let applied = subject.add(&dots(&all)).await?.into_iter().filter(|it| *it == Applied).count();
    same!((applied, remembered(subject, &key, "applied").await?), (29, 0));
    same!(subject.add(&dots(&all)).await?, vec![Duplicate; 60]);
    same!(subject.add(&dots(&[60, 61, 63])).await?, [Duplicate, Applied, Applied]);
    same!(subject.number(&key, "total").await?, Decimal::from(62));
    Ok(())
}

async fn compacted(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-compacted");
    let one = |seq| [dot(&key, seq, Decimal::ONE)];
    for ten in 0..25 {
        let dots: Vec<Dot> = (ten * 10 + 1..=ten * 10 + 10).flat_map(one).collect();
        same!(subject.add(&dots).await?, vec![Applied; 10]);
    }
    let remembered = remembered(subject, &key, "applied").await?;
    ensure!(remembered <= 110, "{remembered} sequence numbers are remembered of 250 in a row");
    for seq in [1, 17, 130, 250] {
        same!(subject.add(&one(seq)).await?, [Duplicate]);
    }
    same!(subject.add(&[one(20), one(251), one(254)].concat()).await?, [Duplicate, Applied, Applied]);
    same!(subject.add(&[one(252), one(253), one(251)].concat()).await?, [Applied, Applied, Duplicate]);
    same!(subject.number(&key, "total").await?, Decimal::from(254));
    Ok(())
}

/// How many sequence numbers stand in one of the item's sets.
async fn remembered(subject: &Subject, key: &Key, set: &str) -> anyhow::Result<usize> {
    let mut after = None;
    loop {
        let (items, next) = subject.store.scan(&subject.table, after).await?;
        if let Some((_, item)) = items.into_iter().find(|(it, _)| it == key) {
            let attributes = item.inner().get(set);
            let set = attributes.map(|set| match set {
                serde_dynamo::AttributeValue::Ns(numbers) => numbers.len(),
                _ => 0,
            });
            return Ok(set.unwrap_or(0));
        }
        after = next;
        ensure!(after.is_some(), "no item {key}");
    }
}

async fn sources(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-sources");
    let of = |source, seq| [dot(&key, seq, Decimal::ONE).of_source(source)];
    same!(subject.add(&of("left", 1)).await?, [Applied]);
    same!(subject.add(&of("right", 1)).await?, [Applied]);
    same!(subject.add(&[dot(&key, 1, Decimal::ONE)]).await?, [Applied]);
    same!(subject.add(&of("left", 1)).await?, [Duplicate]);
    same!(subject.number(&key, "total").await?, Decimal::from(3));
    Ok(())
}

async fn epochs(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-epochs");
    let first = |seq| dot(&key, seq, Decimal::ONE);
    let second = |seq| Dot { epoch: 1, base: 3, ..first(seq) };
    same!(subject.add(&[first(1), first(2), first(3)]).await?, [Applied; 3]);
    // The fourth was done in both regions, while each took itself for the home.
    same!(subject.add(&[second(4), second(6)]).await?, [Applied, Applied]);
    same!(subject.add(&[first(4)]).await?, [Applied]);
    same!(subject.add(&[second(4)]).await?, [Duplicate]);
    let later: Vec<Dot> = (5..=150).map(second).collect();
    let applied = subject.add(&later).await?.into_iter().filter(|it| *it == Applied).count();
    same!(applied, 145);
    let remembered = remembered(subject, &key, "applied__1").await?;
    ensure!(remembered <= 110, "{remembered} sequence numbers are remembered of 147 in a row");
    same!(subject.add(&[second(4), second(20), second(151)]).await?, [Duplicate, Duplicate, Applied]);
    same!(subject.number(&key, "total").await?, Decimal::from(3 + 1 + 148));
    Ok(())
}

async fn exact(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-exact");
    let amounts = ["100000000000000000000", "0.001", "0.1", "0.2", "-0.3", "-100000000000000000000", "0.029"];
    let mut so_far = Decimal::ZERO;
    for (amount, seq) in amounts.into_iter().zip(1..) {
        same!(subject.add(&[dot(&key, seq, decimal(amount))]).await?, [Applied]);
        so_far += decimal(amount);
        same!(subject.number(&key, "total").await?, so_far);
    }
    same!(subject.number(&key, "total").await?, decimal("0.03"));
    Ok(())
}

async fn race(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-race");
    let one = |seq| [dot(&key, seq, decimal("0.1"))];
    let writes: Vec<[Dot; 1]> = (1..=40).chain(1..=40).map(one).collect();
    let outcomes: Vec<Vec<Outcome>> =
        join_all(writes.iter().map(|dots| subject.add(dots))).await.into_iter().collect::<Result<_, _>>()?;
    same!(outcomes.iter().filter(|it| **it == [Applied]).count(), 40);
    same!(subject.number(&key, "total").await?, Decimal::from(4));
    Ok(())
}

async fn race_of_many(subject: &Subject) -> anyhow::Result<()> {
    let key = Key::alone("dots-race-of-many");
    let many = |from: u64| -> Vec<Dot> {
        (0..30).map(|it| dot(&key, (from * 7 + it * 3) % 120 + 1, decimal("0.1"))).collect()
    };
    let writes: Vec<Vec<Dot>> = (0..12).map(many).collect();
    let outcomes: Vec<Vec<Outcome>> =
        join_all(writes.iter().map(|dots| subject.add(dots))).await.into_iter().collect::<Result<_, _>>()?;
    let distinct: BTreeSet<u64> = writes.iter().flatten().map(|dot| dot.seq).collect();
    same!(outcomes.iter().flatten().filter(|it| **it == Applied).count(), distinct.len());
    same!(subject.number(&key, "total").await?, Decimal::from(distinct.len()) / Decimal::TEN);
    Ok(())
}
