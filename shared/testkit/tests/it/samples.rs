//! A projection for each kind of join, over real contracts.

use contracts::catalogue::{ProductDelisted, ProductListed, ProductRetitled};
use contracts::inventory::StockAdjusted;
use contracts::orders::{Line, Order, OrderCancelled, OrderPlaced, Status};
use contracts::pricing::ProductPriced;
use contracts::{Envelope, Extra};
use projection::{Amount, Contribution, Dot, Index, Key, Projection, Row};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Product {
    title: String,
    shelf: &'static str,
}

fn product(product: &contracts::catalogue::Product) -> Row {
    Row::new(Key::alone(&product.sku), &Product { title: product.title.clone(), shelf: "all" })
}

/// State and tombstones, with an index.
pub fn products() -> Projection {
    Projection::new("products", 1)
        .index(Index::new("by_title", "shelf", "title"))
        .state(|event: &Envelope<ProductListed>| product(&event.data.0))
        .state(|event: &Envelope<ProductRetitled>| product(&event.data.0))
        .deleted(|event: &Envelope<ProductDelisted>| Key::alone(&event.data.sku))
}

/// Two sources in one item.
pub fn prices() -> Projection {
    #[derive(Serialize)]
    struct Price {
        amount: Decimal,
        currency: String,
    }
    fn listed(event: &Envelope<ProductListed>) -> Row {
        let product = &event.data.0;
        Row::of_source(
            "catalogue",
            Key::new(&product.sku, "GB"),
            &Product { title: product.title.clone(), shelf: "all" },
        )
    }
    Projection::new("prices", 1)
        .state(listed)
        .deleted_source("catalogue", |event: &Envelope<ProductDelisted>| Key::new(&event.data.sku, "GB"))
        .state(|event: &Envelope<ProductPriced>| {
            let price = &event.data.0;
            let view = Price { amount: price.price.amount, currency: price.price.currency.clone() };
            Row::of_source("pricing", Key::new(&price.sku, &price.market), &view)
        })
}

/// A dotted set.
pub fn stock() -> Projection {
    Projection::new("stock", 1).delta(|event: &Envelope<StockAdjusted>| {
        Dot::new(Key::alone(&event.data.sku), [("on_hand", event.data.quantity.into())])
    })
}

/// Changes in order: the balance after each of the last ones, which no other order gives.
pub fn balances() -> Projection {
    Projection::new("balances", 1).ordered(
        |event: &Envelope<StockAdjusted>| Key::new(&event.data.sku, "balance"),
        |view: Option<Balances>, event| {
            let mut view = view.unwrap_or_default();
            view.last.push(
                view.last.last().copied().unwrap_or(0).wrapping_mul(3).wrapping_add(event.data.quantity),
            );
            Ok(view)
        },
    )
}

/// What [`balances`] holds.
#[derive(Default, Serialize, Deserialize)]
pub struct Balances {
    last: Vec<i64>,
}

/// A ledger.
pub fn sales() -> Projection {
    Projection::new("sales", 1)
        .index(Index::by_number("by_units", "country", "units"))
        .contribution(|event: &Envelope<OrderPlaced>| sold(&event.data.0))
        .contribution(|event: &Envelope<OrderCancelled>| sold(&event.data.0))
}

pub fn sold(order: &Order) -> Contribution {
    let counts = i64::from(order.status != Status::Cancelled);
    let amount = |line: &Line| {
        let units = Decimal::from(line.quantity) * Decimal::from(counts);
        let revenue = line.amount() * Decimal::from(counts);
        Amount::new(format!("product#{}", line.sku), [("units", units), ("revenue", revenue)])
            .with("country", &order.country)
    };
    Contribution::new(format!("sales#{}", order.country), order.lines.iter().map(amount).collect())
}

pub fn order(id: &str, skus: &[(&str, u32)]) -> Order {
    let line = |(position, (sku, quantity)): (usize, &(&str, u32))| Line {
        position: u32::try_from(position).expect("few lines") + 1,
        kind: contracts::orders::LineKind::Product,
        sku: (*sku).to_owned(),
        title: format!("Title of {sku}"),
        quantity: *quantity,
        unit_price: Decimal::new(1275, 2),
        extra: Extra::default(),
    };
    Order { id: id.to_owned(), lines: skus.iter().enumerate().map(line).collect(), ..example() }
}

fn example() -> Order {
    use contracts::Event;
    OrderPlaced::example().0
}

pub fn title(sku: &str, title: &str) -> contracts::catalogue::Product {
    use contracts::Event;
    contracts::catalogue::Product {
        sku: sku.to_owned(),
        title: title.to_owned(),
        ..ProductListed::example().0
    }
}
