//! Lists: the rows of one partition, page by page.

use super::{Item, ReadError, Reader, key_of, shows};
use crate::error::UserError;
use crate::key::Key;
use crate::page::{Cursor, Page, PageArgs, PageError, Row, Scope};
use aws_sdk_dynamodb::types::AttributeValue;
use freshness::Tag;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// Reads for one page: each brings up to 1 MB, so that a page behind this many is behind megabytes of tombstones.
const MAX_READS: usize = 10;

/// The rows of one partition of a table or index, in the order of their sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The index; `None` for the table itself.
    pub index: Option<Index>,
    /// The partition key's value.
    pub partition: String,
    /// Which sort keys.
    pub range: Range,
    /// Whether the greatest sort key comes first.
    pub descending: bool,
}

/// A secondary index and its key attributes. Its partition key is a string; its sort key a string or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The index's name.
    pub name: String,
    /// The name of its partition key.
    pub pk: String,
    /// The name of its sort key.
    pub sk: String,
}

/// Which sort keys a list has; they are compared as strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of them.
    All,
    /// Those with a prefix. An empty prefix is [`Range::All`].
    BeginsWith(String),
    /// Those from the first to the second, both included.
    Between(String, String),
}

impl List {
    /// All rows of a partition of the table, ascending.
    pub fn of(partition: impl Into<String>) -> Self {
        Self { index: None, partition: partition.into(), range: Range::All, descending: false }
    }

    /// The same over an index.
    #[must_use]
    pub fn index(self, name: impl Into<String>, pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { index: Some(Index { name: name.into(), pk: pk.into(), sk: sk.into() }), ..self }
    }

    /// Only some sort keys.
    #[must_use]
    pub fn range(self, range: Range) -> Self {
        Self { range, ..self }
    }

    /// The greatest sort key first.
    #[must_use]
    pub fn descending(self) -> Self {
        Self { descending: true, ..self }
    }

    fn keys(&self) -> (&str, &str) {
        self.index.as_ref().map_or(("pk", "sk"), |index| (index.pk.as_str(), index.sk.as_str()))
    }

    fn attributes(&self) -> Vec<&str> {
        let (pk, sk) = self.keys();
        let mut names = vec!["pk", "sk", pk, sk];
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What its cursors are bound to. The debug form of strings is unambiguous.
    fn scope(&self, name: &str) -> Scope {
        Scope(format!("{name:?} {self:?}"))
    }
}

impl Reader {
    /// A page of a list, with whether there is more known from the same read.
    ///
    /// Tombstones and expired rows are passed over. A page may have fewer rows than asked for although there are
    /// more, where a great many of them lie between; it says so by `has_next` (or `has_previous`).
    pub async fn page<V: DeserializeOwned>(
        &self,
        list: &List,
        args: &PageArgs,
    ) -> Result<Page<V>, PageError> {
        shows(|| match &list.index {
            None => Tag::partition(&self.name, &list.partition),
            Some(index) => Tag::index(&self.name, &index.name, &list.partition),
        });
        self.current().await?.read_page(list, args).await
    }

    async fn read_page<V: DeserializeOwned>(
        &self,
        list: &List,
        args: &PageArgs,
    ) -> Result<Page<V>, PageError> {
        let scope = list.scope(&self.name);
        let names = list.attributes();
        let mut start = match &args.cursor {
            Some(cursor) => Some(self.start(list, Cursor::decode(cursor, &scope, &names)?)?),
            None => None,
        };
        let mut rows: Vec<Row<V>> = Vec::with_capacity(args.size);
        let mut more = false;
        let mut reads = 0;
        'reading: loop {
            if reads == MAX_READS {
                if rows.is_empty() {
                    return Err(ReadError::Tombstones { table: self.table.to_string(), reads }.into());
                }
                more = true;
                break;
            }
            // One row beyond the page says whether there is a next. After a read full of tombstones, read further.
            let wanted = if reads == 0 { args.size + 1 } else { args.size.max(100) + 1 };
            let (items, next) = self.query(list, args.backward, wanted, start.take()).await?;
            reads += 1;
            for item in items.into_iter().filter(|item| self.alive(item)) {
                if rows.len() == args.size {
                    more = true;
                    break 'reading;
                }
                if let Some(key) = key_of(&item) {
                    self.shows(&key);
                }
                rows.push(self.row(&scope, &names, &item)?);
            }
            match next {
                Some(next) => start = Some(next),
                None => break,
            }
        }
        let given = args.cursor.is_some();
        let (has_next, has_previous) = if args.backward { (given, more) } else { (more, given) };
        if args.backward {
            rows.reverse();
        }
        Ok(Page { rows, has_next, has_previous })
    }

    /// A cursor as DynamoDB takes it, if it lies in this list's partition.
    fn start(&self, list: &List, cursor: Cursor) -> Result<Item, UserError> {
        let key = cursor.into_key();
        match key.get(list.keys().0) {
            Some(AttributeValue::S(partition)) if *partition == list.partition => Ok(key),
            _ => Err(UserError::bad_input(format!("this cursor is not of this list of {}", self.name))),
        }
    }

    fn row<V: DeserializeOwned>(
        &self,
        scope: &Scope,
        names: &[&str],
        item: &Item,
    ) -> Result<Row<V>, ReadError> {
        let no_key = || ReadError::NoKey { table: self.table.to_string(), attributes: names.join(", ") };
        let cursor = Cursor::of(item, names).ok_or_else(no_key)?.encode(scope);
        let key: Key = key_of(item).ok_or_else(no_key)?;
        let view = self.view(&key, item)?.ok_or_else(no_key)?;
        Ok(Row { cursor, view })
    }

    async fn query(
        &self,
        list: &List,
        backward: bool,
        limit: usize,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), ReadError> {
        let (pk, sk) = list.keys();
        let mut names = HashMap::from([("#p".to_owned(), pk.to_owned())]);
        let mut values = HashMap::from([(":p".to_owned(), AttributeValue::S(list.partition.clone()))]);
        let mut value =
            |name: &str, text: &str| values.insert(name.to_owned(), AttributeValue::S(text.to_owned()));
        let condition = match &list.range {
            Range::BeginsWith(prefix) if !prefix.is_empty() => {
                value(":a", prefix);
                "#p = :p AND begins_with(#s, :a)"
            }
            Range::Between(from, to) => {
                value(":a", from);
                value(":b", to);
                "#p = :p AND #s BETWEEN :a AND :b"
            }
            Range::All | Range::BeginsWith(_) => "#p = :p",
        };
        if condition.contains("#s") {
            names.insert("#s".to_owned(), sk.to_owned());
        }
        let answer = self
            .client
            .query()
            .table_name(&*self.table)
            .set_index_name(list.index.as_ref().map(|index| index.name.clone()))
            .key_condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(list.descending == backward)
            .consistent_read(self.consistent && list.index.is_none())
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| ReadError::Store {
                table: self.table.to_string(),
                source: Box::new(error.into()),
            })?;
        telemetry::metrics::counter(
            telemetry::metrics::ITEMS_READ,
            u64::try_from(answer.scanned_count).unwrap_or(0),
            &[("Table", &self.table)],
        );
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.filter(|key| !key.is_empty())))
    }
}
