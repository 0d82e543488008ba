//! Whether slotmux is ready, and why not: from what the process already knows, without any request.

use slotmux_core::cluster::addr::Addr;

/// The facts that readiness depends on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub is_draining: bool,
    /// Primaries of the topology; empty until the first one is known.
    pub primaries: Vec<Addr>,
    /// Whether every worker has taken over a topology.
    pub is_adopted: bool,
    /// Nodes to which a worker could not connect, and why.
    pub outages: Vec<(Addr, String)>,
    /// Whether some worker has a connection to some node.
    pub is_connected: bool,
    /// Why the last topology refresh failed.
    pub trouble: Option<String>,
}

/// Ready: every worker has a topology, no drain has begun, and some node can be used as far as any worker has tried. The text
/// gives the reason if not, and names unusable nodes even where others can be used.
pub fn readiness(facts: &Facts) -> (bool, String) {
    if facts.is_draining {
        return (false, "draining\n".to_owned());
    }
    if facts.primaries.is_empty() {
        let text = "no topology: no upstream has answered yet\n".to_owned();
        return (false, text + &reason(facts));
    }
    if !facts.is_adopted {
        return (false, "starting: a worker has no topology yet\n".to_owned());
    }
    let is_out = |primary| facts.outages.iter().any(|(node, _)| node == primary);
    let all_are_out = facts.primaries.iter().all(is_out);
    let is_lost = !facts.is_connected && (all_are_out || facts.trouble.is_some());
    if is_lost {
        return (false, format!("no node can be used\n{}", reason(facts)));
    }
    (true, format!("ready\n{}", named(&facts.outages)))
}

fn reason(facts: &Facts) -> String {
    let trouble = facts.trouble.iter().map(|trouble| format!("{trouble}\n"));
    trouble.collect::<String>() + &named(&facts.outages)
}

fn named(outages: &[(Addr, String)]) -> String {
    let lines = outages.iter();
    lines
        .map(|(node, reason)| format!("{node} cannot be used: {reason}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_where_no_node_can_be_used_and_every_lost_one_has_its_name() {
        let (a, b) = (Addr::new("a", 1), Addr::new("b", 1));
        let out = |node: &Addr| (node.clone(), "NOAUTH x".to_owned());
        let both = || vec![a.clone(), b.clone()];
        let trouble = || Some("no upstream can be used: a:1: silent".to_owned());
        let facts = |primaries, outages, is_connected, trouble| Facts {
            is_draining: false,
            primaries,
            is_adopted: true,
            outages,
            is_connected,
            trouble,
        };
        for (facts, is_ready, report) in [
            (
                facts(vec![], vec![], false, None),
                false,
                "no topology: no upstream has answered yet\n",
            ),
            (
                facts(vec![], vec![], false, trouble()),
                false,
                "no topology: no upstream has answered yet\nno upstream can be used: a:1: silent\n",
            ),
            // No worker has tried yet.
            (facts(both(), vec![], false, None), true, "ready\n"),
            (
                facts(both(), vec![out(&a)], false, None),
                true,
                "ready\na:1 cannot be used: NOAUTH x\n",
            ),
            (
                facts(both(), vec![out(&a), out(&b)], false, None),
                false,
                "no node can be used\na:1 cannot be used: NOAUTH x\nb:1 cannot be used: NOAUTH x\n",
            ),
            // Another worker is connected.
            (
                facts(both(), vec![out(&a), out(&b)], true, trouble()),
                true,
                "ready\na:1 cannot be used: NOAUTH x\nb:1 cannot be used: NOAUTH x\n",
            ),
            (
                facts(both(), vec![], false, trouble()),
                false,
                "no node can be used\nno upstream can be used: a:1: silent\n",
            ),
            (facts(both(), vec![], true, trouble()), true, "ready\n"),
        ] {
            assert_eq!(
                readiness(&facts),
                (is_ready, report.to_owned()),
                "{facts:?}"
            );
            let starting = Facts {
                is_adopted: false,
                ..facts.clone()
            };
            let (is_ready, report) = readiness(&starting);
            assert!(!is_ready, "{facts:?}");
            let word = if facts.primaries.is_empty() {
                "no topology"
            } else {
                "starting"
            };
            assert!(report.starts_with(word), "{report}");
            let draining = Facts {
                is_draining: true,
                ..facts
            };
            assert_eq!(readiness(&draining), (false, "draining\n".to_owned()));
        }
    }
}
