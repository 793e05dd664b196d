//! Few posts in flight per channel, first come first served: in a channel that Slack has limited, one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Posts that may be under way at once in a channel without a limit: Slack tolerates small bursts, and a post waits for
/// Teleport before it waits for Slack.
const WIDTH: u32 = 3;
/// How many channels are remembered before those that nobody waits for are forgotten.
const SWEEP_ABOVE: usize = 256;

/// Hands out the turns of channels. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, Weak<Semaphore>>>>);

/// The turn to post in one channel; it passes on when this is dropped.
#[derive(Debug)]
pub struct ChannelTurn {
    /// None when the gate was closed, which nobody does.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for the channel's turn. Those who wait get it in the order in which they came; who wants to be `alone` waits
    /// until nothing else is under way there.
    pub async fn take(&self, channel: &str, alone: bool) -> ChannelTurn {
        let places = if alone { WIDTH } else { 1 };
        ChannelTurn { _turn: self.gate(channel).acquire_many_owned(places).await.ok() }
    }

    fn gate(&self, channel: &str) -> Arc<Semaphore> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(channel).and_then(Weak::upgrade) {
            return gate;
        }
        if gates.len() > SWEEP_ABOVE {
            gates.retain(|_, gate| gate.strong_count() > 0);
        }
        let gate = Arc::new(Semaphore::new(WIDTH as usize));
        gates.insert(channel.to_owned(), Arc::downgrade(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn a_channel_has_one_turn_at_a_time_in_order_of_arrival() {
        let turns = Turns::default();
        let first = turns.take("C1", true).await;
        let mut second = Box::pin(turns.take("C1", true));
        let mut third = Box::pin(turns.take("C1", true));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending(), "the third does not overtake the second");
        let turn = second.await;
        assert!((&mut third).now_or_never().is_none());
        drop(turn);
        third.await;
    }

    #[tokio::test]
    async fn a_channel_without_a_limit_takes_a_few_at_once_and_whoever_wants_to_be_alone_waits_for_them() {
        let turns = Turns::default();
        let held: Vec<_> = (0..WIDTH).map(|_| turns.take("C1", false).now_or_never().unwrap()).collect();
        assert!(turns.take("C1", false).now_or_never().is_none());
        let mut alone = Box::pin(turns.take("C1", true));
        assert!(poll!(&mut alone).is_pending());
        drop(held);
        alone.await;
    }

    #[tokio::test]
    async fn another_channel_does_not_wait() {
        let turns = Turns::default();
        let _held = turns.take("C1", true).await;
        assert!(turns.take("C2", true).now_or_never().is_some());
    }

    #[tokio::test]
    async fn channels_that_nobody_waits_for_are_forgotten() {
        let turns = Turns::default();
        for n in 0..2 * SWEEP_ABOVE {
            turns.take(&n.to_string(), true).await;
        }
        assert!(turns.0.lock().unwrap().len() <= SWEEP_ABOVE + 1);
    }
}
