//! The aggregate: a credit note, issued once.

use crate::line;
use contracts::Extra;
use contracts::orders::{self, CreditNoteIssued, IssueCreditNote};
use micrograph::{Aggregate, Context, Decide, Decision, Rejection};

/// A credit note.
#[derive(Debug)]
pub enum CreditNote {}

impl Aggregate for CreditNote {
    const NAME: &str = "credit-note";
    type State = orders::CreditNote;
}

impl Decide<IssueCreditNote> for CreditNote {
    fn decide(
        state: Option<&Self::State>,
        command: &IssueCreditNote,
        context: &Context,
    ) -> Result<Decision<Self::State>, Rejection> {
        let IssueCreditNote { credit_note_id: id, customer_id, country, currency, lines } = command.clone();
        if !line::is_name(&id) || !id.starts_with('C') {
            let why = "a credit note's number starts with C, and has no space around it";
            return Err(Rejection::new("INVALID_CREDIT_NOTE_ID", why));
        }
        line::check_parties(customer_id.as_deref(), &country, &currency)?;
        line::check_lines(&lines)?;
        if let Some(note) = state {
            let same = (&customer_id, &country, &currency, &lines)
                == (&note.customer_id, &note.country, &note.currency, &note.lines);
            let why =
                || format!("credit note `{id}` is issued already, with other content: choose another number");
            return if same {
                Ok(Decision::unchanged())
            } else {
                Err(Rejection::new("CREDIT_NOTE_EXISTS", why()))
            };
        }
        let note = orders::CreditNote {
            id,
            customer_id,
            country,
            issued_at: context.at,
            currency,
            lines,
            extra: Extra::default(),
        };
        Ok(Decision::state(note.clone(), &CreditNoteIssued(note)))
    }
}
