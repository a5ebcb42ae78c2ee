//! The Delta join by a dotted set: one update adds those changes to the totals that the item hasn't seen, and remembers
//! them. The sequence numbers that follow the last one without a gap are remembered by their end alone.

use crate::error::{failure, unfit};
use crate::item::{NoItem, is_number, name_of};
use crate::store::{Name, PostgresStore, possible, written};
use projection::join::Dot;
use projection::store::{Outcome, StoreError, Written};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

const OPERATION: &str = "add";

/// `last` tells which changes were new: it is made from the row as it is when it is locked, as all the rest. So there is no
/// `WITH` in it: of a row that another write changed meanwhile, PostgreSQL would take what `WITH` found before.
const ADD: &str = "
    UPDATE {t} t SET (item, joins, last) = (
        SELECT
            t.item || coalesce((
                SELECT jsonb_object_agg(sums.name, sums.value + coalesce((t.item ->> sums.name)::numeric, 0)) FROM (
                    SELECT it.name, sum(it.value) AS value
                    FROM unnest($7::text[]::numeric[], $8::text[], $9::text[]::numeric[]) AS it (seq, name, value)
                    WHERE it.seq = ANY (new.seqs) GROUP BY it.name) sums), '{}'),
            t.joins || jsonb_build_object($3, run.upto, $4, jsonb_build_object('$ns', (
                SELECT coalesce(jsonb_agg(seq ORDER BY seq), '[]') FROM unnest(known.seqs) seq WHERE seq > run.upto))),
            to_jsonb(new.seqs)
        FROM (
            SELECT coalesce((t.joins ->> $3)::numeric, $5::numeric) AS upto,
                coalesce(t.joins -> $4 -> '$ns', '[]') AS beyond) seen
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(seq), '{}') AS seqs FROM unnest($6::text[]::numeric[]) seq
            WHERE seq > seen.upto AND NOT seen.beyond @> to_jsonb(seq)) new
        CROSS JOIN LATERAL (
            SELECT new.seqs || coalesce(array_agg(it.value::numeric), '{}') AS seqs
            FROM jsonb_array_elements_text(seen.beyond) it) known
        CROSS JOIN LATERAL (
            SELECT coalesce(max(it.seq), seen.upto) AS upto
            FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM unnest(known.seqs) seq) it
            WHERE it.seq = seen.upto + it.place) run)
    WHERE pk = $1 AND sk = $2 RETURNING last::text";

pub(crate) async fn run(store: &PostgresStore, table: &Name, dots: &[Dot]) -> Result<Written, StoreError> {
    let mut outcomes = vec![Outcome::Duplicate; dots.len()];
    let Some(one) = dots.first() else { return Ok(written(outcomes, 0)) };
    possible(OPERATION, table, &one.key)?;
    let failed = |error| failure(OPERATION, &table.plain, error);
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, dot) in dots.iter().enumerate() {
        first.entry(dot.seq).or_insert(index);
    }
    let (mut of, mut names, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for index in first.values() {
        let Dot { seq, add, .. } = &dots[*index];
        for (name, value) in add {
            let value = value.to_string();
            if !is_number(&value) {
                return Err(unfit(OPERATION, &table.plain, NoItem::Number));
            }
            of.push(seq.to_string());
            names.push(name_of(name).into_owned());
            values.push(value);
        }
    }
    let (set, seqs): (_, Vec<String>) = (one.set(), first.keys().map(ToString::to_string).collect());
    for is_there in [false, true] {
        let update = table.on(ADD, &one.key).bind(format!("upto{set}")).bind(format!("applied{set}"));
        let update = update.bind(one.base.to_string()).bind(&seqs).bind(&of).bind(&names).bind(&values);
        let row = update.fetch_optional(store.pool()).await.map_err(failed)?;
        if let Some(row) = row {
            let new: String = row.try_get(0).map_err(failed)?;
            let new: BTreeSet<u64> = serde_json::from_str(&new)
                .map_err(|error| unfit(OPERATION, &table.plain, NoItem::Stored(Box::new(error))))?;
            for (seq, index) in &first {
                if new.contains(seq) {
                    outcomes[*index] = Outcome::Applied;
                }
            }
            break;
        }
        if is_there {
            let source = "the item was removed while it was written".into();
            return Err(StoreError::Transient { operation: OPERATION, table: table.plain.clone(), source });
        }
        let insert = "INSERT INTO {t} (pk, sk) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        table.on(insert, &one.key).execute(store.pool()).await.map_err(failed)?;
    }
    Ok(written(outcomes, 1))
}
