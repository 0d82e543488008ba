//! A whole worker between clients and nodes whose behaviour the input chooses: every request gets exactly its own
//! reply, in order, and no state is left. `tests/oracles/both_sides.rs` runs the same property with random choices.

use tokio::runtime::{Builder, LocalOptions};

use super::sides::case;
use super::sides::dice::Dice;
use super::sides::node::Manners;

/// The first byte chooses the manners of the nodes, the others the behaviour of all sides.
pub fn check(data: &[u8]) {
    let mut dice = Dice::new(data, None);
    let manners = dice.one_of(&[Manners::Bad, Manners::Invalid, Manners::Good]);
    // Each input gets a new worker, so that no state carries over.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime");
    let outcome = runtime.block_on(case(manners, dice));
    if manners == Manners::Good {
        assert_eq!(outcome.errors, 0, "errors of correct nodes");
    }
}
