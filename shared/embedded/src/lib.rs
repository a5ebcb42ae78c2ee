#![doc = include_str!("../README.md")]

pub mod clock;
mod connector;
pub mod dynamodb;
pub mod events;
pub mod http;
pub mod mapping;
pub mod queue;
pub mod topic;

pub use clock::{Clock, ManualClock, SystemClock};
pub use dynamodb::{Durability, DynamoDb};
pub use events::EventBus;
pub use mapping::EventSourceMapping;
pub use queue::{Chaos, QueueConfig, QueueSettings, Queues};
pub use topic::Topics;

/// The account that every ARN of the embedded services names.
pub const ACCOUNT: &str = "000000000000";

/// The region that every ARN of the embedded services names.
pub const REGION: &str = "local";

/// Waits until there is no work left: no queue holds a message (but for dead-letter queues and those that lead out), none is in a handler's
/// hands, and every stream is acknowledged. What comes in from outside afterwards is not foreseen.
pub async fn idle(queues: &[Queues], databases: &[DynamoDb]) -> Result<(), dynamodb::StreamError> {
    let activity = || {
        queues.iter().map(Queues::activity).sum::<u64>()
            + databases.iter().map(DynamoDb::activity).sum::<u64>()
    };
    loop {
        for queues in queues {
            queues.idle().await;
        }
        for database in databases {
            database.streams_idle().await?;
        }
        // Work moves between queues and streams, so all must be empty with nothing happening while that is looked at.
        let before = activity();
        let mut idle = queues.iter().all(Queues::is_idle);
        for database in databases {
            idle &= database.streams_are_idle()?;
        }
        if idle && activity() == before {
            return Ok(());
        }
    }
}
