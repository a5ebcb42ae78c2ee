//! All queues: each operation first in the file, then in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::chaos::{Chaos, Dice, LONGEST_HOLD_MS};
use super::contents::{Contents, Message};
use super::store::{self, Store, failed};
use super::{Depth, Outgoing, QueueConfig, QueueError, Receipt, Received};

/// How long a FIFO queue remembers a deduplication id.
const DEDUPLICATION_MS: i64 = 5 * 60 * 1_000;

/// After how many FIFO messages the forgotten deduplication ids are cleared away.
const CLEAR_AFTER: usize = 10_000;

pub(super) struct Inner {
    pub(super) store: Store,
    queues: Vec<Contents>,
    by_name: HashMap<String, usize>,
    chaos: Chaos,
    dice: Dice,
    next_id: i64,
    next_receipt: u64,
    remembered: usize,
    pub(super) emptied: watch::Sender<u64>,
}

impl Inner {
    pub(super) fn new(store: Store, chaos: Chaos, now: i64) -> Self {
        Self {
            store,
            queues: Vec::new(),
            by_name: HashMap::new(),
            chaos,
            dice: Dice::new(chaos.seed),
            // Microseconds, so that ids go on rising when all messages of an earlier process are gone.
            next_id: now.saturating_mul(1_000).max(1),
            next_receipt: 0,
            remembered: 0,
            emptied: watch::channel(0).0,
        }
    }

    fn index(&self, queue: &str) -> Result<usize, QueueError> {
        self.by_name.get(queue).copied().ok_or_else(|| QueueError::UnknownQueue(queue.to_owned()))
    }

    pub(super) fn create(&mut self, config: QueueConfig, now: i64) -> Result<(), QueueError> {
        if let Some(redrive) = &config.redrive {
            self.index(&redrive.dead_letter_queue)?;
            if redrive.max_receive_count == 0 {
                return Err(QueueError::NeverReceived(config.name));
            }
        }
        if let Some(index) = self.by_name.get(&config.name) {
            self.queues[*index].config = config;
            return Ok(());
        }
        let left = self.store.create(&config.name)?;
        self.next_id = self.next_id.max(left.last_id + 1);
        let mut contents = Contents::new(config, &left);
        if contents.config.is_fifo() {
            for (id, message_id, until) in self.store.deduplicated(left.number, now)? {
                contents.deduplicated.insert(id, (message_id, until));
            }
        }
        self.by_name.insert(contents.config.name.clone(), self.queues.len());
        self.queues.push(contents);
        Ok(())
    }

    pub(super) fn remove(&mut self, queue: &str) -> Result<(), QueueError> {
        let index = self.index(queue)?;
        self.store.remove(queue, self.queues[index].number)?;
        self.queues.remove(index);
        self.by_name = self.queues.iter().enumerate().map(|(at, it)| (it.config.name.clone(), at)).collect();
        self.emptied.send_modify(|count| *count += 1);
        Ok(())
    }

    pub(super) fn config(&self, queue: &str) -> Result<QueueConfig, QueueError> {
        Ok(self.queues[self.index(queue)?].config.clone())
    }

