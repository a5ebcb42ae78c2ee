//! What is known of one queue in memory: a window of its messages, and who holds which.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;

use super::store::{Left, Statements};
use super::{Depth, QueueConfig, Receipt, Received};

/// How many waiting messages of a queue are kept in memory; the others wait in the file.
const WINDOW: usize = 10_000;

/// How many bytes of bodies the waiting messages in memory may have.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;

/// What a message adds to a Lambda payload beside its body, about.
const RECORD_BYTES: usize = 640;

#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "a message's own id is not its number in the file")]
pub(super) struct Message {
    /// Rises through all queues; a queue's order.
    pub(super) id: i64,
    pub(super) message_id: Arc<str>,
    pub(super) body: Arc<str>,
    pub(super) attributes: Option<Arc<str>>,
    pub(super) group: Option<Arc<str>>,
    pub(super) deduplication_id: Option<Arc<str>>,
    pub(super) sent_ms: i64,
    pub(super) visible_ms: i64,
    pub(super) receives: u32,
    pub(super) first_received_ms: Option<i64>,
}

impl Message {
    /// About how many bytes it takes in a payload, where quotes and line ends of the body are escaped.
    fn payload_bytes(&self) -> usize {
        let escaped = self.body.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n')).count();
        let attributes = self.attributes.as_ref().map_or(0, |attributes| attributes.len());
        RECORD_BYTES + self.body.len() + escaped + attributes
    }
}

pub(super) struct Contents {
    pub(super) config: QueueConfig,
    pub(super) number: i64,
    pub(super) statements: Statements,
    /// Rows in the file.
    pub(super) stored: usize,
    pub(super) last_id: i64,
    /// Every row up to here is in memory, or gone.
    loaded_through: i64,
    waiting_bytes: usize,
    ready_count: usize,
    ready: Ready,
    delayed: BTreeMap<(i64, i64), Message>,
    in_flight: HashMap<u64, Held>,
    timeouts: BTreeSet<(i64, u64)>,
    /// Deduplication ids, with the message that was taken and until when.
    pub(super) deduplicated: HashMap<String, (Arc<str>, i64)>,
    pub(super) changes: watch::Sender<u64>,
}

struct Held {
    message: Message,
    visible_at: i64,
}

enum Ready {
    Standard(VecDeque<Message>),
    Fifo {
        groups: HashMap<Arc<str>, Group>,
        /// Groups with messages of which none is in flight.
        open: VecDeque<Arc<str>>,
    },
}

#[derive(Default)]
struct Group {
    messages: VecDeque<Message>,
    in_flight: usize,
}

impl Contents {
    pub(super) fn new(config: QueueConfig, left: &Left) -> Self {
        let ready = if config.is_fifo() {
            Ready::Fifo { groups: HashMap::new(), open: VecDeque::new() }
        } else {
            Ready::Standard(VecDeque::new())
        };
        Self {
            config,
            number: left.number,
            statements: Statements::of(left.number),
            stored: left.stored,
            last_id: left.last_id,
            loaded_through: if left.stored == 0 { left.last_id } else { 0 },
            waiting_bytes: 0,
            ready_count: 0,
            ready,
            delayed: BTreeMap::new(),
            in_flight: HashMap::new(),
            timeouts: BTreeSet::new(),
            deduplicated: HashMap::new(),
            changes: watch::channel(0).0,
        }
    }

    pub(super) fn depth(&self) -> Depth {
        let hidden = self.in_flight.len() + self.delayed.len();
        Depth {
            visible: self.stored.saturating_sub(hidden),
            in_flight: self.in_flight.len(),
            delayed: self.delayed.len(),
        }
    }

    /// The smallest id of a message that is here; messages that are only in the file are newer than those in memory.
    pub(super) fn oldest(&self) -> Option<i64> {
        if self.stored == 0 {
            return None;
        }
        let ready: Vec<&Message> = match &self.ready {
            Ready::Standard(messages) => messages.iter().collect(),
            Ready::Fifo { groups, .. } => groups.values().flat_map(|group| &group.messages).collect(),
        };
        let waiting = ready.into_iter().chain(self.delayed.values());
        let held = self.in_flight.values().map(|held| &held.message);
        waiting.chain(held).map(|message| message.id).min().or(Some(self.loaded_through + 1))
    }

    pub(super) fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn window_is_full(&self) -> bool {
        self.waiting_bytes >= WINDOW_BYTES || self.ready_count + self.delayed.len() >= WINDOW
    }

    /// A message that was just written to the file. It is kept in memory if all before it are, and if there is room.
    pub(super) fn sent(&mut self, message: Message, now: i64) {
        let all_loaded = self.loaded_through == self.last_id;
        self.stored += 1;
        self.last_id = message.id;
        if all_loaded && !self.window_is_full() {
            self.loaded_through = message.id;
            self.arrive(message, now);
        }
    }

    /// Where to load from and how many, if there is nothing to receive in memory but in the file.
    pub(super) fn wants(&self) -> Option<(i64, usize)> {
        let nothing_ready = match &self.ready {
            Ready::Standard(messages) => messages.is_empty(),
            Ready::Fifo { open, .. } => open.is_empty(),
        };
        let wanted = nothing_ready && self.loaded_through < self.last_id && !self.window_is_full();
        wanted.then_some((self.loaded_through, 1_000))
    }

    /// Messages read from the file after [`wants`](Self::wants).
    pub(super) fn loaded(&mut self, messages: Vec<Message>, asked: usize, now: i64) {
        self.loaded_through = match messages.last() {
            Some(last) if messages.len() == asked => last.id,
            _ => self.last_id,
        };
        for message in messages {
            self.arrive(message, now);
        }
    }

