//! Starts without any file: slotmux configured by the environment alone, or by flags alone.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::ports::PortLease;

use slotmux_testing::{PATIENCE, RawClient, Value, poll_for, poll_until, shared_cluster};

/// The real binary with these arguments, in an environment that contains only these variables.
struct Bare {
    child: Child,
    folder: PathBuf,
    // This also ends the process if the test is killed.
    _guard: Guard,
}

impl Bare {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Bare {
        let guard = Guard::new().expect("a folder");
        let folder = guard.folder().join("slotmux");
        fs::create_dir(&folder).expect("a folder");
        let log = File::create(folder.join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_slotmux"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("slotmux");
        fs::write(folder.join("pid"), child.id().to_string()).expect("noted");
        Bare {
            child,
            folder,
            _guard: guard,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state")
    }

    /// Waits until it is ready, or has ended.
    fn settle(&mut self) {
        poll_until(PATIENCE, "slotmux to be ready or to end", || {
            self.ended().is_some() || self.log().contains(" ready ")
        });
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(self.folder.join("pid"));
    }
}

fn url() -> String {
    format!("redis://127.0.0.1:{}", shared_cluster().node(1).port)
}

#[test]
fn the_upstreams_url_is_enough() {
    for arguments in [&[][..], &["run"]] {
        let mut bare = Bare::start(arguments, &[("REDIS_URL", &url())]);
        bare.settle();
        // Another process may use the default ports on this machine; the attempt to bind them shows as well.
        let log = bare.log();
        let is_taken = ["6379", "9121"]
            .iter()
            .any(|port| log.contains(&format!("cannot listen on 127.0.0.1:{port}: ")));
        match bare.ended() {
            Some(status) => assert!(is_taken && status.code() == Some(1), "{status}: {log}"),
            None => {
                assert!(log.contains("listening on 127.0.0.1:6379"), "{log}");
                let mut client = RawClient::connect(6379);
                assert_eq!(client.call(&["SET", "by-url", "1"]), Value::ok());
                assert!(TcpStream::connect("127.0.0.1:9121").is_ok());
            }
        }
    }
}

#[test]
fn addresses_come_from_variables_and_flags() {
    let leases = [(); 4].map(|()| PortLease::any().expect("a port"));
    let [first, second, admin, other_admin] = leases
        .each_ref()
        .map(|lease| format!("127.0.0.1:{}", lease.port()));
    let listen = format!("{first}, {second}");
    let variables = [
        ("REDIS_URL", url()),
        ("SLOTMUX_LISTEN", listen),
        ("SLOTMUX_ADMIN", admin.clone()),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    let mut bare = Bare::start(&[], &variables);
    bare.settle();
    assert!(bare.ended().is_none(), "{}", bare.log());
    for lease in &leases[..2] {
        let reply = RawClient::connect(lease.port()).call(&["SET", "by-variable", "1"]);
        assert_eq!(reply, Value::ok());
    }
    assert!(TcpStream::connect(&admin).is_ok());
    drop(bare);

    // Flags win: the variables' addresses are free again.
    let dead = PortLease::any().expect("a port");
    let variables = [
        ("REDIS_URL", format!("redis://127.0.0.1:{}", dead.port())),
        ("SLOTMUX_LISTEN", second),
        ("SLOTMUX_ADMIN", admin.clone()),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    let url = url();
    let flags = [
        "--upstream",
        &url,
        "--listen",
        &first,
        "--admin",
        &other_admin,
    ];
    let mut bare = Bare::start(&flags, &variables);
    bare.settle();
    assert!(bare.ended().is_none(), "{}", bare.log());
    let reply = RawClient::connect(leases[0].port()).call(&["SET", "by-flag", "1"]);
    assert_eq!(reply, Value::ok());
    assert!(RawClient::try_connect(leases[1].port()).is_err());
    assert!(TcpStream::connect(&other_admin).is_ok());
    assert!(TcpStream::connect(&admin).is_err());
}

#[test]
fn the_file_comes_from_a_variable() {
    let lease = PortLease::any().expect("a port");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("slotmux.toml");
    let text = format!(
        "[[listener]]\nbind = \"127.0.0.1:{}\"\n[[cluster]]\nseeds = \"${{SEEDS}}\"\n[admin]\nbind = \"none\"\n",
        lease.port()
    );
    fs::write(&file, text).expect("written");
    let file = file.to_str().expect("a name");
    let mut bare = Bare::start(
        &[],
        &[
            ("SLOTMUX_CONFIG", file),
            ("SEEDS", &url()),
            ("SLOTMUX__LOG__FORMAT", "json"),
        ],
    );
    let line = poll_for(PATIENCE, "the ready line", || {
        assert!(bare.ended().is_none(), "{}", bare.log());
        let log = bare.log();
        log.lines()
            .find(|line| line.contains("\"ready\""))
            .map(str::to_owned)
    });
    assert!(line.starts_with('{'), "{line}");
    let reply = RawClient::connect(lease.port()).call(&["SET", "by-file", "1"]);
    assert_eq!(reply, Value::ok());
}

#[test]
fn tls_is_refused_with_a_clear_error() {
    for (arguments, variables) in [
        (&[][..], &[("REDIS_URL", "rediss://127.0.0.1")][..]),
        (&["run", "--upstream", "rediss://127.0.0.1"], &[]),
    ] {
        let mut bare = Bare::start(arguments, variables);
        let status = poll_for(PATIENCE, "an end", || bare.ended());
        assert_eq!(status.code(), Some(1));
        assert!(
            bare.log().contains("TLS is not built yet"),
            "{}",
            bare.log()
        );
    }
}
