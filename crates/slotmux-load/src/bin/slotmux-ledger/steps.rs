//! Lines of stdin, by which a script that causes faults controls the run.

use crate::client::{Gate, Go};
use crate::desk::{ALL, Shelf};
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Interval of the check whether all shards have recovered.
const LOOK: Duration = Duration::from_millis(2);

/// Longest wait for recovery and progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads lines in a separate thread, which ends with the process.
pub fn read_lines() -> UnboundedReceiver<String> {
    let (lines, received) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    received
}

/// Executes lines until they end.
pub async fn obey(mut lines: UnboundedReceiver<String>, shelf: &Shelf, gate: &Gate, control: bool) {
    while let Some(line) = lines.recv().await {
        let (order, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match order {
            "phase" => {
                shelf
                    .tallies
                    .iter()
                    .for_each(|tally| tally.borrow_mut().start_phase(rest));
                say("phase");
            }
            "quiesce" => {
                gate.set(Go::Pause);
                gate.quiet().await;
                say("quiet");
            }
            "resume" => {
                shelf
                    .tallies
                    .iter()
                    .for_each(|tally| tally.borrow_mut().resume());
                gate.set(Go::Run);
                say("going");
            }
            "recovered" => say(&recovered(shelf, control).await),
            "progress" => say(&progress(shelf, rest).await),
            "reads" => match rest.parse() {
                Ok(percent @ 0..=ALL) => {
                    shelf.reads.set(percent);
                    say("reads");
                }
                _ => say("reads needs a percentage"),
            },
            _ => say("unknown order"),
        }
    }
}

/// Waits for the clients of the target, and for the controls if there are any, so that the next fault affects both.
async fn recovered(shelf: &Shelf, control: bool) -> String {
    let sides = &shelf.tallies[..1 + usize::from(control)];
    let moment = Instant::now();
    let late = || -> Vec<usize> {
        let sides = sides.iter();
        sides
            .flat_map(|side| side.borrow().not_recovered(moment))
            .collect()
    };
    match until_on_time(late).await {
        Ok(took) => format!("recovered {} ms", took.as_millis()),
        Err(shards) => format!("not recovered: shards {shards:?}"),
    }
}

/// Waits until each client of the target in some shards has been served a number of times more.
async fn progress(shelf: &Shelf, order: &str) -> String {
    let Some((groups, more)) = shards_and_number(order) else {
        return "progress needs shards and a number, as in `progress 0,2 50`".to_owned();
    };
    let served = || shelf.tallies[0].borrow().served(&groups);
    let before = served();
    if before.is_empty() {
        return format!("no client keeps to shards {groups:?}");
    }
    let late = || -> Vec<u64> {
        let gained = served();
        let gained = gained.iter().zip(&before).map(|(now, then)| now - then);
        gained.filter(|&gain| gain < more).collect()
    };
    match until_on_time(late).await {
        Ok(took) => format!("progressed {} ms", took.as_millis()),
        Err(gains) => format!(
            "no progress: of {} clients some got {gains:?}",
            before.len()
        ),
    }
}

fn shards_and_number(order: &str) -> Option<(Vec<usize>, u64)> {
    let (shards, number) = order.split_once(' ')?;
    let shards = shards.split(',').map(|shard| shard.parse().ok());
    Some((shards.collect::<Option<_>>()?, number.parse().ok()?))
}

/// Polls until no shard or client is late and returns how long that took, or those still late after the longest wait.
async fn until_on_time<T>(late: impl Fn() -> Vec<T>) -> Result<Duration, Vec<T>> {
    let begun = Instant::now();
    loop {
        let late = late();
        if late.is_empty() {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            return Err(late);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints a line at once. Errors are ignored: a script that does not read has ended, and stdin with it.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::shards_and_number;

    #[test]
    fn shards_and_number_are_read_or_refused() {
        assert_eq!(shards_and_number("0,2 50"), Some((vec![0, 2], 50)));
        for wrong in ["", "50", "0, 2 50", "a 50", "0 x"] {
            assert_eq!(shards_and_number(wrong), None, "{wrong:?}");
        }
    }
}
