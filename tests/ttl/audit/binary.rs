//! The real binary: its output, stdout or stderr, and its exit status.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};

use slotmux::tools::demo::server::send_signal;

use crate::audit::*;
use slotmux_testing::{PATIENCE, poll_until};

fn slotmux(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotmux"));
    command.args(["ttl", "audit"]).args(args).env_clear();
    command
}

fn outcome(output: Output) -> (Option<i32>, String, String) {
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

/// Ends the process if the test fails before it has ended by itself.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn json_output_is_exactly_one_object() {
    let server = server_with(1_200);
    let upstream = format!("redis://127.0.0.1:{}", server.port());
    let run = |extra: &[&str]| {
        let args = [&["--upstream", upstream.as_str()], extra].concat();
        outcome(slotmux(&args).output().unwrap())
    };
    let (status, out, err) = run(&["--json"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["complete"], true);
    assert_eq!(json["unmatched"]["without_ttl"], 1_200);
    let (status, out, err) = run(&[]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(
        out.starts_with("namespace ") && out.contains("\n(no namespace)  1200 "),
        "{out}"
    );
    let (status, out, err) = run(&["--namespace", "nope"]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("no namespace \"nope\""), "{err}");
}

#[test]
fn the_policies_of_the_file_and_the_environment_are_applied() {
    let (_turn, cluster) = empty_cluster();
    let keys = [
        many("app:cache:", 300, None),
        many("app:cache:long:", 25, Some(9 * DAY)),
        many("app:docs:", 40, None),
        many("app:seen:", 15, None),
        many("other:", 20, None),
    ];
    store(cluster, &keys.concat());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slotmux.toml");
    let file = format!(
        "[[cluster]]\nseeds = {:?}\n\
         [[namespace]]\nname = \"cache\"\nmatch = [\"app:cache:\"]\nttl = {{ default = \"12h\", max = \"7d\", jitter = 0.1 }}\n\
         [[namespace]]\nname = \"docs\"\nmatch = [\"app:docs:\"]\nttl = {{ default = \"none\" }}\n\
         [[namespace]]\nname = \"seen\"\nmatch = [\"app:seen:\"]\nttl = {{ default = \"1h\", mode = \"observe\" }}\n",
        cluster.seeds()
    );
    std::fs::write(&path, file).unwrap();
    let run = |extra: &[&str], env: &[(&str, &str)]| {
        let args = [&["--config", path.to_str().unwrap(), "--json"], extra].concat();
        let output = slotmux(&args).envs(env.iter().copied()).output().unwrap();
        let (status, out, err) = outcome(output);
        let json: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        (status, json)
    };
    let figures = |json: &serde_json::Value| {
        let rows = json["namespaces"].as_array().unwrap().iter();
        rows.map(|row| {
            ["keys", "to_set", "to_cut", "set", "cut", "violations"]
                .map(|name| row[name].as_u64().unwrap())
        })
        .collect::<Vec<_>>()
    };
    let (status, json) = run(&[], &[]);
    assert_eq!(
        figures(&json),
        [
            [325, 300, 25, 0, 0, 325],
            [40, 0, 0, 0, 0, 0],
            [15, 15, 0, 0, 0, 0]
        ]
    );
    assert_eq!((status, &json["unmatched"]["keys"]), (Some(3), &20.into()));
    // The environment gives the documents a TTL, which the file does not.
    let (status, json) = run(&["--repair"], &[("REDIS_TTL_DOCS", "600")]);
    assert_eq!(
        figures(&json),
        [
            [325, 300, 25, 300, 25, 0],
            [40, 40, 0, 40, 0, 0],
            [15, 15, 0, 0, 0, 0]
        ]
    );
    assert_eq!(status, Some(0));
    let ttl = pttl(cluster, "app:docs:1");
    assert!(ttl > 0 && ttl <= (11 * MINUTE).as_millis() as i64, "{ttl}");
    let (status, json) = run(&["--repair"], &[("REDIS_TTL_DOCS", "600")]);
    assert_eq!(
        figures(&json),
        [
            [325, 0, 0, 0, 0, 0],
            [40, 0, 0, 0, 0, 0],
            [15, 15, 0, 0, 0, 0]
        ]
    );
    assert_eq!(status, Some(0));
}

#[test]
fn a_signal_ends_it_with_a_partial_result() {
    let server = server_with(5_000);
    let upstream = format!("redis://127.0.0.1:{}", server.port());
    for signal in ["INT", "TERM"] {
        server.query::<()>(&["CONFIG", "RESETSTAT"]).expect("reset");
        let mut child = Ended(
            slotmux(&["--upstream", &upstream, "--rate", "100", "--json"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        poll_until(PATIENCE, "the first keys", || {
            let stats: String = server.query(&["INFO", "commandstats"]).expect("INFO");
            stats.contains("cmdstat_pttl:calls=")
        });
        send_signal(child.0.id(), signal).expect("sent");
        let (mut out, mut err) = (String::new(), String::new());
        let streams = (child.0.stdout.take(), child.0.stderr.take());
        streams.0.unwrap().read_to_string(&mut out).unwrap();
        streams.1.unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(130), "{err}");
        let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(
            (&json["complete"], &json["interrupted"]),
            (&false.into(), &true.into())
        );
        let keys = json["keys"].as_u64().expect("a number");
        assert!((1..5_000).contains(&keys), "{keys}");
        assert_eq!(err, "stopped early by a signal\n");
    }
}
