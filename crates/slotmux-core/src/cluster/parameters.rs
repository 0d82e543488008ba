//! Parameters of the upstream with which slotmux cannot hide failures; checked once, at the start.

use std::time::Duration;

use redis::Value;

use super::view::text;

/// The time that an election adds to `cluster-node-timeout`: its fixed and random delays, and the votes.
const ELECTION: Duration = Duration::from_millis(1500);

/// The value in a reply of CONFIG GET for one parameter.
pub fn parameter(reply: &Value) -> Option<String> {
    match reply {
        Value::Array(pair) => pair.get(1).and_then(text).map(str::to_owned),
        Value::Map(pairs) => pairs
            .first()
            .and_then(|(_, value)| text(value))
            .map(str::to_owned),
        _ => None,
    }
}

/// Warnings about parameters of the cluster with which slotmux cannot hide failures.
pub fn warnings(
    node_timeout: Option<Duration>,
    full_coverage: bool,
    deadline: Duration,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(node_timeout) =
        node_timeout.filter(|&node_timeout| node_timeout + ELECTION >= deadline)
    {
        warnings.push(format!(
            "a failover cannot be hidden: the cluster needs about {:?} for one (cluster-node-timeout {node_timeout:?} \
             and an election), and commands end after timeouts.command, {deadline:?}",
            node_timeout + ELECTION,
        ));
    }
    if full_coverage {
        warnings.push(
            "cluster-require-full-coverage is yes: when one shard is down, the cluster refuses commands for the \
             healthy ones too"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_of_what_cannot_be_hidden() {
        let seconds = Duration::from_secs;
        let deadline = seconds(5);
        assert!(warnings(None, false, deadline).is_empty());
        assert!(warnings(Some(seconds(3)), false, deadline).is_empty());
        let both = warnings(Some(seconds(15)), true, deadline);
        assert_eq!(both.len(), 2);
        assert!(
            both[0].contains("cluster-node-timeout 15s")
                && both[0].contains("timeouts.command, 5s"),
            "{}",
            both[0]
        );
        assert_eq!(
            warnings(Some(Duration::from_millis(3500)), false, deadline).len(),
            1
        );
    }

    #[test]
    fn reads_a_setting_in_both_protocols() {
        let (name, value) = (
            Value::BulkString(b"cluster-node-timeout".to_vec()),
            Value::BulkString(b"15000".to_vec()),
        );
        let resp2 = Value::Array(vec![name.clone(), value.clone()]);
        assert_eq!(parameter(&resp2).as_deref(), Some("15000"));
        assert_eq!(
            parameter(&Value::Map(vec![(name, value)])).as_deref(),
            Some("15000")
        );
        assert_eq!(parameter(&Value::Array(vec![])), None);
    }
}
