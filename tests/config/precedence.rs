//! Flags, variables and password files: which setting each sets, and which one wins.

use std::time::Duration;

use slotmux_core::config::{self, CommandLine, Config, User, load, load_with_origins};

use crate::{CLUSTER, lines, loaded, sources};

#[test]
fn flags_over_environment_over_file_over_defaults() {
    let file =
        "[server]\nworkers = 1\nmax_clients = 10\nbacklog = 20\n[[cluster]]\nseeds = \"file:1\"\n";
    let mut sources = sources(
        file,
        &[
            ("SLOTMUX_WORKERS", "2"),
            ("SLOTMUX_MAX_CLIENTS", "30"),
            ("REDIS_URL", "redis://:p@env:1"),
            ("SLOTMUX_ADMIN", "127.0.0.1:2"),
        ],
    );
    sources.flags = CommandLine {
        workers: Some("3".into()),
        upstream: vec!["flag:1".into(), "flag:2".into()],
        ..CommandLine::default()
    };
    let config = load(&sources).unwrap();
    let server = &config.server;
    assert_eq!(
        (server.workers, server.max_clients, server.backlog),
        (3, Some(30), 20)
    );
    assert_eq!(server.drain_timeout, Config::default().server.drain_timeout);
    let seeds: Vec<String> = config
        .cluster
        .seeds
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(seeds, ["flag:1", "flag:2"]);
    assert_eq!(config.cluster.passwords[0].reveal(), "p");
    assert_eq!(config.admin.bind, Some("127.0.0.1:2".parse().unwrap()));
    sources.flags = CommandLine {
        upstream: vec!["redis://u:q@flag".into()],
        listen: vec!["127.0.0.1:3".into(), "unix:s".into()],
        admin: Some("none".into()),
        ..CommandLine::default()
    };
    let config = load(&sources).unwrap();
    assert_eq!(
        (
            config.cluster.username.as_str(),
            config.cluster.passwords[0].reveal()
        ),
        ("u", "q")
    );
    assert_eq!(config.listeners[0].bind.len(), 2);
    assert_eq!((config.server.workers, config.admin.bind), (2, None));
}

#[test]
fn variables_set_their_keys() {
    let config = loaded(
        "",
        &[
            ("REDIS_URL", "redis://u:p@a:1,b:2"),
            ("REDIS_USERNAME", "v"),
            ("REDIS_PASSWORD", "q,r"),
            ("REDIS_CONNECTION_TIMEOUT", "2.5"),
            ("REDIS_SOCKET_TIMEOUT", "7"),
            ("REDIS_HEALTH_CHECK_INTERVAL", "0"),
            ("REDIS_RETRY_ON_TIMEOUT", "no"),
            ("REDIS_MAX_CONNECTIONS", "50"),
            ("SLOTMUX_WORKERS", "4"),
            ("SLOTMUX_LISTEN", "127.0.0.1:1, unix:s"),
            ("SLOTMUX_LOG", "trace"),
            ("SLOTMUX_PASSWORD", "hush"),
            ("SLOTMUX__CLUSTER__TIMEOUTS__COMMAND", "2s"),
            ("SLOTMUX__LISTENER__LIMITS__MAX_ARGS", "99"),
            ("SLOTMUX__SERVER__BACKLOG", "7"),
            ("SLOTMUX_MAX_CLIENTS", ""),
            ("SLOTMUX_SERVICE_HOST", "10.0.0.1"),
        ],
    );
    let cluster = &config.cluster;
    assert_eq!(
        (
            cluster.seeds.len(),
            cluster.username.as_str(),
            cluster.passwords[0].reveal()
        ),
        (2, "v", "q,r")
    );
    assert_eq!(
        cluster.connections.connect_timeout,
        Duration::from_millis(2500)
    );
    assert_eq!(
        (cluster.timeouts.command, cluster.timeouts.response),
        (Duration::from_secs(2), Duration::from_secs(7))
    );
    assert_eq!(cluster.connections.health_interval, None);
    assert!(!cluster.retry.on_timeout);
    // 50 less one lane for each of 4 workers and 2 protocols.
    assert_eq!(cluster.connections.dedicated_max, 42);
    assert_eq!(
        (
            config.listeners[0].bind.len(),
            config.listeners[0].limits.max_args
        ),
        (2, 99)
    );
    assert_eq!(
        (
            config.log.level.as_str(),
            config.server.backlog,
            config.server.max_clients
        ),
        ("trace", 7, None)
    );
    assert!(
        matches!(&config.users[..], [User { name, passwords }] if name == "default" && passwords[0].matches(b"hush"))
    );
}

