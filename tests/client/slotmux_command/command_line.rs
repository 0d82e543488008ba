//! `slotmux explain`: the output and exit status of the real binary.

use std::process::{Command, Output};

use slotmux_testing::shared_cluster;

/// The real binary in an environment that contains only `env`.
fn slotmux(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slotmux"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn explain_runs_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    std::fs::write(
        &file,
        "[[namespace]]\nname = \"docs\"\nmatch = [\"docs:\"]\nttl.max = \"60s\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let told = |args: &[&str], env: &[(&str, &str)]| {
        let output = slotmux(&[&["explain", "--config", file], args].concat(), env);
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!((output.status.code(), &*err), (Some(0), ""), "{args:?}");
        out
    };
    let seeds = shared_cluster().seeds();
    let password = shared_cluster().password();
    let mut env = vec![("REDIS_URL", &*seeds[0])];
    env.extend(password.map(|password| ("REDIS_PASSWORD", password)));
    let set = told(&["SET", "docs:1", "v", "EX", "90"], &env);
    assert!(set.contains("\nsends       SET docs:1 v EX 60\n"), "{set}");
    assert!(set.contains("\nnodes       127.0.0.1:"), "{set}");
    assert!(
        set.contains(&format!(
            "decided_by  namespace.docs.ttl.max = \"1m\" ({file}:4:"
        )),
        "{set}"
    );
    // Options behind the command belong to it, not to slotmux.
    let get = told(&["GET", "--config"], &env);
    assert!(get.starts_with("command     GET --config\n"), "{get}");
    // The environment applies as it does to `run`.
    let by_env = told(&["SET", "docs:1", "v"], &[("REDIS_TTL_DOCS", "30")]);
    assert!(
        by_env.contains("\nsends       SET docs:1 v PX 30000\n"),
        "{by_env}"
    );
    assert!(
        by_env.contains("decided_by  namespace.docs.ttl.default = \"30s\" (REDIS_TTL_DOCS)"),
        "{by_env}"
    );
    assert!(
        by_env.contains("\nnodes       not known: no upstream is configured\n"),
        "{by_env}"
    );
    // No server listens there.
    let dead = told(&["MGET", "a", "b"], &[("REDIS_URL", "redis://127.0.0.1:1")]);
    assert!(
        dead.contains("\nnodes       not known: no upstream can be used: 127.0.0.1:1: "),
        "{dead}"
    );
    assert!(dead.contains("sent in 2 parts"), "{dead}");

    let wrong = slotmux(&["explain", "--config", "no/such.toml", "GET", "k"], &[]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(slotmux(&["explain"], &[]).status.code(), Some(2));
}
