//! MONITOR and passwords: it needs a login, and redacts passwords in every form.

use crate::monitor::Monitor;
use slotmux_testing::{Proxy, Value, shared_cluster};

#[test]
fn monitor_needs_a_login_and_shows_no_password() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.add_user("default", "the-secret");
        config.set("listener.idle_timeout", "300ms");
    });
    let mut stranger = proxy.client();
    assert!(stranger.call(&["MONITOR"]).error().starts_with("NOAUTH"));
    let mut monitor = Monitor::connect(proxy.port());
    monitor.send(&["AUTH", "the-secret"]);
    assert_eq!(monitor.line(), "+OK");
    monitor.send(&["MONITOR"]);
    assert_eq!(monitor.line(), "+OK");
    assert!(stranger.call(&["GET", "k"]).error().starts_with("NOAUTH"));
    assert_eq!(stranger.call(&["AUTH", "the-secret"]), Value::ok());
    stranger.call(&["HELLO", "3", "AUTH", "default", "the-secret"]);
    stranger.call(&["ECHO", "x"]);
    assert_eq!(monitor.shown().2, "\"AUTH\" \"(redacted)\"");
    assert_eq!(
        monitor.shown().2,
        "\"HELLO\" \"3\" \"AUTH\" \"(redacted)\" \"(redacted)\""
    );
    assert_eq!(monitor.shown().2, "\"ECHO\" \"x\"");
    // Idle clients are closed, except for monitors.
    assert_eq!(stranger.read_to_close(), b"");
    let mut other = proxy.client();
    other.call(&["AUTH", "the-secret"]);
    assert_eq!(monitor.shown().2, "\"AUTH\" \"(redacted)\"");
}

#[test]
fn disguised_passwords_are_redacted() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.add_user("default", "the-secret");
    });
    let mut monitor = Monitor::connect(proxy.port());
    monitor.send(&["AUTH", "the-secret"]);
    assert_eq!(monitor.line(), "+OK");
    monitor.send(&["MONITOR"]);
    assert_eq!(monitor.line(), "+OK");
    let mut other = proxy.client();
    for words in [
        &["HELLO", "3", "AUTH\0x", "default", "the-secret"][..],
        &[
            "HELLO",
            "3",
            "SETNAME",
            "auth",
            "AUTH",
            "default",
            "the-secret",
        ],
        &[
            "HELLO",
            "3",
            "SETNAME\0",
            "auth",
            "Auth\0",
            "default",
            "the-secret",
        ],
    ] {
        let hello = other.call(words);
        assert!(matches!(hello, Value::Map(_)), "{hello:?}");
        let shown = monitor.shown().2;
        assert!(shown.starts_with("\"HELLO\" \"3\" "), "{shown}");
        assert!(shown.ends_with(" \"(redacted)\" \"(redacted)\""), "{shown}");
        assert!(!shown.contains("the-secret"), "{shown}");
    }
    for words in [
        &[
            "HELLO",
            "3",
            "AUTH",
            "default",
            "wrong",
            "AUTH",
            "default",
            "the-secret",
        ][..],
        &[
            "MIGRATE",
            "h",
            "1",
            "monitored:k",
            "0",
            "1",
            "AUTH",
            "keys",
            "AUTH2",
            "default",
            "the-secret",
        ],
    ] {
        other.call(words);
        let shown = monitor.shown().2;
        assert!(
            shown.contains("redacted") && !shown.contains("the-secret"),
            "{shown}"
        );
    }
    // EXPLAIN is shown neither alone nor in a transaction.
    let explain = &["SLOTMUX", "EXPLAIN", "AUTH", "default", "the-secret"][..];
    for words in [explain, &["MULTI"], explain, &["EXEC"], &["ECHO", "end"]] {
        other.call(words);
    }
    for wanted in ["\"MULTI\"", "\"EXEC\"", "\"ECHO\" \"end\""] {
        assert_eq!(monitor.shown().2, wanted);
    }
}
