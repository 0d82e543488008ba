//! The real binary: its output, stdout or stderr, and its exit status.

use std::process::{Command, Output};

use crate::CLUSTER;

/// The real binary in an environment that contains only `env`.
pub(crate) fn slotmux(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotmux"));
    command
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn check_prints_and_exits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.toml");
    let file = path.to_str().unwrap();
    let checked = |text: &str, env: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let output = slotmux(&["check", file], env);
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    assert_eq!(
        checked(CLUSTER, &[]),
        (Some(0), format!("{file}: ok\n"), String::new())
    );
    assert_eq!(
        checked(
            &format!("[server]\nworker = 1\nbacklog = 0\n{CLUSTER}"),
            &[]
        ),
        (
            Some(1),
            String::new(),
            format!(
                "{file}:2:1: server.worker: unknown key; did you mean `workers`?\n\
                 {file}:3:11: server.backlog: 0 is out of range: 1 to 65535\n\
                 {file}: 2 problems\n"
            )
        )
    );
    let (status, _, err) = checked("", &[]);
    assert!(
        status == Some(1) && err.starts_with(&format!("{file}:1:1: cluster.seeds: no upstream; ")),
        "{err}"
    );
    // The environment counts: it can complete a file, or make it invalid.
    assert_eq!(checked("", &[("REDIS_URL", "redis://h")]).0, Some(0));
    let (status, _, err) = checked(CLUSTER, &[("SLOTMUX_WORKERS", "x")]);
    assert!(
        status == Some(1) && err.starts_with("SLOTMUX_WORKERS: ") && err.ends_with(": 1 problem\n"),
        "{err}"
    );
    let namespace = "[[namespace]]\nname = \"a\"\nmatch = \"a:\"\n";
    assert_eq!(
        checked(&format!("{namespace}{CLUSTER}"), &[("REDIS_TTL_A", "-5")]),
        (
            Some(0),
            format!("{file}: ok\n"),
            "REDIS_TTL_A: warning: -5 is negative and counts as 0 for namespace \"a\"\n".to_owned()
        )
    );
    let (status, out, err) = checked(
        &format!("[[listener]]\nbind = \"0.0.0.0:1\"\n{CLUSTER}"),
        &[],
    );
    assert!(
        status == Some(0)
            && out.ends_with(": ok\n")
            && err.contains("warning: no user has a password"),
        "{err}"
    );
}

#[test]
fn unreadable_and_invalid_input_is_refused() {
    for (args, env, status, said) in [
        (
            &["check", "no/such.toml"][..],
            &[][..],
            1,
            "cannot read no/such.toml: ",
        ),
        (&["check"], &[], 2, "<FILE>"),
        (&["walk"], &[], 2, "unrecognized subcommand"),
        (&["run", "--port", "1"], &[], 2, "unexpected argument"),
        (&[], &[], 2, "Examples:"),
        (
            &["run"],
            &[],
            1,
            "configuration: cluster.seeds: no upstream; ",
        ),
        (
            &["run", "--config", "no/such.toml"],
            &[],
            1,
            "--config: cannot read no/such.toml: ",
        ),
        (
            &[],
            &[("SLOTMUX_CONFIG", "no/such.toml")],
            1,
            "SLOTMUX_CONFIG: cannot read no/such.toml: ",
        ),
        (
            &[],
            &[("REDIS_URL", "rediss://h")],
            1,
            "REDIS_URL: cluster.seeds: TLS is not built yet",
        ),
        (
            &["--upstream", "h:x"],
            &[],
            1,
            "--upstream: cluster.seeds: not an address: ",
        ),
        (
            &["run", "--upstream", "h", "--workers", "many"],
            &[],
            1,
            "--workers: server.workers: expected ",
        ),
        (
            &["run", "--upstream", "h"],
            &[("REDIS_TTL_DOCS", "0")],
            1,
            "REDIS_TTL_DOCS: no namespace has this variable; ",
        ),
        (
            &["run", "--upstream", "127.0.0.1"],
            &[],
            1,
            "is slotmux itself",
        ),
    ] {
        let output = slotmux(args, env);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {err}");
        assert!(err.contains(said), "{args:?}: {err}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_on_stdout() {
    let version = slotmux(&["--version"], &[]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        format!("slotmux {}\n", env!("CARGO_PKG_VERSION"))
    );
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["config", "show", "--help"],
        &["demo", "--help"],
        &["ttl", "audit", "--help"],
    ] {
        let help = slotmux(args, &[]);
        assert!(
            help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Example"),
            "{args:?}"
        );
    }
}