    pub(super) fn send(
        &mut self,
        outgoing: &[(String, Outgoing)],
        now: i64,
    ) -> Result<Vec<Arc<str>>, QueueError> {
        let mut ids = Vec::with_capacity(outgoing.len());
        let mut messages: Vec<(usize, Message)> = Vec::with_capacity(outgoing.len());
        let mut remembered: HashMap<(usize, String), Arc<str>> = HashMap::new();
        for (queue, outgoing) in outgoing {
            let index = self.index(queue)?;
            let mut message = self.message(index, outgoing, now)?;
            if let Some(id) = &message.deduplication_id
                && self.queues[index].config.is_fifo()
            {
                let known = self.queues[index].deduplicated.get(&**id).filter(|(_, until)| *until > now);
                if let Some((message_id, _)) = known {
                    ids.push(Arc::clone(message_id));
                    continue;
                }
                match remembered.entry((index, id.to_string())) {
                    Entry::Occupied(known) => {
                        ids.push(Arc::clone(known.get()));
                        continue;
                    }
                    Entry::Vacant(new) => _ = new.insert(Arc::clone(&message.message_id)),
                }
            }
            ids.push(Arc::clone(&message.message_id));
            if self.chaos.duplicate && !self.queues[index].config.is_fifo() {
                messages.push((index, message.clone()));
                message.id = self.take_id();
            }
            messages.push((index, message));
        }
        self.write_sent(&messages, &remembered, now)?;
        let until = now + DEDUPLICATION_MS;
        for ((index, id), message_id) in remembered {
            self.queues[index].deduplicated.insert(id, (message_id, until));
        }
        let mut touched: Vec<usize> = messages.iter().map(|(index, _)| *index).collect();
        for (index, message) in messages {
            self.sent(index, message, now);
        }
        touched.sort_unstable();
        touched.dedup();
        for index in touched {
            self.queues[index].announce();
        }
        Ok(ids)
    }

    pub(super) fn take_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    fn message(&mut self, index: usize, outgoing: &Outgoing, now: i64) -> Result<Message, QueueError> {
        let config = &self.queues[index].config;
        let fifo = config.is_fifo();
        if fifo && outgoing.group.is_none() {
            return Err(QueueError::GroupMissing(config.name.clone()));
        }
        let own_delay = outgoing.delay.filter(|_| !fifo);
        let visible_ms = now + millis(own_delay.unwrap_or(config.delay));
        let by_body = || fifo.then(|| hex_sha256(&outgoing.body));
        let deduplication_id = outgoing.deduplication_id.clone().or_else(by_body);
        let id = self.take_id();
        Ok(Message {
            id,
            message_id: uuid_of(id).into(),
            body: Arc::clone(&outgoing.body),
            attributes: outgoing.attributes.as_ref().map(|attributes| attributes.to_string().into()),
            group: outgoing.group.as_deref().map(Arc::from),
            deduplication_id: deduplication_id.map(Arc::from),
            sent_ms: now,
            visible_ms,
            receives: 0,
            first_received_ms: None,
        })
    }

    fn write_sent(
        &mut self,
        messages: &[(usize, Message)],
        remembered: &HashMap<(usize, String), Arc<str>>,
        now: i64,
    ) -> Result<(), QueueError> {
        let clear = self.remembered + remembered.len() > CLEAR_AFTER;
        let transaction = self.store.transaction()?;
        for (index, message) in messages {
            store::insert(&transaction, &self.queues[*index].statements, message)?;
        }
        for ((index, id), message_id) in remembered {
            let number = self.queues[*index].number;
            store::deduplicate(&transaction, number, id, message_id, now + DEDUPLICATION_MS)?;
        }
        if clear {
            store::forget_deduplicated(&transaction, now)?;
        }
        transaction.commit().map_err(failed("send"))?;
        self.remembered += remembered.len();
        if clear {
            self.remembered = 0;
            for queue in &mut self.queues {
                queue.deduplicated.retain(|_, (_, until)| *until > now);
            }
        }
        Ok(())
    }

    fn sent(&mut self, index: usize, mut message: Message, now: i64) {
        self.hold_back(index, &mut message, now);
        self.queues[index].sent(message, now);
    }

    fn hold_back(&mut self, index: usize, message: &mut Message, now: i64) {
        if self.chaos.reorder && !self.queues[index].config.is_fifo() {
            let hold = i64::try_from(self.dice.below(LONGEST_HOLD_MS)).unwrap_or(0);
            message.visible_ms = message.visible_ms.max(now + hold);
        }
    }

