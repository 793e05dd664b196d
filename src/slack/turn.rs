//! One post in flight per channel, first come first served.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// How many channels are remembered before those that nobody waits for are forgotten.
const SWEEP_ABOVE: usize = 256;

/// Hands out the turns of channels. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, Weak<Gate<()>>>>>);

/// The turn to post in one channel; it passes on when this is dropped.
#[derive(Debug)]
pub struct ChannelTurn {
    _turn: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the channel's turn. Those who wait get it in the order in which they came.
    pub async fn take(&self, channel: &str) -> ChannelTurn {
        let gate = self.gate(channel);
        ChannelTurn { _turn: gate.lock_owned().await }
    }

    fn gate(&self, channel: &str) -> Arc<Gate<()>> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(channel).and_then(Weak::upgrade) {
            return gate;
        }
        if gates.len() > SWEEP_ABOVE {
            gates.retain(|_, gate| gate.strong_count() > 0);
        }
        let gate = Arc::new(Gate::new(()));
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
        let first = turns.take("C1").await;
        let mut second = Box::pin(turns.take("C1"));
        let mut third = Box::pin(turns.take("C1"));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending(), "the third does not overtake the second");
        let turn = second.await;
        assert!((&mut third).now_or_never().is_none());
        drop(turn);
        third.await;
    }

    #[tokio::test]
    async fn another_channel_does_not_wait() {
        let turns = Turns::default();
        let _held = turns.take("C1").await;
        assert!(turns.take("C2").now_or_never().is_some());
    }

    #[tokio::test]
    async fn channels_that_nobody_waits_for_are_forgotten() {
        let turns = Turns::default();
        for n in 0..2 * SWEEP_ABOVE {
            turns.take(&n.to_string()).await;
        }
        assert!(turns.0.lock().unwrap().len() <= SWEEP_ABOVE + 1);
    }
}
