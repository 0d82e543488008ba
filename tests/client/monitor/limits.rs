//! The limits of MONITOR: slow monitors, the rate, the number of monitors, and the switch.

use crate::monitor::{Monitor, proxy};
use slotmux_testing::{PATIENCE, Proxy, Value, poll_until, shared_cluster};

/// Every command is either shown or counted as missed.
#[test]
fn a_monitor_that_does_not_read_affects_no_other() {
    const COMMANDS: usize = 20_000;
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 3);
        config.set("listener.limits.output_hard", "64KiB");
        config.set("listener.limits.output_soft", "none");
    });
    let mut monitor = Monitor::of(proxy.port());
    let value = "v".repeat(3000);
    let mut client = proxy.client();
    let before = proxy.rss();
    for _ in 0..COMMANDS / 10 {
        let batch: Vec<Vec<&str>> = vec![vec!["ECHO", &value]; 10];
        let replies = client.pipeline(&batch);
        assert!(replies.iter().all(|reply| *reply == Value::bulk(&value)));
    }
    // The lines would be 60 MB.
    let grown = proxy.rss().saturating_sub(before);
    assert!(grown < 30 << 20, "{grown}");
    let mut seen = 0;
    let mut missed = 0;
    while seen + missed < COMMANDS {
        let (_, address, command) = monitor.shown();
        match command.strip_prefix("\"(missed)\" \"") {
            Some(count) => {
                assert_eq!(address, "slotmux:0");
                let count = count.trim_end_matches('"').parse::<usize>();
                missed += count.expect("a count");
            }
            None => {
                assert!(command.starts_with("\"ECHO\" \"vvv"), "{command}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen + missed, COMMANDS);
    assert!(seen > 0 && missed > 0, "{seen} and {missed}");
    let counted = proxy.metric("slotmux_monitor_lines_dropped_total");
    assert_eq!(counted, Some(missed as f64));
    // Later lines are shown again.
    client.call(&["echo", "end"]);
    assert_eq!(monitor.until("end"), Vec::<String>::new());
}

#[test]
fn lines_above_the_rate_are_missed() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("server.workers", 1);
        config.set("commands.monitor_rate", 5);
    });
    let mut monitor = Monitor::of(proxy.port());
    let mut client = proxy.client();
    let replies = client.pipeline(&vec![vec!["PING"]; 300]);
    assert_eq!(replies.len(), 300);
    let mut seen = 0;
    let mut missed = 0;
    while seen + missed < 300 {
        let (_, _, command) = monitor.shown();
        match command.strip_prefix("\"(missed)\" \"") {
            Some(count) => missed += count.trim_end_matches('"').parse::<usize>().expect("one"),
            None => seen += 1,
        }
    }
    assert_eq!(seen + missed, 300);
    assert!(seen >= 5 && missed > 0, "{seen} and {missed}");
}

#[test]
fn the_number_of_monitors_is_limited() {
    let proxy = proxy();
    let mut monitors: Vec<Monitor> = (0..16).map(|_| Monitor::of(proxy.port())).collect();
    let mut client = proxy.client();
    let refused = client.call(&["MONITOR"]);
    assert!(refused.error().starts_with("ERR slotmux: "), "{refused:?}");
    assert_eq!(client.call(&["SET", "monitored:x", "1"]), Value::ok());
    // A monitor that dies releases its place.
    monitors.pop();
    poll_until(PATIENCE, "a place", || {
        client.call(&["MONITOR"]) == Value::ok()
    });
    drop(client);
    drop(monitors);
    let mut again: Vec<Monitor> = Vec::new();
    poll_until(PATIENCE, "all places to be free", || {
        let mut monitor = Monitor::connect(proxy.port());
        monitor.send(&["MONITOR"]);
        if monitor.line() == "+OK" {
            again.push(monitor);
        }
        again.len() == 16
    });
    proxy.client().call(&["echo", "end"]);
    again.iter_mut().for_each(|monitor| {
        monitor.until("end");
    });
}

#[test]
fn monitor_can_be_switched_off() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("commands.monitor", "off");
    });
    let mut client = proxy.client();
    for client in [&mut client, &mut proxy.client_resp3()] {
        let refused = client.call(&["MONITOR"]);
        assert_eq!(
            refused.error(),
            "ERR slotmux: 'monitor' is refused: commands.monitor is \"off\""
        );
    }
    assert_eq!(client.call(&["SET", "monitored:off", "1"]), Value::ok());
}

#[test]
fn a_monitor_with_suppressed_replies_gets_no_lines() {
    // With one worker, an earlier monitor gets each line earlier.
    let proxy = Proxy::start(shared_cluster(), |config| config.set("server.workers", 1));
    let mut silenced = Monitor::of(proxy.port());
    silenced.send(&["CLIENT", "REPLY", "OFF"]);
    let mut monitor = Monitor::of(proxy.port());
    let mut other = proxy.client();
    for n in 0..50 {
        other.call(&["echo", &n.to_string()]);
    }
    monitor.until("49");
    silenced.send(&["CLIENT", "REPLY", "ON"]);
    assert_eq!(silenced.line(), "+OK");
    assert_eq!(silenced.shown().2, "\"CLIENT\" \"REPLY\" \"ON\"");
}