    pub(super) fn receive(
        &mut self,
        queue: &str,
        max: usize,
        bytes: usize,
        visibility: Option<Duration>,
        now: i64,
    ) -> Result<Vec<Received>, QueueError> {
        let index = self.index(queue)?;
        self.tick(index, now)?;
        while let Some((after, limit)) = self.queues[index].wants() {
            let mut messages = self.store.load(&self.queues[index].statements, after, limit)?;
            for message in &mut messages {
                self.hold_back(index, message, now);
            }
            self.queues[index].loaded(messages, limit, now);
        }
        let contents = &mut self.queues[index];
        let visible_at = now + millis(visibility.unwrap_or(contents.config.visibility)).max(1);
        Ok(contents.take(max, bytes, now, visible_at, &mut self.next_receipt))
    }

    /// What time brings: delays end, and holds do, upon which a message is visible again or given up on.
    fn tick(&mut self, index: usize, now: i64) -> Result<(), QueueError> {
        self.queues[index].release_delayed(now);
        let expired = self.queues[index].expired(now);
        if expired.is_empty() {
            return Ok(());
        }
        let redrive = self.queues[index].config.redrive.clone();
        let dead = redrive.as_ref().map(|redrive| self.index(&redrive.dead_letter_queue)).transpose()?;
        let most = redrive.map_or(u32::MAX, |redrive| redrive.max_receive_count);
        let first_new_id = self.next_id + 1;
        let mut given_up = Vec::new();
        let transaction = self.store.transaction()?;
        for receipt in &expired {
            let Some(message) = self.queues[index].held(*receipt) else { continue };
            match dead {
                Some(dead) if message.receives >= most => {
                    let id = first_new_id + i64::try_from(given_up.len()).unwrap_or(0);
                    let message = Message {
                        id,
                        receives: 0,
                        first_received_ms: None,
                        visible_ms: now,
                        ..message.clone()
                    };
                    store::insert(&transaction, &self.queues[dead].statements, &message)?;
                    let source = self.queues[index].held(*receipt).map_or(0, |message| message.id);
                    store::delete(&transaction, &self.queues[index].statements, source)?;
                    given_up.push((*receipt, dead, message));
                }
                _ => store::count_receives(&transaction, &self.queues[index].statements, message)?,
            }
        }
        transaction.commit().map_err(failed("return messages"))?;
        self.next_id += i64::try_from(given_up.len()).unwrap_or(0);
        for (receipt, dead, message) in given_up {
            self.queues[index].let_go(receipt);
            self.queues[dead].sent(message, now);
            self.queues[dead].announce();
        }
        for receipt in expired {
            if let Some(message) = self.queues[index].let_go(receipt) {
                self.queues[index].put_back(message);
            }
        }
        self.announce_if_empty(index);
        Ok(())
    }

