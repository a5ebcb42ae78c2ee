//! Creates tables from their description.

use super::failure;
use crate::store::StoreError;
use crate::table::{Index, ScalarType, Table};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::create_table::{CreateTableError as Create, CreateTableInput};
use aws_sdk_dynamodb::operation::delete_table::DeleteTableError;
use aws_sdk_dynamodb::operation::update_time_to_live::UpdateTimeToLiveError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableDescription, TimeToLiveSpecification,
};
use std::collections::BTreeMap;

/// Why a table could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateTableError {
    /// The description leaves something out.
    #[error("the description of a table is not complete")]
    Description(#[source] BuildError),
    /// DynamoDB didn't create it.
    #[error("creating table {table} failed")]
    Create {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: Box<SdkError<Create>>,
    },
    /// DynamoDB didn't add an index to it.
    #[error("adding an index to table {table} failed")]
    Index {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// DynamoDB didn't set its time to live.
    #[error("setting the time to live of table {table} failed")]
    TimeToLive {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: Box<SdkError<UpdateTimeToLiveError>>,
    },
}

/// Creates a table under a name. Where there is one of that name, indexes that it lacks are added to it.
pub async fn create_table(client: &Client, name: &str, table: &Table) -> Result<(), CreateTableError> {
    let input = input(name, table).map_err(CreateTableError::Description)?;
    let request = client
        .create_table()
        .set_table_name(input.table_name)
        .set_attribute_definitions(input.attribute_definitions)
        .set_key_schema(input.key_schema)
        .set_global_secondary_indexes(input.global_secondary_indexes)
        .set_stream_specification(input.stream_specification)
        .set_billing_mode(input.billing_mode);
    match request.send().await {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(Create::is_resource_in_use_exception) => {
            return add_indexes(client, name, table).await;
        }
        Err(error) => {
            return Err(CreateTableError::Create { table: name.to_owned(), source: Box::new(error) });
        }
    }
    let Some(attribute) = table.ttl else { return Ok(()) };
    let specification = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build();
    let specification = specification.map_err(CreateTableError::Description)?;
    let request = client.update_time_to_live().table_name(name).time_to_live_specification(specification);
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(CreateTableError::TimeToLive { table: name.to_owned(), source: Box::new(error) }),
    }
}

/// DynamoDB adds one index at a time.
async fn add_indexes(client: &Client, name: &str, table: &Table) -> Result<(), CreateTableError> {
    if table.indexes.is_empty() {
        return Ok(());
    }
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| CreateTableError::Index {
        table: name.to_owned(),
        source,
    };
    let described = client.describe_table().table_name(name).send().await;
    let described = described.map_err(|error| failed(Box::new(error)))?.table;
    let present: Vec<&str> = described
        .iter()
        .flat_map(TableDescription::global_secondary_indexes)
        .filter_map(|index| index.index_name())
        .collect();
    for index in table.indexes.iter().filter(|index| !present.contains(&index.name)) {
        let built = secondary(index).map_err(CreateTableError::Description)?;
        let add = CreateGlobalSecondaryIndexAction::builder()
            .index_name(built.index_name)
            .set_key_schema(Some(built.key_schema))
            .set_projection(built.projection)
            .build()
            .map_err(CreateTableError::Description)?;
        let mut request = client
            .update_table()
            .table_name(name)
            .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(add).build());
        for (name, scalar) in [(index.partition, ScalarType::String), (index.sort, index.sort_type)] {
            let definition =
                AttributeDefinition::builder().attribute_name(name).attribute_type(self::scalar(scalar));
            request =
                request.attribute_definitions(definition.build().map_err(CreateTableError::Description)?);
        }
        request.send().await.map_err(|error| failed(Box::new(error)))?;
    }
    Ok(())
}

/// Deletes a table with all that is in it, unless there is none of that name.
pub async fn delete_table(client: &Client, name: &str) -> Result<(), StoreError> {
    match client.delete_table().table_name(name).send().await {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(DeleteTableError::is_resource_not_found_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(failure("DeleteTable", name, error)),
    }
}

fn input(name: &str, table: &Table) -> Result<CreateTableInput, BuildError> {
    let mut types = BTreeMap::from([("pk", ScalarAttributeType::S), ("sk", ScalarAttributeType::S)]);
    for index in &table.indexes {
        types.insert(index.partition, ScalarAttributeType::S);
        types.insert(index.sort, scalar(index.sort_type));
    }
    let mut input = CreateTableInput::builder()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("pk", KeyType::Hash)?)
        .key_schema(key("sk", KeyType::Range)?);
    for (name, scalar) in types {
        let definition =
            AttributeDefinition::builder().attribute_name(name).attribute_type(scalar).build()?;
        input = input.attribute_definitions(definition);
    }
    for index in &table.indexes {
        input = input.global_secondary_indexes(secondary(index)?);
    }
    if table.stream {
        let images = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewImage)
            .build()?;
        input = input.stream_specification(images);
    }
    input.build()
}

fn secondary(index: &Index) -> Result<GlobalSecondaryIndex, BuildError> {
    let projection = Projection::builder();
    let projection = match index.include {
        None => projection.projection_type(ProjectionType::All),
        Some([]) => projection.projection_type(ProjectionType::KeysOnly),
        Some(attributes) => projection
            .projection_type(ProjectionType::Include)
            .set_non_key_attributes(Some(attributes.iter().map(|it| (*it).to_owned()).collect())),
    };
    GlobalSecondaryIndex::builder()
        .index_name(index.name)
        .key_schema(key(index.partition, KeyType::Hash)?)
        .key_schema(key(index.sort, KeyType::Range)?)
        .projection(projection.build())
        .build()
}

fn key(name: &str, key_type: KeyType) -> Result<KeySchemaElement, BuildError> {
    KeySchemaElement::builder().attribute_name(name).key_type(key_type).build()
}

fn scalar(scalar: ScalarType) -> ScalarAttributeType {
    match scalar {
        ScalarType::String => ScalarAttributeType::S,
        ScalarType::Number => ScalarAttributeType::N,
    }
}
