//! A week of trade.

use super::customers::{Buyer, buyers};
use super::range::{Article, MARKETS, articles};
use crate::import::Outgoing;
use contracts::catalogue::{ListProduct, RetitleProduct};
use contracts::customers::RegisterCustomer;
use contracts::inventory::{AdjustStock, Reason};
use contracts::orders::{CancelOrder, Line, LineKind, PlaceOrder};
use contracts::pricing::RepriceProduct;
use contracts::returns::IssueCreditNote;
use contracts::{Command, Extra, Money};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

/// How many orders a week brings.
pub(super) const ORDERS: u16 = 200;

/// What the ids of commands are derived from first.
const ORIGIN: &str = "sample";

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

/// The first order comes when the shop has been set up, the last one well before the week ends.
const FIRST_ORDER: i64 = 4 * HOUR;
const MINUTES_PER_ORDER: i64 = (7 * DAY - 2 * FIRST_ORDER) / ORDERS as i64;

/// New prices: minutes from the start, sku, market by its place, hundredths.
const NEW_PRICES: [(i64, &str, usize, u16); 7] = [
    (DAY + 9 * HOUR, "CA101", 0, 325),
    (2 * DAY + 9 * HOUR, "GI201", 0, 1095),
    (2 * DAY + 9 * HOUR, "GI201", 1, 1295),
    (3 * DAY + 10 * HOUR, "FL301", 0, 2250),
    (4 * DAY + 8 * HOUR, "GI203", 2, 1195),
    (5 * DAY + 9 * HOUR, "FL301", 0, 2495),
    (5 * DAY + 16 * HOUR, "CA102", 0, 299),
];

/// New titles: minutes from the start, sku, title.
const NEW_TITLES: [(i64, &str, &str); 3] = [
    (DAY + 11 * HOUR, "GI202", "Beeswax candle, tall, slow-burning"),
    (3 * DAY + 15 * HOUR, "CA104", "Get well soon card, hedgehog in a scarf"),
    (4 * DAY + 12 * HOUR, "FL303", "Dried flowers, meadow mix, large"),
];

/// Orders that are cancelled, by their place.
const CANCELLED: [u16; 3] = [31, 97, 158];

/// Orders of which a piece comes back, by their place.
const RETURNED: [u16; 6] = [12, 45, 80, 103, 121, 166];

/// The shop while its week goes by.
struct Shop {
    start: Timestamp,
    articles: Vec<Article>,
    buyers: Vec<Buyer>,
    commands: Vec<Outgoing>,
}

/// The commands of the week that ends at `now`; those of one aggregate in order, all others in any.
pub(super) fn week(now: Timestamp) -> Vec<Outgoing> {
    let minute = Timestamp::from_second(now.as_second().div_euclid(60) * 60).unwrap_or(now);
    let start = minute - SignedDuration::from_mins(7 * DAY);
    let mut shop = Shop { start, articles: articles(), buyers: buyers(), commands: Vec::new() };
    shop.open();
    shop.change_prices_and_titles();
    for place in 0..ORDERS {
        shop.order(place);
    }
    shop.count_stock();
    shop.commands
}

impl Shop {
    fn at(&self, minutes: i64) -> Timestamp {
        self.start + SignedDuration::from_mins(minutes)
    }

    fn give<C: Command>(&mut self, minutes: i64, occasion: &str, command: C) {
        let outgoing = Outgoing::new(ORIGIN, &[occasion], self.at(minutes), command);
        self.commands.push(outgoing);
    }

    /// Lists, prices and stocks the range, and registers the customers.
    fn open(&mut self) {
        for (place, article) in articles().into_iter().enumerate() {
            let sku = || article.sku.to_owned();
            let list =
                ListProduct { sku: sku(), title: article.title.into(), category: article.category.clone() };
            self.give(0, "opening", list);
            for (market, priced) in MARKETS.iter().enumerate() {
                if let Some(hundredths) = article.price(market) {
                    let price = money(hundredths, priced.currency);
                    let market = priced.code.to_owned();
                    self.give(0, "opening", RepriceProduct { sku: sku(), market, price });
                }
            }
            let quantity = 180 + chance(place, "stock", 120);
            self.give(
                0,
                "opening",
                AdjustStock { sku: sku(), quantity: quantity.into(), reason: Reason::Received },
            );
        }
        for (place, buyer) in (1..).zip(buyers()) {
            let country = MARKETS[buyer.market].country.to_owned();
            let (id, name, email) = (buyer.id, Some(buyer.name.to_owned()), Some(buyer.email));
            self.give(5 * place, "opening", RegisterCustomer { id, name, email, country });
        }
    }

    fn change_prices_and_titles(&mut self) {
        for (minutes, sku, market, hundredths) in NEW_PRICES {
            let market = &MARKETS[market];
            let price = money(hundredths, market.currency);
            let reprice = RepriceProduct { sku: sku.into(), market: market.code.into(), price };
            self.give(minutes, &format!("minute {minutes}"), reprice);
        }
        for (minutes, sku, title) in NEW_TITLES {
            let retitle = RetitleProduct { sku: sku.into(), title: title.into() };
            self.give(minutes, &format!("minute {minutes}"), retitle);
        }
    }