#[test]
fn a_boolean_variable_has_many_spellings() {
    for (text, expected) in [
        ("true", true),
        ("True", true),
        ("YES", true),
        (" 1 ", true),
        ("", true),
        ("false", false),
        ("False", false),
        ("no", false),
        ("0", false),
    ] {
        let config = loaded(CLUSTER, &[("REDIS_RETRY_ON_TIMEOUT", text)]);
        assert_eq!(config.cluster.retry.on_timeout, expected, "{text:?}");
    }
}

#[test]
fn the_default_password_replaces_that_of_the_default_user() {
    let file = "[[listener]]\ndefault_user = \"app\"\n[[user]]\nname = \"app\"\npasswords = \"old\"\n\
                [[user]]\nname = \"other\"\npasswords = \"same\"\n";
    let config = loaded(&format!("{file}{CLUSTER}"), &[("SLOTMUX_PASSWORD", "new")]);
    let lets_in =
        |name: &str, password: &[u8]| config.user(name).unwrap().passwords[0].matches(password);
    assert!(lets_in("app", b"new") && !lets_in("app", b"old") && lets_in("other", b"same"));
    assert_eq!(config.users.len(), 2);
}

#[test]
fn passwords_come_from_files_and_variables() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pw"), "hush\r\n").unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let mut sources = sources(
        "[[user]]\nname = \"u\"\npasswords = [\"file:pw\", \"${OTHER}\"]\n[[cluster]]\nseeds = \"${URL}\"\n\
         password = [\"file:pw\", \"${NONE:-}\", \"${OTHER:-x}\"]\n",
        &[("OTHER", "a,b"), ("URL", "h1:1,h2:2")],
    );
    let file = sources.file.as_mut().unwrap();
    file.name = folder.path().join("f.toml").display().to_string();
    let config = load(&sources).unwrap();
    let passwords: Vec<&str> = config
        .cluster
        .passwords
        .iter()
        .map(|password| password.reveal())
        .collect();
    assert_eq!(passwords, ["hush", "a,b"]);
    let secrets = &config.users[0].passwords;
    assert!(secrets[0].matches(b"hush") && secrets[1].matches(b"a,b"));
    assert_eq!(config.cluster.seeds.len(), 2);
    assert!(!format!("{config:?}").contains("hush"));

    let file = sources.file.as_mut().unwrap();
    file.text = file
        .text
        .replace("\"file:pw\", \"${OTHER}\"", "\"file:empty\"");
    let said = lines(&load(&sources).unwrap_err()).join("\n");
    assert!(
        said.ends_with("user.passwords: the file \"empty\" holds no password"),
        "{said}"
    );
}

#[test]
fn an_open_slotmux_on_a_public_address_warns() {
    for (listen, password, count) in [
        ("0.0.0.0:6379", "", 1),
        ("[::]:6379", "", 1),
        ("127.0.0.1:6379,[::1]:6379,unix:s", "", 0),
        ("0.0.0.0:6379", "hush", 0),
    ] {
        let env = [("SLOTMUX_LISTEN", listen), ("SLOTMUX_PASSWORD", password)];
        let loaded = load_with_origins(&sources(CLUSTER, &env)).unwrap();
        let warnings = lines(&loaded.warnings);
        assert_eq!(warnings.len(), count, "{listen}");
        assert!(
            warnings
                .iter()
                .all(|warning| warning.starts_with("SLOTMUX_LISTEN: no user has a password"))
        );
        assert_eq!(loaded.config.is_open(), password.is_empty());
    }
    assert!(config::PROTECTED.starts_with("-DENIED ") && config::PROTECTED.ends_with("\r\n"));
    assert_eq!(config::PROTECTED.matches('\n').count(), 1);
}
