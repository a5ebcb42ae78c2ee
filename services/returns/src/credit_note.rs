//! The aggregate: a credit note. It never changes.

use contracts::Extra;
use contracts::returns::{self, CreditNoteIssued, IssueCreditNote};
use micrograph::{Aggregate, Context, Decide, Decided, Decision, Rejection};

/// A credit note.
#[derive(Debug)]
pub enum CreditNote {}

impl Aggregate for CreditNote {
    const NAME: &str = "credit-note";
    type State = returns::CreditNote;
}

impl Decide<IssueCreditNote> for CreditNote {
    fn decide(state: Option<&Self::State>, command: &IssueCreditNote, context: &Context) -> Decided<Self> {
        let IssueCreditNote { credit_note_id: id, customer_id, country, currency, lines } = command.clone();
        let (issued_at, extra) = (context.at, Extra::default());
        let note = returns::CreditNote { id, customer_id, country, issued_at, currency, lines, extra };
        let Some(issued) = state else { return Ok(Decision::state(note.clone(), &CreditNoteIssued(note))) };
        let again = returns::CreditNote { issued_at: issued.issued_at, ..note };
        if again == *issued {
            return Ok(Decision::unchanged());
        }
        let why = "the number is another credit note's, with other content: choose a number that is free";
        Err(Rejection::new("CREDIT_NOTE_EXISTS", why))
    }
}
