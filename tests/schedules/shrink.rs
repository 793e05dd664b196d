//! The smallest plan that fails in the same way.

use crate::plan::{Act, Plan};
use crate::properties;
use crate::world::World;

/// Runs before it is small enough.
const MOST_RUNS: u32 = 500;

/// Leaves out of a plan what it does not need to violate the same property.
pub fn shrink(plan: &Plan, property: &str) -> Plan {
    let mut runs = 0;
    let mut best = plan.clone();
    let mut fails = |candidate: &Plan| {
        runs += 1;
        runs <= MOST_RUNS && violates(candidate, property)
    };
    loop {
        let before = best.clone();
        for index in (0..best.faults.len()).rev() {
            let mut smaller = best.clone();
            smaller.faults.remove(index);
            keep(&mut best, smaller, &mut fails);
        }
        for index in (0..best.acts.len()).rev() {
            let mut smaller = best.clone();
            let removed = smaller.acts.remove(index);
            // Without their ends requests have work left for ever, which is a failure of another kind.
            let is_needed = match removed.act {
                Act::Decide { request, .. } => smaller
                    .acts
                    .iter()
                    .any(|timed| matches!(timed.act, Act::Request { request: other, .. } if other == request)),
                _ => false,
            };
            if is_needed {
                continue;
            }
            keep(&mut best, smaller, &mut fails);
        }
        if best.official_until.is_some() {
            keep(&mut best.clone(), Plan { official_until: None, ..best.clone() }, &mut |candidate| {
                let is_smaller = fails(candidate);
                if is_smaller {
                    best = candidate.clone();
                }
                is_smaller
            });
        }
        while best.workers.len() > 1 {
            let mut smaller = best.clone();
            smaller.workers.pop();
            smaller.faults.retain(|fault| fault.worker.is_none_or(|worker| worker < smaller.workers.len()));
            smaller
                .acts
                .retain(|timed| !matches!(timed.act, Act::Configure { worker, .. } if worker >= smaller.workers.len()));
            if !keep(&mut best, smaller, &mut fails) {
                break;
            }
        }
        for configuration in 0..best.configurations.len() {
            for index in (0..best.configurations[configuration].len()).rev() {
                let mut smaller = best.clone();
                smaller.configurations[configuration].remove(index);
                keep(&mut best, smaller, &mut fails);
            }
        }
        for index in 0..best.faults.len() {
            let mut smaller = best.clone();
            let fault = &mut smaller.faults[index];
            fault.to = fault.from + (fault.to - fault.from) / 2;
            keep(&mut best, smaller, &mut fails);
        }
        if best == before {
            return best;
        }
    }
}

fn keep(best: &mut Plan, candidate: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> bool {
    let is_smaller = fails(&candidate);
    if is_smaller {
        *best = candidate;
    }
    is_smaller
}

fn violates(plan: &Plan, property: &str) -> bool {
    let history = World::run(plan, None);
    properties::check(&history).iter().any(|violation| violation.property == property)
}
