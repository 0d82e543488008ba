//! One client: sends pipelines, records every reply, reconnects after a lost connection.

use crate::desk::{Desk, Pending};
use crate::fate::Fate;
use crate::shards::Nodes;
use crate::wire::{Connection, Login};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// Pause before a reconnect to the target.
const RECONNECT: Duration = Duration::from_millis(50);

/// Pause of a control, which must detect as early as possible that its slot is served again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The present order to all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Send.
    Run,
    /// Send nothing.
    Pause,
    /// End.
    Stop,
}

/// Orders for all clients, and the number of clients that wait for replies.
pub struct Gate {
    go: Cell<Go>,
    busy: Cell<usize>,
    changed: Notify,
}

impl Gate {
    /// A gate that lets clients run.
    pub fn new() -> Gate {
        Gate {
            go: Cell::new(Go::Run),
            busy: Cell::new(0),
            changed: Notify::new(),
        }
    }

    /// Gives an order to all clients.
    pub fn set(&self, go: Go) {
        self.go.set(go);
        self.changed.notify_waiters();
    }

    /// Waits until no client has requests in flight.
    pub async fn quiet(&self) {
        while self.busy.get() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Where a client connects to.
pub enum Way {
    /// The target.
    Through(Login),
    /// The node that owns the client's slot at that time.
    Direct(Rc<Nodes>),
}

/// Depth and rate of a client.
pub struct Pace {
    /// Requests per write.
    pub depth: u32,
    /// Time between two writes of one client.
    pub interval: Duration,
}

/// Runs until the gate is set to stop.
pub async fn run(mut desk: Desk, way: Way, pace: Rc<Pace>, gate: Rc<Gate>) {
    let mut connection = None;
    // Spread the clients over the interval.
    let mut next = Instant::now() + pace.interval.mul_f64(fastrand::f64());
    loop {
        match gate.go.get() {
            Go::Stop => return,
            Go::Pause => {
                gate.changed.notified().await;
                next = Instant::now();
                continue;
            }
            Go::Run => {}
        }
        if Instant::now() < next {
            tokio::select! {
                () = sleep_until(next) => {}
                () = gate.changed.notified() => {}
            }
            continue;
        }
        let Some(open) = &mut connection else {
            connection = connect(&way, &desk).await;
            if connection.is_none() {
                sleep(if matches!(way, Way::Direct(_)) {
                    LOOK_AGAIN
                } else {
                    RECONNECT
                })
                .await;
            }
            continue;
        };
        next = Instant::now() + pace.interval;
        gate.busy.set(gate.busy.get() + 1);
        let outcome = exchange(&mut desk, open, pace.depth).await;
        gate.busy.set(gate.busy.get() - 1);
        let is_elsewhere = matches!((&way, &outcome), (Way::Direct(_), Ok(true)));
        if outcome.is_err() || is_elsewhere {
            connection = None;
            desk.tally().lost_connections += u64::from(outcome.is_err());
            sleep(if matches!(way, Way::Direct(_)) {
                LOOK_AGAIN
            } else {
                RECONNECT
            })
            .await;
        }
    }
}

async fn connect(way: &Way, desk: &Desk) -> Option<Connection> {
    let login = match way {
        Way::Through(login) => login.clone(),
        Way::Direct(nodes) => {
            let mut owners = nodes.owners().await;
            nodes.login(&owners[usize::from(desk.slot())].take()?)
        }
    };
    Connection::open(&login).await.ok()
}

/// Sends one pipeline and reads all replies. Returns whether one of them was an error.
async fn exchange(desk: &mut Desk, connection: &mut Connection, depth: u32) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let pipeline: Vec<Pending> = (0..depth).map(|_| desk.draw(&mut bytes)).collect();
    let mut answered = 0;
    let outcome = converse(desk, connection, &bytes, &pipeline, &mut answered).await;
    if let Err(error) = &outcome {
        let why = format!("connection lost: {error}");
        for pending in &pipeline[answered..] {
            desk.fail(pending, Fate::Unknown, &why);
        }
    }
    outcome
}

async fn converse(
    desk: &Desk,
    connection: &mut Connection,
    bytes: &[u8],
    pipeline: &[Pending],
    answered: &mut usize,
) -> io::Result<bool> {
    connection.send(bytes).await?;
    let mut has_errors = false;
    for pending in pipeline {
        let mut replies = Vec::new();
        for _ in 0..pending.replies() {
            replies.push(connection.receive().await?);
        }
        has_errors |= desk.settle(pending, &replies);
        *answered += 1;
    }
    Ok(has_errors)
}
