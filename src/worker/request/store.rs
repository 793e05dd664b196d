//! Reading and writing the record of a request.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use crate::access_request::PluginData;
use crate::backoff::Backoff;
use crate::delivery::change::Fact;
use crate::delivery::record::Record;
use crate::teleport::error::{CallError, Kind};
use crate::worker::context::Teleport;
use crate::worker::request::{Stop, Task};

/// Between attempts to read or write the record.
const STORE: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30));

impl Task {
    pub(super) async fn read(&mut self, teleport: &Teleport) -> Result<Record, Stop> {
        match teleport.client.plugin_data(&self.id).await {
            Ok(data) => {
                self.read_at = Instant::now();
                Ok(Record::decode(data))
            }
            Err(error) => Err(self.pause("read", &error)),
        }
    }

    pub(super) async fn store(&mut self, teleport: &Teleport, mut next: Record) -> Result<(), Stop> {
        let mut written = self.write(teleport, &mut next).await;
        if let Err(error) = &written
            && error.is_too_large()
            && next.shed()
        {
            debug!(request_id = %self.id, %error, "Leaving out of the record what can be done without");
            written = self.write(teleport, &mut next).await;
        }
        written.map_err(|error| self.store_failed(&error))?;
        self.read_at = Instant::now();
        self.facts.clear();
        self.record = Some(next);
        Ok(())
    }

    async fn write(&mut self, teleport: &Teleport, next: &mut Record) -> Result<(), CallError> {
        let (set, expect): (PluginData, PluginData) = next.update();
        if !set.is_empty() {
            teleport.client.update_plugin_data(&self.id, set.clone(), expect).await?;
            self.failures = 0;
            next.written(set);
        }
        Ok(())
    }

    fn store_failed(&mut self, error: &CallError) -> Stop {
        self.record = None;
        match error.kind {
            Kind::CompareFailed => {
                debug!(request_id = %self.id, "Somebody else has written the record: deciding anew");
                self.context.metrics.plugin_data_conflict();
                self.claimed.clear();
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 {
                    return Stop::Again;
                }
                // What is read may lag behind what is written.
                self.pause_for(STORE.delay(self.failures - 1, rand::random()))
            }
            Kind::NotFound => {
                debug!(request_id = %self.id, "The request and its record are gone");
                self.facts.clear();
                Stop::Over
            }
            _ => {
                // Whether the claims were stored is not known; that nothing was sent is.
                let claimed = std::mem::take(&mut self.claimed);
                self.facts.extend(claimed.into_iter().map(|(key, (claim, _))| (key, Fact::Released(claim))));
                self.pause("write", error)
            }
        }
    }

    fn pause(&mut self, what: &'static str, error: &CallError) -> Stop {
        self.failures = self.failures.saturating_add(1);
        let delay = STORE.delay(self.failures, rand::random());
        if error.is_transient() && self.failures < 3 {
            debug!(request_id = %self.id, %error, "Could not {what} the record of a request: trying again");
        } else {
            warn!(request_id = %self.id, %error, "Could not {what} the record of a request: trying again");
        }
        self.pause_for(delay)
    }

    fn pause_for(&mut self, delay: Duration) -> Stop {
        // Whoever else wants to post in these channels shall not wait for this request.
        self.give_up_turns();
        let until = Instant::now() + delay;
        self.paused_until = Some(until);
        Stop::Later(until)
    }
}