    fn order(&mut self, place: u16) {
        let jitter = chance(place.into(), "minute", 40);
        let minutes = FIRST_ORDER + i64::from(place) * MINUTES_PER_ORDER + i64::from(jitter);
        let customer = &self.buyers[skewed(place.into(), "customer", self.buyers.len())];
        // One in six doesn't sign in, and lives at home.
        let is_guest = chance(place.into(), "guest", 6) == 0;
        let market = if is_guest { 0 } else { customer.market };
        let customer_id = (!is_guest).then(|| customer.id.clone());
        let lines = self.lines(place, minutes, market);
        let (country, currency) = (MARKETS[market].country.to_owned(), MARKETS[market].currency.to_owned());
        let order_id = format!("S{}", 1001 + place);
        if RETURNED.contains(&place) {
            let back = Line { quantity: 1, ..lines[0].clone() };
            let note = IssueCreditNote {
                credit_note_id: format!("C{order_id}"),
                customer_id: customer_id.clone(),
                country: country.clone(),
                currency: currency.clone(),
                lines: vec![back],
            };
            self.give(minutes + DAY + 2 * HOUR, "", note);
        }
        let order = PlaceOrder { order_id: order_id.clone(), customer_id, country, currency, lines };
        self.give(minutes, "", order);
        if CANCELLED.contains(&place) {
            self.give(minutes + 95, "", CancelOrder { order_id });
        }
    }

    /// The lines of an order: different products at the titles and prices of the moment, often postage.
    fn lines(&self, place: u16, minutes: i64, market: usize) -> Vec<Line> {
        let sold: Vec<&Article> = self.articles.iter().filter(|it| it.price(market).is_some()).collect();
        let wanted = 1 + chance(place.into(), "lines", 5);
        let mut chosen: Vec<usize> = Vec::new();
        for line in 0..wanted {
            let choice = skewed(place.into(), &format!("product {line}"), sold.len());
            if !chosen.contains(&choice) {
                chosen.push(choice);
            }
        }
        let product = |(position, choice): (u32, usize)| {
            let article = sold[choice];
            let hundredths = price_at(article, market, minutes).unwrap_or_default();
            let quantity = 1 + chance(place.into(), article.sku, 4);
            let title = title_at(article, minutes);
            line(position, LineKind::Product, article.sku, title, quantity, hundredths)
        };
        let mut lines: Vec<Line> = (1..).zip(chosen).map(product).collect();
        if chance(place.into(), "postage", 3) > 0 {
            let position = u32::try_from(lines.len()).unwrap_or(u32::MAX).saturating_add(1);
            lines.push(line(position, LineKind::Fee, "POST", "Postage", 1, MARKETS[market].postage));
        }
        lines
    }

    /// What was broken, what turned up, and what came in during the week.
    fn count_stock(&mut self) {
        for (place, article) in articles().into_iter().enumerate() {
            let mut adjust = |minutes, occasion: &str, quantity: i64, reason| {
                self.give(minutes, occasion, AdjustStock { sku: article.sku.into(), quantity, reason });
            };
            let few = 1 + i64::from(chance(place, "few", 4));
            if place % 9 == 4 {
                adjust(2 * DAY + 18 * HOUR, "broken", -few, Reason::WrittenOff);
            }
            if place % 4 == 0 {
                adjust(4 * DAY + 7 * HOUR, "delivery", 60, Reason::Received);
            }
            if place % 13 == 5 {
                adjust(5 * DAY + 18 * HOUR, "stocktaking", few, Reason::Found);
            }
        }
    }
}

fn line(position: u32, kind: LineKind, sku: &str, title: &str, quantity: u32, hundredths: u16) -> Line {
    let unit_price = Decimal::new(hundredths.into(), 2);
    Line {
        position,
        kind,
        sku: sku.into(),
        title: title.into(),
        quantity,
        unit_price,
        extra: Extra::default(),
    }
}

fn price_at(article: &Article, market: usize, minutes: i64) -> Option<u16> {
    let new = NEW_PRICES
        .iter()
        .rfind(|(since, sku, place, _)| *since <= minutes && *sku == article.sku && *place == market);
    new.map(|it| it.3).or_else(|| article.price(market))
}

fn title_at(article: &Article, minutes: i64) -> &'static str {
    let new = NEW_TITLES.iter().rfind(|(since, sku, _)| *since <= minutes && *sku == article.sku);
    new.map_or(article.title, |it| it.2)
}

fn money(hundredths: u16, currency: &str) -> Money {
    Money::new(Decimal::new(hundredths.into(), 2), currency)
}

/// A number below `sides` that looks like chance and is the same each time: FNV-1a over the question, mixed.
fn chance(place: usize, question: &str, sides: u32) -> u32 {
    let bytes = question.bytes().chain(place.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    u32::try_from(mixed).unwrap_or_default() % sides
}

/// A place below `length`; the first ones come more often.
fn skewed(place: usize, question: &str, length: usize) -> usize {
    let sides = u32::try_from(length).unwrap_or(u32::MAX);
    let lower = chance(place, question, sides).min(chance(place, &format!("{question}, again"), sides));
    usize::try_from(lower).unwrap_or_default()
}
