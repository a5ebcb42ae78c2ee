//! A ledger: what each contributor contributes at its greatest version, and the totals of it.

use super::{Report, Subject, contribution, decimal, same, version};
use anyhow::ensure;
use futures::future::join_all;
use projection::store::Outcome::{self, Applied, Duplicate, Forked, Stale};
use projection::store::StoreError;
use projection::{Contribution, Key};
use rust_decimal::Decimal;

pub(super) async fn cases(report: &mut Report, subject: &Subject) {
    report.case("ledger: a contribution replaces the one before", replaced(subject)).await;
    report.case("ledger: a contribution that feeds other totals leaves those before", moved(subject)).await;
    report.case("ledger: several contributors in one write, some of them known", mixed(subject)).await;
    report.case("ledger: many contributors in one write, of every kind", many(subject)).await;
    report.case("ledger: more contributors and totals than a transaction holds", split(subject)).await;
    report
        .case("ledger: replaced contributions that don't fit into one transaction", split_replaced(subject))
        .await;
    report.case("ledger: one contribution to too many totals is refused", too_many(subject)).await;
    report.case("ledger: decimals are exact", exact(subject)).await;
}

pub(super) async fn races(report: &mut Report, subject: &Subject) {
    report.case("ledger: contributions at once to the same totals all count, once", race(subject)).await;
    report.case("ledger: versions of one contributor at once leave the greatest", race_of_one(subject)).await;
}

fn units(count: i64) -> Decimal {
    Decimal::from(count)
}

async fn total(subject: &Subject, ledger: &str, total: &str) -> anyhow::Result<Decimal> {
    subject.number(&Key::new(ledger, total), "units").await
}

async fn replaced(subject: &Subject) -> anyhow::Result<()> {
    let it = |seq, count| [contribution("ledger-replaced", "a", seq, &[("t", units(count))])];
    same!(subject.contribute(&it(1, 5)).await?, [Applied]);
    same!(subject.contribute(&it(3, 2)).await?, [Applied]);
    same!(subject.contribute(&it(3, 2)).await?, [Duplicate]);
    same!(subject.contribute(&it(2, 9)).await?, [Stale(Some(version(3)))]);
    same!(subject.contribute(&it(3, 7)).await?, [Forked]);
    same!(total(subject, "ledger-replaced", "t").await?, units(2));
    same!(subject.contribute(&it(4, 0)).await?, [Applied]);
    same!(total(subject, "ledger-replaced", "t").await?, units(0));
    same!(subject.contribute(&it(5, -3)).await?, [Applied]);
    same!(total(subject, "ledger-replaced", "t").await?, units(-3));
    Ok(())
}

async fn moved(subject: &Subject) -> anyhow::Result<()> {
    let ledger = "ledger-moved";
    let one = |seq, amounts: &[(&str, Decimal)]| [contribution(ledger, "a", seq, amounts)];
    same!(subject.contribute(&one(1, &[("x", units(5)), ("y", units(1))])).await?, [Applied]);
    same!(subject.contribute(&[contribution(ledger, "b", 1, &[("x", units(10))])]).await?, [Applied]);
    same!(subject.contribute(&one(2, &[("y", units(4)), ("z", units(2))])).await?, [Applied]);
    same!(total(subject, ledger, "x").await?, units(10));
    same!(total(subject, ledger, "y").await?, units(4));
    same!(total(subject, ledger, "z").await?, units(2));
    Ok(())
}

async fn mixed(subject: &Subject) -> anyhow::Result<()> {
    let one = |name: &str, seq, count| contribution("ledger-mixed", name, seq, &[("t", units(count))]);
    same!(subject.contribute(&[one("a", 1, 1), one("b", 2, 2)]).await?, [Applied, Applied]);
    same!(
        subject.contribute(&[one("a", 1, 1), one("b", 3, 20), one("c", 1, 100), one("b2", 1, 0)]).await?,
        [Duplicate, Applied, Applied, Applied]
    );
    same!(
        subject.contribute(&[one("b", 2, 2), one("a", 1, 7), one("c", 2, 200)]).await?,
        [Stale(Some(version(3))), Forked, Applied]
    );
    same!(total(subject, "ledger-mixed", "t").await?, units(221));
    let item = subject.item(&Key::new("ledger-mixed", "t")).await?;
    ensure!(item.contains_key("shelf"), "what follows from the total's key is set: {item:?}");
    Ok(())
}

