//! Whether a command that got an error may have run.

/// The fate of a write without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has not run and will not.
    Refused,
    /// It may have run, or may still.
    Unknown,
}

/// First words of errors with which Redis refuses a command before it runs.
const REFUSALS: [&str; 14] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "EXECABORT",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
];

/// The fate of a command with this error. Unless the error is a known refusal, the command may have run.
pub fn of_error(text: &str) -> Fate {
    let first = text.split(' ').next().unwrap_or_default();
    let is_refusal = REFUSALS.contains(&first) || first == "TRYAGAIN";
    if is_refusal || text.contains("was not executed") || text.contains("too many redirections") {
        Fate::Refused
    } else {
        Fate::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certain_refusals_count_as_refused() {
        for (text, fate) in [
            ("CLUSTERDOWN The cluster is down", Fate::Refused),
            ("MOVED 7 127.0.0.1:7000", Fate::Refused),
            (
                "TRYAGAIN slotmux: not executed, later ones have run",
                Fate::Refused,
            ),
            (
                "ERR slotmux: node a:1 is unreachable, the command was not executed",
                Fate::Refused,
            ),
            (
                "ERR slotmux: connection to the node was lost, the command may have been executed",
                Fate::Unknown,
            ),
            (
                "ERR slotmux: upstream timeout, the command may have been executed",
                Fate::Unknown,
            ),
            ("ERR something new", Fate::Unknown),
            ("UNKILLABLE", Fate::Unknown),
        ] {
            assert_eq!(of_error(text), fate, "{text}");
        }
    }
}
