//! Sends one command for each of many keys, pipelined, to the nodes of the keys. Follows redirects: a slot may move
//! while its keys are checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};

use crate::control::discovery::dial::Dialer;
use crate::control::discovery::error_text;
use slotmux_core::cluster::addr::Addr;
use slotmux_core::cluster::redirect::{ErrorVerdict, judge, target};

/// Tries for a key: at the node that scanned it, at the owner, at the slot's next owner, and as many again if the slot
/// moves meanwhile.
const TRIES: usize = 6;

/// The first try after a pause: nodes that redirect to each other agree within moments.
const PAUSED_FROM: usize = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// A node that could not be used, or stopped being usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {reason}")]
pub struct NodeError {
    /// The node.
    pub node: Addr,
    /// Error text of the node or the system.
    pub reason: String,
}

/// Connections to nodes, opened when they are needed.
pub(super) struct Nodes {
    dialer: Arc<Dialer>,
    open: HashMap<Addr, MultiplexedConnection>,
}

/// Where a command has to be sent: the node, and whether `ASKING` goes before it.
type Place = (Addr, bool);

impl Nodes {
    pub fn new(dialer: Arc<Dialer>) -> Nodes {
        Nodes {
            dialer,
            open: HashMap::new(),
        }
    }

    /// Sends one command to one node.
    pub async fn ask<T: FromRedisValue>(
        &mut self,
        node: &Addr,
        command: &Cmd,
    ) -> Result<T, NodeError> {
        self.try_ask(node, command)
            .await?
            .map_err(|error| failed(node, &error))
    }

    /// Sends one command to one node, which may refuse it, for example by access control.
    pub async fn try_ask<T: FromRedisValue>(
        &mut self,
        node: &Addr,
        command: &Cmd,
    ) -> Result<RedisResult<T>, NodeError> {
        let mut connection = self.connection(node).await?;
        match command.query_async(&mut connection).await {
            Err(error) if error.code().is_none() => Err(failed(node, &error)),
            answered => Ok(answered),
        }
    }

    /// Sends `count` commands, first to `home`, and returns their integer replies. `None` where the redirects did not
    /// end at a node.
    pub async fn ask_each(
        &mut self,
        home: &Addr,
        count: usize,
        command: impl Fn(usize) -> Cmd,
    ) -> Result<Vec<Option<i64>>, NodeError> {
        let mut replies = vec![None; count];
        let mut waiting: HashMap<Place, Vec<usize>> = HashMap::new();
        if count > 0 {
            waiting.insert((home.clone(), false), (0..count).collect());
        }
        for attempt in 0..TRIES {
            if waiting.is_empty() {
                break;
            }
            if attempt >= PAUSED_FROM {
                tokio::time::sleep(PAUSE).await;
            }
            let mut redirected: HashMap<Place, Vec<usize>> = HashMap::new();
            for ((node, asking), numbers) in waiting {
                let answers = self.pipeline(&node, asking, &numbers, &command).await?;
                for (number, answer) in numbers.into_iter().zip(answers) {
                    match answer {
                        Ok(reply) => replies[number] = Some(reply),
                        Err(error) => {
                            if let Some(place) = self.elsewhere(&node, &error)? {
                                redirected.entry(place).or_default().push(number);
                            }
                        }
                    }
                }
            }
            waiting = redirected;
        }
        Ok(replies)
    }

    async fn pipeline(
        &mut self,
        node: &Addr,
        asking: bool,
        numbers: &[usize],
        command: &impl Fn(usize) -> Cmd,
    ) -> Result<Vec<RedisResult<i64>>, NodeError> {
        let mut connection = self.connection(node).await?;
        let mut pipe = redis::Pipeline::with_capacity(numbers.len());
        pipe.ignore_errors();
        for &number in numbers {
            if asking {
                pipe.cmd("ASKING").ignore();
            }
            pipe.add_command(command(number));
        }
        pipe.query_async(&mut connection)
            .await
            .map_err(|error| failed(node, &error))
    }

    /// The destination of a redirect; `None` if its host is unknown.
    fn elsewhere(&self, node: &Addr, error: &RedisError) -> Result<Option<Place>, NodeError> {
        let (host, port, asking) = match judge(error_text(error).as_bytes()) {
            ErrorVerdict::Moved { host, port, .. } => (host.to_owned(), port, false),
            ErrorVerdict::Ask { host, port, .. } => (host.to_owned(), port, true),
            _ => return Err(failed(node, error)),
        };
        let announced = target(&host, port, node);
        Ok(announced.map(|addr| (self.dialer.reached_at(addr), asking)))
    }

    async fn connection(&mut self, node: &Addr) -> Result<MultiplexedConnection, NodeError> {
        if let Some(connection) = self.open.get(node) {
            return Ok(connection.clone());
        }
        let dialed = self.dialer.dial(node).await.map_err(|error| NodeError {
            node: node.clone(),
            reason: error.to_string(),
        })?;
        self.open.insert(node.clone(), dialed.clone());
        Ok(dialed)
    }
}

fn failed(node: &Addr, error: &RedisError) -> NodeError {
    let reason = match error.code() {
        Some(_) => error_text(error),
        None if error.is_timeout() => "it does not answer any more".to_owned(),
        None => format!("the connection was lost: {}", error_text(error)),
    };
    NodeError {
        node: node.clone(),
        reason,
    }
}