    fn announce_if_empty(&self, index: usize) {
        if self.queues[index].stored == 0 {
            self.emptied.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn settle(
        &mut self,
        queue: &str,
        done: &[Receipt],
        again: &[(Receipt, Duration)],
        now: i64,
    ) -> Result<usize, QueueError> {
        let index = self.index(queue)?;
        let done: Vec<u64> = done
            .iter()
            .map(|receipt| receipt.0)
            .filter(|receipt| self.queues[index].held(*receipt).is_some())
            .collect();
        if !done.is_empty() {
            let transaction = self.store.transaction()?;
            let contents = &self.queues[index];
            for message in done.iter().filter_map(|receipt| contents.held(*receipt)) {
                store::delete(&transaction, &contents.statements, message.id)?;
            }
            transaction.commit().map_err(failed("delete"))?;
        }
        let mut deleted = 0;
        for receipt in done {
            deleted += usize::from(self.queues[index].let_go(receipt).is_some());
        }
        for (receipt, after) in again {
            self.queues[index].hide_until(receipt.0, now + millis(*after));
        }
        if again.iter().any(|(_, after)| after.is_zero()) {
            self.tick(index, now)?;
        }
        if !again.is_empty() || self.queues[index].config.is_fifo() {
            self.queues[index].announce();
        }
        self.announce_if_empty(index);
        Ok(deleted)
    }

    pub(super) fn redrive(&mut self, from: &str, to: &str, now: i64) -> Result<usize, QueueError> {
        let (source, target) = (self.index(from)?, self.index(to)?);
        let mut moved = 0;
        loop {
            let taken = self.receive(from, 100, usize::MAX, None, now)?;
            if taken.is_empty() {
                break;
            }
            let mut messages = Vec::with_capacity(taken.len());
            for received in &taken {
                let Some(message) = self.queues[source].held(received.receipt.0).cloned() else { continue };
                messages.push((received.receipt.0, message));
            }
            let first_new_id = self.next_id + 1;
            self.next_id += i64::try_from(messages.len()).unwrap_or(0);
            let transaction = self.store.transaction()?;
            for ((_, message), id) in messages.iter_mut().zip(first_new_id..) {
                store::delete(&transaction, &self.queues[source].statements, message.id)?;
                *message =
                    Message { id, receives: 0, first_received_ms: None, visible_ms: now, ..message.clone() };
                store::insert(&transaction, &self.queues[target].statements, message)?;
            }
            transaction.commit().map_err(failed("redrive"))?;
            moved += messages.len();
            for (receipt, message) in messages {
                self.queues[source].let_go(receipt);
                self.queues[target].sent(message, now);
            }
        }
        self.queues[target].announce();
        self.announce_if_empty(source);
        Ok(moved)
    }

    pub(super) fn depth(&mut self, queue: &str, now: i64) -> Result<Depth, QueueError> {
        let index = self.index(queue)?;
        self.tick(index, now)?;
        Ok(self.queues[index].depth())
    }

    pub(super) fn depths(&mut self, now: i64) -> Result<Vec<(String, Depth)>, QueueError> {
        let mut depths = Vec::with_capacity(self.queues.len());
        for index in 0..self.queues.len() {
            self.tick(index, now)?;
            depths.push((self.queues[index].config.name.clone(), self.queues[index].depth()));
        }
        depths.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(depths)
    }

    /// The greatest id that a message of a queue ever had.
    pub(super) fn newest(&self, queue: &str) -> Result<i64, QueueError> {
        Ok(self.queues[self.index(queue)?].last_id)
    }

    /// The smallest id of a message that a queue holds.
    pub(super) fn oldest(&self, queue: &str) -> Result<Option<i64>, QueueError> {
        Ok(self.queues[self.index(queue)?].oldest())
    }

    pub(super) fn changes(&self, queue: &str) -> Result<watch::Receiver<u64>, QueueError> {
        Ok(self.queues[self.index(queue)?].changes.subscribe())
    }

    pub(super) fn next_due(&self, queue: &str) -> Result<Option<i64>, QueueError> {
        Ok(self.queues[self.index(queue)?].next_due())
    }

    pub(super) fn wake(&self) {
        for queue in &self.queues {
            queue.announce();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let is_dead_letter_queue = |name: &str| {
            self.queues.iter().any(|queue| {
                queue.config.redrive.as_ref().is_some_and(|redrive| redrive.dead_letter_queue == name)
            })
        };
        let is_waited_for = |config: &QueueConfig| !config.leads_out && !is_dead_letter_queue(&config.name);
        self.queues.iter().all(|queue| queue.stored == 0 || !is_waited_for(&queue.config))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn hex_sha256(body: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(body.as_bytes()) {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// An id in the form of a version 4 UUID: the last part tells ids apart, the rest is for the look.
pub(crate) fn uuid_of(id: i64) -> String {
    let mixed = Dice::new(id.cast_unsigned()).roll();
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        mixed >> 32,
        (mixed >> 16) & 0xffff,
        (mixed >> 4) & 0xfff,
        mixed & 0xfff,
        id & 0xffff_ffff_ffff
    )
}
