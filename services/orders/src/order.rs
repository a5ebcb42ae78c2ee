//! The aggregate: an order that is placed, and may be cancelled.

use crate::line;
use contracts::Extra;
use contracts::orders::{self, CancelOrder, OrderCancelled, OrderPlaced, PlaceOrder, Status};
use micrograph::{Aggregate, Context, Decide, Decision, Rejection};

/// An order.
#[derive(Debug)]
pub enum Order {}

impl Aggregate for Order {
    const NAME: &str = "order";
    type State = orders::Order;
}

impl Decide<PlaceOrder> for Order {
    fn decide(
        state: Option<&Self::State>,
        command: &PlaceOrder,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        let PlaceOrder { order_id: id, customer_id, country, currency, lines } = command.clone();
        if !line::is_name(&id) || id.starts_with('C') {
            let why = "an order's number is not blank, and doesn't start with C: those are credit notes'";
            return Err(Rejection::new("INVALID_ORDER_ID", why));
        }
        line::check_parties(customer_id.as_deref(), &country, &currency)?;
        line::check_lines(&lines)?;
        if let Some(order) = state {
            let same = (&customer_id, &country, &currency, &lines)
                == (&order.customer_id, &order.country, &order.currency, &order.lines);
            let why = || format!("order `{id}` is placed already, with other content: choose another number");
            return if same { Ok(Decision::unchanged()) } else { Err(Rejection::new("ORDER_EXISTS", why())) };
        }
        let order = orders::Order {
            id,
            customer_id,
            country,
            status: Status::Placed,
            placed_at: context.at,
            currency,
            lines,
            extra: Extra::default(),
        };
        Ok(Decision::state(order.clone(), &OrderPlaced(order)))
    }
}

impl Decide<CancelOrder> for Order {
    fn decide(
        state: Option<&Self::State>,
        command: &CancelOrder,
        _: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        let Some(order) = state else {
            let why = format!("no order with number `{}` was placed", command.order_id);
            return Err(Rejection::new("UNKNOWN_ORDER", why));
        };
        if order.status == Status::Cancelled {
            return Ok(Decision::unchanged());
        }
        let order = orders::Order { status: Status::Cancelled, ..order.clone() };
        Ok(Decision::state(order.clone(), &OrderCancelled(order)))
    }
}
