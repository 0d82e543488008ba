//! Why a discovery found no topology, in texts that say where to look.

use super::addr::Addr;

/// The reason why there is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// No seed gave a topology.
    #[error("no upstream can be used: {}", list(.0))]
    NoneUsable(Vec<BadSeed>),
    /// The upstream has slotmux' own run id.
    #[error(
        "slotmux's upstream {0} is slotmux itself; cluster.seeds must name the Redis behind it"
    )]
    Ourselves(Addr),
    /// The upstream is too old for an enforced TTL policy.
    #[error(
        "an enforced TTL policy needs PEXPIRE with NX and LT, which came with Redis 7.0; the upstream is {0}. Upgrade \
         it, or set ttl.mode to \"off\" or \"observe\""
    )]
    TooOld(String),
    /// The upstream user lacks rights that slotmux requires.
    #[error("the upstream user {user} lacks rights that slotmux needs: {report}")]
    Rights {
        /// User name by which slotmux authenticates.
        user: String,
        /// The nodes, the commands that they refuse, and their errors.
        report: String,
    },
}

/// A seed that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSeed {
    /// The seed as configured.
    pub seed: Addr,
    /// Why it could not be used; may quote the server.
    pub reason: String,
    /// Whether only another configuration helps: the password was refused, or the node is of the wrong kind.
    pub is_final: bool,
}

impl DiscoverError {
    /// Whether no retry can succeed until the configuration of slotmux or the upstream changes.
    pub fn is_final(&self) -> bool {
        match self {
            DiscoverError::NoneUsable(seeds) => seeds.iter().all(|seed| seed.is_final),
            DiscoverError::Ourselves(_) | DiscoverError::TooOld(_) => true,
            // The rights may be granted at the nodes while slotmux waits.
            DiscoverError::Rights { .. } => false,
        }
    }
}

fn list(seeds: &[BadSeed]) -> String {
    let each: Vec<String> = seeds
        .iter()
        .map(|bad| format!("{}: {}", bad.seed, bad.reason))
        .collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_every_seed() {
        let bad = |host, reason: &str, is_final| BadSeed {
            seed: Addr::new(host, 1),
            reason: reason.to_owned(),
            is_final,
        };
        let error =
            DiscoverError::NoneUsable(vec![bad("a", "refused", true), bad("::1", "silent", false)]);
        assert_eq!(
            error.to_string(),
            "no upstream can be used: a:1: refused; [::1]:1: silent"
        );
        assert!(!error.is_final(), "a silent seed may reply later");
        assert!(DiscoverError::NoneUsable(vec![bad("a", "refused", true)]).is_final());
    }
}
