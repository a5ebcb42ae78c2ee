//! A table with the key `pk`, and items with a number `n`.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use embedded::dynamodb::DynamoDb;

pub fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub fn number(n: u32) -> AttributeValue {
    AttributeValue::N(n.to_string())
}

pub async fn create(db: &DynamoDb, table: &str, stream: Option<StreamViewType>) {
    let key = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
    let hash = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash);
    let stream =
        stream.map(|view| StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build());
    db.client()
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(key.build().expect("complete"))
        .key_schema(hash.build().expect("complete"))
        .set_stream_specification(stream.transpose().expect("complete"))
        .send()
        .await
        .expect("a table");
}

pub async fn put(db: &DynamoDb, table: &str, pk: &str, n: u32) {
    db.client()
        .put_item()
        .table_name(table)
        .item("pk", text(pk))
        .item("n", number(n))
        .send()
        .await
        .expect("a put");
}
