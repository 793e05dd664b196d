//! Tries several ways at once, with a head start for the earlier ones.

use std::future::pending;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::sleep;

/// Starts the attempts one after the other: the next when an earlier one has failed, or when `head_start` is over. The
/// first success wins and ends the others. Failures come back in the order of the attempts; one that `is_final` ends
/// the race at once.
pub(super) async fn race<F, T, E>(
    attempts: impl IntoIterator<Item = F>,
    head_start: Duration,
    is_final: impl Fn(&E) -> bool,
) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = attempts.into_iter().enumerate().map(|(index, attempt)| async move { (index, attempt.await) });
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    let mut next = waiting.next();
    loop {
        if let Some(attempt) = next.take() {
            running.push(attempt);
        }
        // Whoever waits gets its turn after the head start, or when somebody fails.
        let mut later = waiting.next();
        let outcome = loop {
            let more = later.is_some();
            let turn = async { if more { sleep(head_start).await } else { pending().await } };
            tokio::select! {
                biased;
                outcome = running.next() => break outcome,
                () = turn => running.extend(later.take()),
            }
            later = waiting.next();
        };
        next = later;
        match outcome {
            Some((_, Ok(won))) => return Ok(won),
            Some((index, Err(error))) => {
                let ends = is_final(&error);
                failures.push((index, error));
                if ends {
                    break;
                }
            }
            None => break,
        }
        if running.is_empty() && next.is_none() {
            break;
        }
    }
    failures.sort_by_key(|(index, _)| *index);
    Err(failures.into_iter().map(|(_, error)| error).collect())
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use tokio::time::{Instant, sleep};

    use super::*;

    type Attempt = Pin<Box<dyn Future<Output = Result<&'static str, &'static str>>>>;

    fn after(millis: u64, outcome: Result<&'static str, &'static str>) -> Attempt {
        Box::pin(async move {
            sleep(Duration::from_millis(millis)).await;
            outcome
        })
    }

    async fn run(attempts: Vec<Attempt>) -> (Result<&'static str, Vec<&'static str>>, u128) {
        let start = Instant::now();
        let result = race(attempts, Duration::from_millis(100), |error| *error == "final").await;
        (result, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_one_wins_if_it_is_quick_enough() {
        let (result, took) = run(vec![after(50, Ok("first")), after(0, Ok("second"))]).await;
        assert_eq!((result, took), (Ok("first"), 50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_does_not_hold_up_the_next() {
        let (result, took) =
            run(vec![after(9000, Ok("first")), after(9000, Ok("second")), after(5, Ok("third"))]).await;
        assert_eq!((result, took), (Ok("third"), 205));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        let (result, took) = run(vec![after(10, Err("a")), after(10, Err("b")), after(10, Ok("third"))]).await;
        assert_eq!((result, took), (Ok("third"), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn all_failures_come_back_in_order() {
        let (result, took) = run(vec![after(500, Err("a")), after(10, Err("b")), after(10, Err("c"))]).await;
        assert_eq!((result, took), (Err(vec!["a", "b", "c"]), 500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_failure_ends_it() {
        let (result, took) = run(vec![after(10, Err("final")), after(10, Ok("second"))]).await;
        assert_eq!((result, took), (Err(vec!["final"]), 10));
        let (result, _) = run(vec![]).await;
        assert_eq!(result, Err(vec![]));
    }
}
