//! The effective configuration and the origin of each value, as `config show` prints them.

use slotmux_core::config::{CommandLine, Config, LoadedConfig, load_with_origins, show};

use crate::binary::slotmux;
use crate::values::EVERY_KEY;
use crate::{CLUSTER, loaded, sources};

const NAMESPACES: &str = "[defaults.namespace]\nunmatched = \"reject\"\nmax_key = \"1KiB\"\n[[namespace]]\nname = \"a\"\n\
    match = [\"a:\", \"$${b}\\\"\\n\"]\nttl = { default = \"90s\", max = \"7d\", min = \"1s\", jitter = 0.25, \
    jitter_by = \"random\", over_max = \"reject\", persist = \"rewrite\", keepttl = \"honour\", strength = \
    \"inline-only\", scripts = \"allow\", mode = \"observe\" }\nttl_env = [\"A_TTL\"]\ndeny = [\"flushall\", \
    \"object|freq\"]\nmax_value = \"4MiB\"\nread_only = true\n[[namespace]]\nname = \"b\"\nmatch = \"b:\"\n";

/// Values that cannot be shown are set aside.
fn without_passwords(mut config: Config) -> Config {
    config.cluster.passwords.clear();
    for user in &mut config.users {
        user.passwords.clear();
    }
    config
}

#[test]
fn the_output_is_an_equivalent_file() {
    for file in [CLUSTER.to_owned(), format!("{EVERY_KEY}{NAMESPACES}")] {
        let LoadedConfig {
            config, origins, ..
        } = load_with_origins(&sources(&file, &[])).unwrap();
        for page in [show(&config, None), show(&config, Some(&origins))] {
            let again = loaded(&page, &[]);
            assert_eq!(show(&again, None), show(&config, None));
            assert_eq!(
                without_passwords(again),
                without_passwords(config.clone()),
                "{page}"
            );
        }
    }
}

#[test]
fn every_value_has_its_origin() {
    let file = format!(
        "[server]\nworkers = 1\nbacklog = 7\n[[listener]]\nname = \"in\"\nlimits.max_args = 99\n[[user]]\n\
         name = \"default\"\npasswords = \"p\"\n{NAMESPACES}{CLUSTER}"
    );
    let mut sources = sources(
        &file,
        &[
            ("SLOTMUX__SERVER__BACKLOG", "8"),
            ("SLOTMUX_LISTEN", "127.0.0.1:1"),
            ("SLOTMUX_PASSWORD", "hush"),
            ("REDIS_MAX_CONNECTIONS", "50"),
            ("REDIS_TTL_B", "1"),
        ],
    );
    sources.flags = CommandLine {
        upstream: vec!["redis://u:hush@h".into()],
        ..CommandLine::default()
    };
    let LoadedConfig {
        config, origins, ..
    } = load_with_origins(&sources).unwrap();
    for (key, origin) in [
        ("server.workers", "f.toml:2:11"),
        ("server.backlog", "SLOTMUX__SERVER__BACKLOG"),
        ("server.drain_timeout", "default"),
        ("listener.in.name", "f.toml:5:8"),
        ("listener.in.bind", "SLOTMUX_LISTEN"),
        ("listener.in.limits.max_args", "f.toml:6:19"),
        ("user.default.passwords", "SLOTMUX_PASSWORD"),
        ("cluster.seeds", "--upstream"),
        ("cluster.username", "--upstream"),
        ("cluster.password", "--upstream"),
        ("cluster.connections.dedicated_max", "REDIS_MAX_CONNECTIONS"),
        ("defaults.namespace.unmatched", "f.toml:11:13"),
        ("namespace.a.max_key", "f.toml:12:11"),
        ("namespace.b.max_key", "f.toml:12:11"),
        ("namespace.a.ttl.default", "f.toml:16:19"),
        ("namespace.b.ttl.default", "REDIS_TTL_B"),
        ("namespace.b.ttl.max", "default"),
        ("no.such.key", "default"),
    ] {
        assert_eq!(origins.of(key).to_string(), origin, "{key}");
    }
    let page = show(&config, Some(&origins));
    assert!(!page.contains("hush"), "{page}");
    assert!(
        page.contains("\npassword = [\"***\"]                          # --upstream\n"),
        "{page}"
    );
}

#[test]
fn the_binary_shows_the_effective_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    let file = path.to_str().unwrap();
    let text = "[[namespace]]\nname = \"a\"\nmatch = \"a:\"\nttl = { default = \"12h\", max = \"1d\", persist = \"rewrite\" }\n";
    std::fs::write(&path, text).unwrap();
    let shown = |args: &[&str], env: &[(&str, &str)]| {
        let output = slotmux(&[&["config", "show", "--config", file], args].concat(), env);
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    let env = [("REDIS_URL", "redis://:hush@h"), ("REDIS_TTL_A", "3600")];
    let (status, plain, err) = shown(&[], &env);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(
        plain.contains("\ndefault = \"1h\"\nmax = \"1d\"\n")
            && !plain.contains('#')
            && !plain.contains("hush"),
        "{plain}"
    );
    let flags = ["--origin", "--listen", "127.0.0.1:1", "--workers", "3"];
    let (status, page, _) = shown(&flags, &env);
    assert_eq!(status, Some(0));
    let line = |code: &str| {
        let mut lines = page.lines().filter(|line| line.starts_with(code));
        let origin = lines.next().and_then(|line| line.split_once(" # "));
        origin.unwrap_or_else(|| panic!("{code}: {page}")).1
    };
    assert_eq!(line("workers = 3 "), "--workers");
    assert_eq!(line("bind = [\"127.0.0.1:1\"] "), "--listen");
    assert_eq!(line("seeds = [\"redis://h:6379\"] "), "REDIS_URL");
    assert_eq!(line("password = [\"***\"] "), "REDIS_URL");
    assert_eq!(line("default = \"1h\" "), "REDIS_TTL_A");
    assert_eq!(line("max = \"1d\" "), format!("{file}:4:32"));
    assert_eq!(line("jitter = 0.0 "), "default");
    assert_eq!(shown(&flags, &env).1, page, "another time");
    // Without a valid configuration there are no effective values.
    let (status, out, err) = shown(&["--origin"], &[("REDIS_TTL_B", "1")]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(
        err.contains("cluster.seeds: no upstream") && err.contains("REDIS_TTL_B: no namespace"),
        "{err}"
    );
}
