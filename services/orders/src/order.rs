//! The aggregate: an order, which may be cancelled. Its lines never change.

use contracts::Extra;
use contracts::orders::{self, CancelOrder, OrderCancelled, OrderPlaced, PlaceOrder, Status};
use micrograph::{Aggregate, Context, Decide, Decided, Decision, Rejection};

/// An order.
#[derive(Debug)]
pub enum Order {}

impl Aggregate for Order {
    const NAME: &str = "order";
    type State = orders::Order;
}

impl Decide<PlaceOrder> for Order {
    fn decide(state: Option<&Self::State>, command: &PlaceOrder, context: &Context) -> Decided<Self> {
        let PlaceOrder { order_id: id, customer_id, country, currency, lines } = command.clone();
        let (status, placed_at, extra) = (Status::Placed, context.at, Extra::default());
        let order = orders::Order { id, customer_id, country, status, placed_at, currency, lines, extra };
        let Some(placed) = state else { return Ok(Decision::state(order.clone(), &OrderPlaced(order))) };
        let again = orders::Order { status: placed.status.clone(), placed_at: placed.placed_at, ..order };
        if again == *placed {
            return Ok(Decision::unchanged());
        }
        let why = "the number is another order's, with other content: choose a number that is free";
        Err(Rejection::new("ORDER_EXISTS", why))
    }
}

impl Decide<CancelOrder> for Order {
    fn decide(state: Option<&Self::State>, command: &CancelOrder, _: &Context) -> Decided<Self> {
        let unplaced = || format!("no order with number `{}` was placed", command.order_id);
        let order = state.ok_or_else(|| Rejection::new("UNKNOWN_ORDER", unplaced()))?;
        if order.status == Status::Cancelled {
            return Ok(Decision::unchanged());
        }
        let order = orders::Order { status: Status::Cancelled, ..order.clone() };
        Ok(Decision::state(order.clone(), &OrderCancelled(order)))
    }
}
