//! A whole worker between clients and nodes whose doings the input chooses: every request gets exactly one reply, its
//! own, in its place, and nothing is left behind. `tests/oracles/both_sides.rs` plays the same game with dice.

use tokio::runtime::{Builder, LocalOptions};

use super::sides::case;
use super::sides::dice::Dice;
use super::sides::node::Manners;

/// The first byte chooses the manners of the nodes, the others what all of them do.
pub fn check(data: &[u8]) {
    let mut dice = Dice::new(data, None);
    let manners = dice.one_of(&[Manners::Bad, Manners::Lying, Manners::Good]);
    // A worker of its own for each input: what one leaves behind can't be what the next one finds.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime");
    let outcome = runtime.block_on(case(manners, dice));
    if manners == Manners::Good {
        assert_eq!(outcome.errors, 0, "errors of polite nodes");
    }
}
