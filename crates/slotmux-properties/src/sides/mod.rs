//! A whole worker between scripted clients and scripted nodes, all in this process. Chance, or the bytes of an input,
//! choose the behaviour of both sides.

pub mod client;
pub mod dice;
pub mod node;
pub mod request;
pub mod world;

use std::time::Duration;

use client::{Outcome, bother, converse};
use dice::Dice;
use node::Manners;
use world::World;

/// Longest time for the replies of a case: several consecutive deadlines of commands.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One worker, a few nodes, a few clients.
pub async fn case(manners: Manners, mut dice: Dice) -> Outcome {
    let world = World::start(manners, &mut dice).await;
    let mut clients = Vec::new();
    for id in 0..=dice.below(6) {
        let (stream, script, dice) = (world.connect(), world.script.clone(), dice.fork());
        clients.push(tokio::task::spawn_local(converse(
            stream, script, dice, manners, id,
        )));
    }
    let nuisance = tokio::task::spawn_local(bother(world.connect(), dice.fork()));
    let mut all = Outcome::default();
    for client in clients {
        let outcome = tokio::time::timeout(PATIENCE, client)
            .await
            .expect("a request was not answered")
            .unwrap_or_else(|error| panic!("{error}"));
        all.replies += outcome.replies;
        all.errors += outcome.errors;
    }
    nuisance.await.expect("the nuisance");
    world.end().await;
    all
}
