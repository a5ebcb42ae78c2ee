//! What the store of projections relies on in a DynamoDB.

use super::{Report, row, same, tombstone};
use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem,
    Update,
};
use projection::Key;
use projection::dynamodb::DynamoStore;
use projection::store::Store;

pub(super) async fn cases(report: &mut Report, client: &Client, table: &str) {
    report.case("endpoint: a tombstone leaves nothing in an index", index(client, table)).await;
    report.case("endpoint: ADD is exact on decimals", add(client, table)).await;
    report.case("endpoint: contains() looks into sets of numbers", contains(client, table)).await;
    report.case("endpoint: a failed condition brings the item", condition(client, table)).await;
    report
        .case("endpoint: a cancelled transaction says why, with the item", cancellation(client, table))
        .await;
    report.case("endpoint: a transaction writes all or nothing", atomic(client, table)).await;
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(text: &str) -> AttributeValue {
    AttributeValue::N(text.to_owned())
}

async fn index(client: &Client, table: &str) -> anyhow::Result<()> {
    let store = DynamoStore::new(client.clone(), crate::clock);
    let key = Key::new("endpoint-index", "a");
    let found = async || {
        let query = client.query().table_name(table).index_name("by_title");
        let query = query.key_condition_expression("shelf = :shelf");
        anyhow::Ok(query.expression_attribute_values(":shelf", text(&key.pk)).send().await?.count)
    };
    store.put(table, &row(&key, None, 1, "one")).await?;
    same!(found().await?, 1);
    store.put(table, &tombstone(&key, None, 2)).await?;
    same!(found().await?, 0);
    Ok(())
}

async fn add(client: &Client, table: &str) -> anyhow::Result<()> {
    let mut seen = String::new();
    for amount in ["99999999999999999999", "0.001", "0.1", "0.2", "-99999999999999999999"] {
        let update = client.update_item().table_name(table);
        let update = update.key("pk", text("endpoint-add")).key("sk", text("-"));
        let update = update.update_expression("ADD n :n").expression_attribute_values(":n", number(amount));
        let done = update.return_values(ReturnValue::UpdatedNew).send().await?;
        let total = done.attributes().and_then(|it| it.get("n")?.as_n().ok());
        seen.clone_from(total.context("no answer")?);
    }
    same!(crate::content::number(&seen), "0.301");
    Ok(())
}

async fn contains(client: &Client, table: &str) -> anyhow::Result<()> {
    let set = |numbers: &[&str]| AttributeValue::Ns(numbers.iter().map(|it| (*it).to_owned()).collect());
    let update = async |seq: &str| {
        let update = client.update_item().table_name(table);
        let update = update.key("pk", text("endpoint-contains")).key("sk", text("-"));
        let update =
            update.update_expression("ADD applied :set").expression_attribute_values(":set", set(&[seq]));
        let update = update.condition_expression("NOT contains(applied, :n)");
        let answer = update.expression_attribute_values(":n", number(seq)).send().await;
        answer.map(drop).map_err(aws_sdk_dynamodb::error::SdkError::into_service_error)
    };
    for seq in ["1", "12", "281474976710655"] {
        ensure!(update(seq).await.is_ok(), "{seq} is not in the set");
        let refused = update(seq).await;
        ensure!(
            matches!(&refused, Err(error) if error.is_conditional_check_failed_exception()),
            "{refused:?}"
        );
    }
    ensure!(update("2").await.is_ok(), "2 is not in the set of 1 and 12");
    Ok(())
}

async fn condition(client: &Client, table: &str) -> anyhow::Result<()> {
    let write = || {
        let put =
            client.put_item().table_name(table).item("pk", text("endpoint-condition")).item("sk", text("-"));
        let put =
            put.item("v", number("1152921504606846976")).condition_expression("attribute_not_exists(pk)");
        put.return_values_on_condition_check_failure(OnFailure::AllOld)
    };
    write().send().await?;
    let error = write().send().await.err().context("it is there")?.into_service_error();
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(failed) = error
    else {
        anyhow::bail!("{error:?}");
    };
    same!(failed.item().and_then(|it| it.get("v")).cloned(), Some(number("1152921504606846976")));
    let update =
        client.update_item().table_name(table).key("pk", text("endpoint-condition")).key("sk", text("-"));
    let update = update.update_expression("SET v = :v").condition_expression("v < :v");
    let update = update.expression_attribute_values(":v", number("9"));
    let update = update.return_values_on_condition_check_failure(OnFailure::AllOld);
    let error = update.send().await.err().context("9 is not more")?.into_service_error();
    let UpdateItemError::ConditionalCheckFailedException(failed) = error else { anyhow::bail!("{error:?}") };
    ensure!(failed.item().is_some_and(|it| it.contains_key("v")), "{failed:?}");
    Ok(())
}

fn put_if_new(table: &str, sk: &str) -> anyhow::Result<TransactWriteItem> {
    let put = Put::builder().table_name(table).item("pk", text("endpoint-transaction")).item("sk", text(sk));
    let put = put.item("v", number("7")).condition_expression("attribute_not_exists(pk)");
    let put = put.return_values_on_condition_check_failure(OnFailure::AllOld).build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

fn count(table: &str) -> anyhow::Result<TransactWriteItem> {
    let update = Update::builder().table_name(table);
    let update = update.key("pk", text("endpoint-transaction")).key("sk", text("count"));
    let update = update.update_expression("ADD n :one").expression_attribute_values(":one", number("1"));
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}

async fn cancellation(client: &Client, table: &str) -> anyhow::Result<()> {
    client.transact_write_items().transact_items(put_if_new(table, "known")?).send().await?;
    let items = vec![put_if_new(table, "new")?, put_if_new(table, "known")?, count(table)?];
    let sent = client.transact_write_items().set_transact_items(Some(items)).send().await;
    let error = sent.err().context("one is known")?.into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        anyhow::bail!("{error:?}");
    };
    let codes: Vec<_> = canceled.cancellation_reasons().iter().map(|it| it.code().unwrap_or("-")).collect();
    same!(codes, ["None", "ConditionalCheckFailed", "None"]);
    let item = canceled.cancellation_reasons()[1].item();
    same!(item.and_then(|it| it.get("v")).cloned(), Some(number("7")));
    Ok(())
}

async fn atomic(client: &Client, table: &str) -> anyhow::Result<()> {
    for (sk, succeeds) in [("atomic", true), ("atomic", false), ("atomic-2", true)] {
        let items = vec![count(table)?, put_if_new(table, sk)?];
        let sent = client.transact_write_items().set_transact_items(Some(items)).send().await;
        same!(sent.is_ok(), succeeds);
    }
    let read = client.get_item().table_name(table).consistent_read(true);
    let read = read.key("pk", text("endpoint-transaction")).key("sk", text("count")).send().await?;
    same!(read.item().and_then(|it| it.get("n")).cloned(), Some(number("2")));
    Ok(())
}
