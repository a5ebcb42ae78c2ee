//! The aggregates: an order, which may be cancelled, and a credit note. Neither ever changes its lines.

use contracts::Extra;
use contracts::orders::{
    self, CancelOrder, CreditNoteIssued, IssueCreditNote, Line, LineKind, OrderCancelled, OrderPlaced,
    PlaceOrder, Status,
};
use micrograph::{Aggregate, Context, Decide, Decided, Decision, Rejection};
use rust_decimal::Decimal;

/// An order.
#[derive(Debug)]
pub enum Order {}

/// A credit note.
#[derive(Debug)]
pub enum CreditNote {}

impl Aggregate for Order {
    const NAME: &str = "order";
    type State = orders::Order;
}

impl Aggregate for CreditNote {
    const NAME: &str = "credit-note";
    type State = orders::CreditNote;
}

impl Decide<PlaceOrder> for Order {
    fn decide(state: Option<&Self::State>, command: &PlaceOrder, context: &Context) -> Decided<Self> {
        check(&command.lines)?;
        let PlaceOrder { order_id: id, customer_id, country, currency, lines } = command.clone();
        let (status, placed_at, extra) = (Status::Placed, context.at, Extra::default());
        let order = orders::Order { id, customer_id, country, status, placed_at, currency, lines, extra };
        let Some(placed) = state else { return Ok(Decision::state(order.clone(), &OrderPlaced(order))) };
        let same = orders::Order { status: placed.status.clone(), placed_at: placed.placed_at, ..order };
        unchanged_if(same == *placed, "ORDER_EXISTS")
    }
}

impl Decide<CancelOrder> for Order {
    fn decide(state: Option<&Self::State>, command: &CancelOrder, _: &Context) -> Decided<Self> {
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

impl Decide<IssueCreditNote> for CreditNote {
    fn decide(state: Option<&Self::State>, command: &IssueCreditNote, context: &Context) -> Decided<Self> {
        check(&command.lines)?;
        let IssueCreditNote { credit_note_id: id, customer_id, country, currency, lines } = command.clone();
        let (issued_at, extra) = (context.at, Extra::default());
        let note = orders::CreditNote { id, customer_id, country, issued_at, currency, lines, extra };
        let Some(issued) = state else { return Ok(Decision::state(note.clone(), &CreditNoteIssued(note))) };
        let same = orders::CreditNote { issued_at: issued.issued_at, ..note };
        unchanged_if(same == *issued, "CREDIT_NOTE_EXISTS")
    }
}

/// The same again changes nothing; another one can't have the number.
fn unchanged_if<S>(same: bool, code: &'static str) -> Result<Decision<S>, Rejection> {
    let why = "the number is another one's, with other content: choose a number that is free";
    if same { Ok(Decision::unchanged()) } else { Err(Rejection::new(code, why)) }
}

/// What the limits of single fields don't say: positions ascend, and lines are products, not below zero, or fees.
fn check(lines: &[Line]) -> Result<(), Rejection> {
    let mut before = 0;
    for Line { position, kind, unit_price, .. } in lines {
        if *position <= before {
            let why = format!("positions ascend; {position} comes after {before}");
            return Err(Rejection::new("INVALID_POSITION", why));
        }
        before = *position;
        match kind {
            LineKind::Unknown(kind) => {
                let why = format!(
                    "line {position} is of kind `{kind}`: a sale is of products and fees, adjustments of a ledger are none"
                );
                return Err(Rejection::new("UNKNOWN_LINE_KIND", why));
            }
            LineKind::Product if *unit_price < Decimal::ZERO => {
                let why = format!("line {position} has a price below zero, as only a fee may");
                return Err(Rejection::new("INVALID_UNIT_PRICE", why));
            }
            LineKind::Product | LineKind::Fee => {}
        }
    }
    Ok(())
}
