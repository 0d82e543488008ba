//! Makes a program that fails smaller while it fails in the same way.

use std::time::{Duration, Instant};

use crate::differential::step::Program;

/// Time limit for shrinking.
const LONGEST: Duration = Duration::from_secs(120);

/// The smallest program found for which `fails` is still true.
pub fn shrink(program: &Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    let deadline = Instant::now() + LONGEST;
    let mut best = program.clone();
    let mut accept = |smaller: Program, best: &mut Program| {
        let accepted = Instant::now() < deadline && fails(&smaller);
        if accepted {
            *best = smaller;
        }
        accepted
    };
    // Steps by halves, then by quarters, then one by one.
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = best.steps.len();
        while at > 0 {
            let start = at.saturating_sub(size);
            let mut smaller = best.clone();
            smaller.steps.drain(start..at.min(smaller.steps.len()));
            accept(smaller, &mut best);
            at = start;
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    let pipelines: Vec<(usize, usize)> = (0..best.steps.len())
        .flat_map(|step| (0..best.steps[step].pipelines().len()).map(move |one| (step, one)))
        .collect();
    for (step, one) in pipelines {
        let mut at = best.steps[step].pipelines()[one].commands.len();
        while at > 0 {
            at -= 1;
            let mut smaller = best.clone();
            smaller.steps[step].pipelines_mut()[one].commands.remove(at);
            accept(smaller, &mut best);
        }
    }
    best
}