async fn many(subject: &Subject) -> anyhow::Result<()> {
    let one = |number: i64, seq, count| {
        contribution("ledger-many", &format!("c{number}"), seq, &[("t", units(count))])
    };
    let first: Vec<Contribution> = (0..30).map(|number| one(number, 2, 1)).collect();
    same!(subject.contribute(&first).await?, vec![Applied; 30]);
    // Of each four: the same again, a later one, an earlier one, another of the same version; then new ones.
    let again = |number: i64| match number % 4 {
        0 => one(number, 2, 1),
        1 => one(number, 3, 10),
        2 => one(number, 1, 7),
        _ => one(number, 2, 7),
    };
    let outcome = |number: i64| match (number >= 30, number % 4) {
        (true, _) | (_, 1) => Applied,
        (_, 0) => Duplicate,
        (_, 2) => Stale(Some(version(2))),
        _ => Forked,
    };
    let second: Vec<Contribution> =
        (0..40).map(|number| if number < 30 { again(number) } else { one(number, 1, 100) }).collect();
    same!(subject.contribute(&second).await?, (0..40).map(outcome).collect::<Vec<_>>());
    same!(total(subject, "ledger-many", "t").await?, units(30 + 8 * 9 + 10 * 100));
    Ok(())
}

fn wide(ledger: &str, contributors: usize, seq: u64, from: usize, each: usize) -> Vec<Contribution> {
    let one = |number: usize| {
        let totals: Vec<String> = (from..from + each).map(|total| format!("{number}-{total}")).collect();
        let mut amounts: Vec<(&str, Decimal)> = totals.iter().map(|it| (it.as_str(), units(1))).collect();
        amounts.push(("all", units(1)));
        contribution(ledger, &format!("c{number}"), seq, &amounts)
    };
    (0..contributors).map(one).collect()
}

async fn split(subject: &Subject) -> anyhow::Result<()> {
    let all = wide("ledger-split", 150, 1, 0, 2);
    same!(subject.contribute(&all).await?, vec![Applied; 150]);
    same!(subject.contribute(&all).await?, vec![Duplicate; 150]);
    same!(total(subject, "ledger-split", "all").await?, units(150));
    Ok(())
}

async fn split_replaced(subject: &Subject) -> anyhow::Result<()> {
    let ledger = "ledger-split-replaced";
    same!(subject.contribute(&wide(ledger, 4, 1, 0, 20)).await?, vec![Applied; 4]);
    same!(subject.contribute(&wide(ledger, 4, 2, 100, 20)).await?, vec![Applied; 4]);
    same!(total(subject, ledger, "all").await?, units(4));
    same!(total(subject, ledger, "2-0").await?, units(0));
    same!(total(subject, ledger, "2-100").await?, units(1));
    Ok(())
}

async fn too_many(subject: &Subject) -> anyhow::Result<()> {
    let refused = subject.store.contribute(&subject.table, &wide("ledger-too-many", 1, 1, 0, 120)).await;
    ensure!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    Ok(())
}

async fn exact(subject: &Subject) -> anyhow::Result<()> {
    let one =
        |name: &str, seq, amount: &str| [contribution("ledger-exact", name, seq, &[("t", decimal(amount))])];
    let amounts = ["100000000000000000000", "0.001", "0.1", "0.2"];
    for (number, amount) in amounts.into_iter().enumerate() {
        same!(subject.contribute(&one(&format!("c{number}"), 1, amount)).await?, [Applied]);
    }
    same!(total(subject, "ledger-exact", "t").await?, decimal("100000000000000000000.301"));
    same!(subject.contribute(&one("c0", 2, "0.029")).await?, [Applied]);
    same!(total(subject, "ledger-exact", "t").await?, decimal("0.330"));
    Ok(())
}

async fn race(subject: &Subject) -> anyhow::Result<()> {
    let one = |number| [contribution("ledger-race", &format!("c{number}"), 1, &[("t", decimal("0.1"))])];
    let writes: Vec<_> = (0..20).chain(0..20).map(one).collect();
    let outcomes = settled(subject, &writes).await?;
    same!(outcomes.iter().filter(|it| **it == [Applied]).count(), 20);
    same!(total(subject, "ledger-race", "t").await?, units(2));
    Ok(())
}

async fn race_of_one(subject: &Subject) -> anyhow::Result<()> {
    let one = |seq| [contribution("ledger-race-of-one", "a", seq, &[("t", Decimal::from(seq))])];
    let writes: Vec<_> = (1..=12).rev().chain(1..=12).map(one).collect();
    settled(subject, &writes).await?;
    same!(total(subject, "ledger-race-of-one", "t").await?, units(12));
    Ok(())
}

/// Writes all at once; those that conflict for too long come again, as a queue would bring them.
async fn settled(subject: &Subject, writes: &[[Contribution; 1]]) -> anyhow::Result<Vec<Vec<Outcome>>> {
    let write = async |contributions: &[Contribution; 1]| {
        let mut deliveries = 0;
        loop {
            match subject.store.contribute(&subject.table, contributions).await {
                Ok(written) => return Ok(written.outcomes),
                Err(StoreError::Transient { .. }) if deliveries < 5 => deliveries += 1,
                Err(error) => return Err(error),
            }
        }
    };
    Ok(join_all(writes.iter().map(write)).await.into_iter().collect::<Result<_, _>>()?)
}
