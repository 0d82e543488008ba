//! The real binary: what it prints, where, and how it exits.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};

use slotmux::demo::server::send_signal;

use crate::common::{PATIENCE, poll_until};
use crate::*;

fn slotmux(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotmux"));
    command.args(["ttl", "audit"]).args(args).env_clear();
    command
}

fn outcome(output: Output) -> (Option<i32>, String, String) {
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

/// Ends the process, should the test fail before it has ended by itself.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn machines_get_one_object_and_nothing_else() {
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
fn a_signal_ends_it_with_what_it_has() {
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