    fn arrive(&mut self, message: Message, now: i64) {
        self.waiting_bytes += message.body.len();
        if message.visible_ms > now {
            self.delayed.insert((message.visible_ms, message.id), message);
        } else {
            self.make_ready(message);
        }
    }

    fn make_ready(&mut self, message: Message) {
        self.ready_count += 1;
        match &mut self.ready {
            Ready::Standard(messages) => messages.push_back(message),
            Ready::Fifo { groups, open } => {
                let name = message.group.clone().unwrap_or_default();
                let group = groups.entry(Arc::clone(&name)).or_default();
                if group.messages.is_empty() && group.in_flight == 0 {
                    open.push_back(name);
                }
                let at = group.messages.partition_point(|other| other.id < message.id);
                group.messages.insert(at, message);
            }
        }
    }

    /// Makes ready what was delayed until now.
    pub(super) fn release_delayed(&mut self, now: i64) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                break;
            }
            let message = first.remove();
            self.make_ready(message);
        }
    }

    /// Takes up to `max` ready messages of together about `bytes`, at least one.
    pub(super) fn take(
        &mut self,
        max: usize,
        bytes: usize,
        now: i64,
        visible_at: i64,
        next_receipt: &mut u64,
    ) -> Vec<Received> {
        let mut taken = Vec::new();
        let mut room = bytes;
        let mut fits = |message: &Message, taken: usize| {
            let size = message.payload_bytes();
            let fits = taken == 0 || size <= room;
            room = room.saturating_sub(size);
            fits
        };
        match &mut self.ready {
            Ready::Standard(messages) => {
                while taken.len() < max
                    && let Some(message) = messages.pop_front_if(|message| fits(message, taken.len()))
                {
                    taken.push(message);
                }
            }
            Ready::Fifo { groups, open } => {
                let mut full = false;
                while !full
                    && taken.len() < max
                    && let Some(name) = open.pop_front()
                {
                    let group = groups.entry(Arc::clone(&name)).or_default();
                    while taken.len() < max && !full {
                        match group.messages.pop_front_if(|message| fits(message, taken.len())) {
                            Some(message) => {
                                group.in_flight += 1;
                                taken.push(message);
                            }
                            None => full = !group.messages.is_empty(),
                        }
                        if group.messages.is_empty() {
                            break;
                        }
                    }
                    if group.in_flight == 0 {
                        open.push_front(name);
                    }
                }
            }
        }
        self.ready_count = self.ready_count.saturating_sub(taken.len());
        taken.into_iter().map(|message| self.hold(message, now, visible_at, next_receipt)).collect()
    }

    fn hold(&mut self, mut message: Message, now: i64, visible_at: i64, next_receipt: &mut u64) -> Received {
        *next_receipt += 1;
        let receipt = *next_receipt;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(message.body.len());
        message.receives += 1;
        let first_received_ms = *message.first_received_ms.get_or_insert(now);
        let received = Received {
            receipt: Receipt(receipt),
            message_id: Arc::clone(&message.message_id),
            body: Arc::clone(&message.body),
            receive_count: message.receives,
            sent_ms: message.sent_ms,
            first_received_ms,
            attributes: message.attributes.clone(),
            group: message.group.clone(),
            deduplication_id: message.deduplication_id.clone(),
            sequence_number: message.id,
        };
        self.timeouts.insert((visible_at, receipt));
        self.in_flight.insert(receipt, Held { message, visible_at });
        received
    }

    pub(super) fn held(&self, receipt: u64) -> Option<&Message> {
        self.in_flight.get(&receipt).map(|held| &held.message)
    }

    /// Ends the hold on a message, which is no longer in the queue unless it is [put back](Self::put_back).
    pub(super) fn let_go(&mut self, receipt: u64) -> Option<Message> {
        let held = self.in_flight.remove(&receipt)?;
        self.timeouts.remove(&(held.visible_at, receipt));
        self.stored = self.stored.saturating_sub(1);
        if let Ready::Fifo { groups, open } = &mut self.ready {
            let name = held.message.group.clone().unwrap_or_default();
            if let Some(group) = groups.get_mut(&name) {
                group.in_flight -= 1;
                if group.in_flight == 0 {
                    if group.messages.is_empty() {
                        groups.remove(&name);
                    } else {
                        open.push_back(name);
                    }
                }
            }
        }
        Some(held.message)
    }

    pub(super) fn put_back(&mut self, message: Message) {
        self.stored += 1;
        self.waiting_bytes += message.body.len();
        self.make_ready(message);
    }

    pub(super) fn hide_until(&mut self, receipt: u64, visible_at: i64) {
        if let Some(held) = self.in_flight.get_mut(&receipt) {
            self.timeouts.remove(&(held.visible_at, receipt));
            held.visible_at = visible_at;
            self.timeouts.insert((visible_at, receipt));
        }
    }

    /// The holds that have ended by now.
    pub(super) fn expired(&self, now: i64) -> Vec<u64> {
        self.timeouts.iter().take_while(|(at, _)| *at <= now).map(|(_, receipt)| *receipt).collect()
    }

    pub(super) fn next_due(&self) -> Option<i64> {
        let delayed = self.delayed.keys().next().map(|(at, _)| *at);
        let held = self.timeouts.iter().next().map(|(at, _)| *at);
        delayed.into_iter().chain(held).min()
    }
}
