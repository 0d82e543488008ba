//! Lines of stdin by which a script that makes the trouble steers the run.

use crate::client::{Gate, Go};
use crate::desk::Shelf;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How often it is looked whether all shards have recovered.
const LOOK: Duration = Duration::from_millis(2);

/// How long recovery is waited for before it is said which shards have not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads lines in a thread of their own, which ends with the process.
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

/// Obeys lines until they end.
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
            _ => say("unknown order"),
        }
    }
}

/// Waits for the target's clients, and for the controls if there are any: the next trouble is to meet both.
async fn recovered(shelf: &Shelf, control: bool) -> String {
    let sides = &shelf.tallies[..1 + usize::from(control)];
    let moment = Instant::now();
    loop {
        let late: Vec<usize> = sides
            .iter()
            .flat_map(|side| side.borrow().not_recovered(moment))
            .collect();
        if late.is_empty() {
            return format!("recovered {} ms", moment.elapsed().as_millis());
        }
        if moment.elapsed() > PATIENCE {
            return format!("not recovered: shards {late:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Prints a line at once. Who does not read it has ended, and stdin with it.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
