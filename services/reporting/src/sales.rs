//! The read model of what was sold and came back: orders and credit notes with their lines, and what their lines and
//! customers are joined with when a question is asked.

#[cfg(test)]
mod tests;

use async_graphql::Enum;
use contracts::Envelope;
use contracts::catalogue::{self, Product, ProductListed, ProductRetitled};
use contracts::customers::{Customer, CustomerErased, CustomerRegistered};
use contracts::orders::{Line, LineKind, Order, OrderCancelled, OrderPlaced, Status};
use contracts::returns::{CreditNote, CreditNoteIssued};
use jiff::Timestamp;
use projection::{Key, Projection, Row};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What a product is, broadly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// A greeting card.
    Card,
    /// A gift.
    Gift,
    /// Flowers.
    Flowers,
    /// Something that this graph has no name for yet.
    Other,
}

/// An order, or a credit note.
#[derive(Serialize)]
struct Trade<'a> {
    kind: &'static str,
    at: Timestamp,
    country: &'a str,
    currency: &'a str,
    customer: Option<&'a str>,
    lines: Vec<Sold<'a>>,
}

/// A line of it; only a product has a SKU.
#[derive(Serialize)]
struct Sold<'a> {
    sku: Option<&'a str>,
    units: u32,
    amount: Decimal,
}

#[derive(Serialize)]
struct Listed {
    category: Category,
}

#[derive(Serialize)]
struct Known<'a> {
    country: &'a str,
}

/// Rows by what they are of: `order#`, `return#`, `product#` and `customer#`. A product that isn't listed any more keeps the
/// category that it was sold under; of a customer who was erased, the country is gone.
pub fn projection() -> Projection {
    Projection::new("sales", 1)
        .relational()
        .state(|event: &Envelope<OrderPlaced>| order(&event.data.0))
        .state(|event: &Envelope<OrderCancelled>| order(&event.data.0))
        .state(|event: &Envelope<CreditNoteIssued>| credit_note(&event.data.0))
        .state(|event: &Envelope<ProductListed>| product(&event.data.0))
        .state(|event: &Envelope<ProductRetitled>| product(&event.data.0))
        .state(|event: &Envelope<CustomerRegistered>| {
            let Customer { id, country, .. } = &event.data.0;
            Row::new(customer_key(id), &Known { country })
        })
        .deleted(|event: &Envelope<CustomerErased>| customer_key(&event.data.id))
}

fn order(order: &Order) -> Row {
    // What was cancelled was not sold.
    let lines = if order.status == Status::Cancelled { &[][..] } else { &order.lines };
    let trade = Trade {
        kind: "order",
        at: order.placed_at,
        country: &order.country,
        currency: &order.currency,
        customer: order.customer_id.as_deref(),
        lines: sold(lines),
    };
    Row::new(Key::alone(format!("order#{}", order.id)), &trade)
}

fn credit_note(note: &CreditNote) -> Row {
    let trade = Trade {
        kind: "return",
        at: note.issued_at,
        country: &note.country,
        currency: &note.currency,
        customer: note.customer_id.as_deref(),
        lines: sold(&note.lines),
    };
    Row::new(Key::alone(format!("return#{}", note.id)), &trade)
}

fn sold(lines: &[Line]) -> Vec<Sold<'_>> {
    let of = lines.iter().map(|line| Sold {
        sku: (line.kind == LineKind::Product).then_some(line.sku.as_str()),
        units: line.quantity,
        amount: line.amount(),
    });
    of.collect()
}

fn product(product: &Product) -> Row {
    let category = match product.category {
        catalogue::Category::Card => Category::Card,
        catalogue::Category::Gift => Category::Gift,
        catalogue::Category::Flowers => Category::Flowers,
        catalogue::Category::Unknown(_) => Category::Other,
    };
    Row::new(Key::alone(format!("product#{}", product.sku)), &Listed { category })
}

fn customer_key(id: &str) -> Key {
    Key::alone(format!("customer#{id}"))
}
