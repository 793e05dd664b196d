//! What follows from how the calls to Slack ended.

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::delivery::change::Fact;
use crate::delivery::decide::Decision;
use crate::metrics::{Operation, Outcome as Delivered};
use crate::slack::api::Posted;
use crate::slack::error::{Class, Error};
use crate::slack::{MessageRef, method};
use crate::worker::health::undelivered::Problem;
use crate::worker::paced::Failure;
use crate::worker::request::Task;
use crate::worker::request::lane::{HISTORY_LAG, State};
use crate::worker::request::send::{NotSearched, Outcome, Sending, may_pass};

/// Searching the history is given up after so many failures while Slack took other calls; the message is then sent again.
/// An outage does not count: whatever was sent just before it is found once it is over.
const MOST_LOOK_BACKS: u32 = 5;

impl Task {
    pub(super) fn handle(&mut self, key: &str, outcome: Outcome) {
        let lane = self.lanes.entry(key.to_owned()).or_default();
        lane.state = State::Idle;
        match outcome {
            Outcome::Acquired(Ok((turn, place))) => lane.state = State::Ready { turn, place },
            Outcome::Acquired(Err(error)) => self.failed(key, error),
            Outcome::Sent(sending, Ok(posted)) => self.sent(key, sending, &posted),
            Outcome::Sent(sending, Err(error)) => self.not_sent(key, &sending, error),
            Outcome::LookedBack(result) => self.looked_back(key, result),
            Outcome::Refreshed { show, reaction } => self.refreshed(key, show, reaction),
        }
    }

    fn fact(&mut self, key: &str, fact: Fact) {
        self.facts.push((key.to_owned(), fact));
    }

