#![doc = include_str!("../README.md")]

pub mod credit_note;

pub mod credit_notes;

pub mod graph;

use contracts::returns::{CreditNoteIssued, IssueCreditNote};
use credit_note::CreditNote;
use micrograph::Micrograph;

/// The returns.
pub fn micrograph() -> Micrograph {
    Micrograph::new("returns")
        .owns::<CreditNote>()
        .decides::<CreditNote, IssueCreditNote>()
        .publishes::<CreditNoteIssued>()
        .fans_out("returns-events")
        .consumes(credit_notes::projection())
        .serves(graph::subgraph)
}