    fn sent(&mut self, key: &str, sending: Sending, posted: &Posted) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.succeeded();
        }
        let message = &posted.message;
        match sending {
            Sending::Message { shown } => {
                self.context.metrics.delivery(Operation::Post, Delivered::Ok);
                if let Some(since) = self.new_since {
                    self.context.metrics.delivery_latency(since.elapsed());
                }
                self.context.board.delivered();
                info!(request_id = %self.id, recipient = key, slack_message = %message, "Posted the access request");
                self.fact(key, Fact::Posted { message: message.clone(), shown });
            }
            Sending::Reply(_) if posted.strayed => {
                info!(request_id = %self.id, recipient = key, "The message was deleted in Slack: not following it");
                self.fact(key, Fact::Lost);
            }
            Sending::Reply(index) => {
                self.context.metrics.delivery(Operation::Reply, Delivered::Ok);
                info!(request_id = %self.id, recipient = key, review = index, "Replied with a review");
                self.fact(key, Fact::Replied(index + 1));
            }
        }
    }

    fn not_sent(&mut self, key: &str, sending: &Sending, error: Error) {
        match (error.class, sending) {
            // The claim stays: the history tells whether it was sent.
            (Class::Ambiguous, _) => self.failed(key, error),
            // Whether the message itself is gone shows when it is updated.
            (Class::Forgotten | Class::AnotherApp | Class::Payload, Sending::Reply(index)) => {
                info!(request_id = %self.id, recipient = key, review = index, %error, "Slack takes no reply: leaving it out");
                self.count_failure(&error);
                self.fact(key, Fact::Replied(index + 1));
            }
            _ => {
                self.release(key);
                self.failed(key, error);
            }
        }
    }

    /// Gives up the claim on `key`, if it is ours.
    fn release(&mut self, key: &str) {
        let claim = self.record.as_ref().and_then(|record| record.deliveries.get(key)?.claim.clone());
        if let Some(claim) = claim.filter(|claim| claim.by == self.context.instance) {
            self.fact(key, Fact::Released(claim));
        }
    }

    fn looked_back(&mut self, key: &str, result: Result<Option<MessageRef>, NotSearched>) {
        let replies = self
            .record
            .as_ref()
            .and_then(|record| record.deliveries.get(key))
            .filter(|delivery| delivery.message.is_some())
            .map(|delivery| delivery.replies);
        match (result, replies) {
            (Ok(Some(message)), None) => {
                info!(request_id = %self.id, recipient = key, slack_message = %message, "Found the message whose answer was lost");
                // What it shows is not known: bring it up to date.
                self.fact(key, Fact::Posted { message, shown: String::new() });
            }
            (Ok(Some(_)), Some(replies)) => self.fact(key, Fact::Replied(replies + 1)),
            (Ok(None), _) => self.release(key),
            (Err(NotSearched { failure: Failure::Postponed(until), .. }), _) => self.postponed(key, until),
            (Err(NotSearched { failure: Failure::Refused(error), alone }), _) => {
                let lane = self.lanes.entry(key.to_owned()).or_default();
                lane.look_backs += u32::from(alone);
                if may_pass(&error) && lane.look_backs < MOST_LOOK_BACKS {
                    self.failed(key, error);
                } else {
                    debug!(request_id = %self.id, recipient = key, %error, "Cannot tell whether it was sent: sending again");
                    self.release(key);
                }
            }
        }
    }

    /// Not before `until`, and no fault of anybody's.
    fn postponed(&mut self, key: &str, until: std::time::Instant) {
        let lane = self.lanes.entry(key.to_owned()).or_default();
        lane.not_before = Some(until.into());
    }

    fn refreshed(
        &mut self,
        key: &str,
        show: Option<(String, Result<(), Failure>)>,
        reaction: Option<(&'static str, Result<(), Failure>)>,
    ) {
        match show {
            Some((name, Ok(()))) => {
                self.context.metrics.delivery(Operation::Update, Delivered::Ok);
                info!(request_id = %self.id, recipient = key, state = name, "Updated the message");
                self.fact(key, Fact::Shown(name));
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.succeeded();
                }
            }
            Some((_, Err(Failure::Postponed(until)))) => return self.postponed(key, until),
            Some((_, Err(Failure::Refused(error)))) if matches!(error.class, Class::Forgotten | Class::AnotherApp) => {
                info!(request_id = %self.id, recipient = key, %error, "The message can no longer be updated: not following it");
                self.fact(key, Fact::Lost);
            }
            Some((_, Err(Failure::Refused(error)))) => return self.failed(key, error),
            None => {}
        }
        match reaction {
            Some((name, Ok(()))) => {
                self.context.metrics.delivery(Operation::Reaction, Delivered::Ok);
                self.fact(key, Fact::Reacted(name));
            }
            Some((_, Err(Failure::Postponed(until)))) => self.postponed(key, until),
            Some((_, Err(Failure::Refused(error)))) if matches!(error.class, Class::Transient | Class::Ambiguous) => {
                self.failed(key, error);
            }
            Some((_, Err(Failure::Refused(error)))) => {
                // The message itself says how the request ended; the reaction is an extra.
                warn!(request_id = %self.id, recipient = key, %error, remedy = self.context.slack.remedy(&error), "Leaving out the reaction");
                self.fact(key, Fact::ReactionGivenUp);
            }
            None => {}
        }
    }

    fn failed(&mut self, key: &str, error: Error) {
        self.count_failure(&error);
        let lane = self.lanes.entry(key.to_owned()).or_default();
        let news = lane.problem.as_ref().is_none_or(|known| known.code != error.code);
        let (id, remedy) = (&self.id, self.context.slack.remedy(&error));
        match error.class {
            _ if error.is_rate_limit() => {
                debug!(request_id = %id, recipient = key, retry_after = ?error.retry_after, "Slack asks for patience");
            }
            _ if !news => debug!(request_id = %id, recipient = key, %error, "Failed again"),
            Class::Transient | Class::Ambiguous => {
                warn!(request_id = %id, recipient = key, %error, "Could not reach Slack: trying again");
            }
            _ => warn!(request_id = %id, recipient = key, %error, remedy, "Slack refuses: trying again later"),
        }
        if matches!(error.class, Class::Config | Class::Recipient) {
            self.context.doubt(key);
        }
        if error.class == Class::Ambiguous {
            lane.failed(error, rand::random(), Instant::now() + HISTORY_LAG);
        } else {
            lane.failed(error, rand::random(), Instant::now());
        }
    }

    fn count_failure(&self, error: &Error) {
        let operation = match error.method {
            method::UPDATE => Operation::Update,
            method::ADD_REACTION => Operation::Reaction,
            _ => Operation::Post,
        };
        let outcome = match error.class {
            Class::Transient => Delivered::Retry,
            Class::Ambiguous => Delivered::Ambiguous,
            _ => Delivered::Refused,
        };
        self.context.metrics.delivery(operation, outcome);
    }

    /// Tells people what is left.
    pub(super) fn report(&self, decision: &Decision) {
        let board = &self.context.board;
        for (key, _) in &decision.steps {
            let problem =
                self.lanes.get(key).and_then(|lane| lane.problem.as_ref()).filter(|error| !error.is_rate_limit());
            let problem = problem.map(|error| Problem {
                code: error.code.clone(),
                remedy: self.context.slack.remedy(error),
                of_recipient: matches!(error.class, Class::Config | Class::Recipient),
            });
            board.set(&self.id, key, Some(problem));
        }
        for key in self.lanes.keys().filter(|key| decision.steps.iter().all(|(other, _)| other != *key)) {
            board.set(&self.id, key, None);
        }
    }
}
