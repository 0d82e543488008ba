//! The real binary with a configuration of the test, observed from outside: its log, memory, descriptors and sockets.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::ports::PortLease;
use slotmux::tools::demo::server::{LocalServer, send_signal};
use toml::{Table, Value};

use super::{PATIENCE, RawClient, poll_until};

/// A configuration file under construction.
pub struct ProxyConfig {
    table: Table,
    /// Arguments after `run --config FILE`.
    pub arguments: Vec<String>,
    /// Environment variables of the process.
    pub environment: Vec<(String, String)>,
    /// Whether the test makes it panic.
    pub may_panic: bool,
    /// Descriptor limit of the process, if it differs from that of the test.
    pub descriptors: Option<usize>,
}

impl ProxyConfig {
    fn new(port: u16, admin: u16, seeds: &[String], password: Option<&str>) -> ProxyConfig {
        let mut config = ProxyConfig {
            table: Table::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            may_panic: false,
            descriptors: None,
        };
        for list in ["listener", "cluster"] {
            config.table.insert(
                list.to_owned(),
                Value::Array(vec![Value::Table(Table::new())]),
            );
        }
        config.set("listener.bind", vec![format!("127.0.0.1:{port}")]);
        config.set("admin.bind", format!("127.0.0.1:{admin}"));
        config.set("cluster.seeds", seeds.to_vec());
        if let Some(password) = password {
            config.set("cluster.password", vec![password.to_owned()]);
        }
        // A second client-facing default would hide the limit under test.
        config.set("server.workers", 2);
        config.set("log.level", "debug");
        config
    }

    /// Sets one key by its path: `set("cluster.timeouts.command", "300ms")`. In a list of tables, in the last one.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.table;
        for name in parents.split('.').filter(|name| !name.is_empty()) {
            let entry = table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new()));
            table = match entry {
                Value::Array(list) => list.last_mut().and_then(Value::as_table_mut),
                other => other.as_table_mut(),
            }
            .unwrap_or_else(|| panic!("{name} in {path} is not a table"));
        }
        table.insert(key.to_owned(), value.into());
    }

    /// Takes over all keys of this file, except those already set: the listener and the upstream of slotmux.
    pub fn extend(&mut self, file: &str) {
        let ours = std::mem::replace(&mut self.table, file.parse().expect("TOML"));
        merge(&mut self.table, ours);
    }

    /// Adds a listener; the keys set afterwards are its keys.
    pub fn add_listener(&mut self, name: &str, bind: &str) {
        let listeners = self.table.get_mut("listener").and_then(Value::as_array_mut);
        listeners
            .expect("a list of listeners")
            .push(Value::Table(Table::new()));
        self.set("listener.name", name);
        self.set("listener.bind", bind);
    }

    /// Adds a table to a list of tables: `[[namespace]]`.
    pub fn add_section(&mut self, list: &str, section: Table) {
        let sections = self
            .table
            .entry(list)
            .or_insert_with(|| Value::Array(Vec::new()));
        sections
            .as_array_mut()
            .expect("a list of tables")
            .push(Value::Table(section));
    }

    /// Sets an environment variable of the process.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Adds a user with one password, plain or `sha256:...`.
    pub fn add_user(&mut self, name: &str, password: &str) {
        let mut user = Table::new();
        user.insert("name".to_owned(), name.into());
        user.insert("passwords".to_owned(), vec![password.to_owned()].into());
        self.add_section("user", user);
    }
}

/// Lays the keys of `over` over those of `table`; in a list of tables, over those of the first.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(value)) => merge(below, value),
            (Some(Value::Array(list)), Value::Array(over))
                if list.first().is_some_and(Value::is_table) =>
            {
                for (below, value) in list.iter_mut().zip(over) {
                    if let (Value::Table(below), Value::Table(value)) = (below, value) {
                        merge(below, value);
                    }
                }
            }
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// A running slotmux; ends when dropped, or with the test process.
pub struct Proxy {
    child: Mutex<Child>,
    pid: u32,
    folder: PathBuf,
    port: PortLease,
    admin: PortLease,
    may_panic: bool,
    _guard: Guard,
}

impl Proxy {
    /// Starts slotmux in front of a cluster and waits until it is ready.
    #[track_caller]
    pub fn start(cluster: &LocalCluster, configure: impl FnOnce(&mut ProxyConfig)) -> Proxy {
        Proxy::start_at(&cluster.seeds(), cluster.password(), configure)
    }

    /// Starts slotmux in front of one plain server and waits until it is ready.
    #[track_caller]
    pub fn start_before(server: &LocalServer, configure: impl FnOnce(&mut ProxyConfig)) -> Proxy {
        Proxy::start_at(
            &[format!("redis://{}", server.address())],
            server.password(),
            configure,
        )
    }

    /// Starts slotmux with any seeds and waits until it is ready.
    #[track_caller]
    pub fn start_at(
        seeds: &[String],
        password: Option<&str>,
        configure: impl FnOnce(&mut ProxyConfig),
    ) -> Proxy {
        let proxy = Proxy::launch(seeds, password, configure);
        poll_until(PATIENCE, "slotmux to be ready", || {
            let ended = proxy.child().try_wait().expect("its state");
            assert!(
                ended.is_none(),
                "slotmux ended ({ended:?}):\n{}",
                proxy.log()
            );
            proxy
                .admin_get("/readyz")
                .is_some_and(|(status, _)| status == 200)
                && RawClient::try_connect(proxy.port()).is_ok()
        });
        proxy
    }

    /// Starts the process without waiting: for starts that fail or take long.
    #[track_caller]
    pub fn launch(
        seeds: &[String],
        password: Option<&str>,
        configure: impl FnOnce(&mut ProxyConfig),
    ) -> Proxy {
        let guard = Guard::new().expect("a folder");
        let folder = guard.folder().join("slotmux");
        fs::create_dir(&folder).expect("a folder");
        let (port, admin) = (
            PortLease::any().expect("a port"),
            PortLease::any().expect("a port"),
        );
        let mut config = ProxyConfig::new(port.port(), admin.port(), seeds, password);
        configure(&mut config);
        let file = folder.join("slotmux.toml");
        fs::write(&file, toml::to_string(&config.table).expect("TOML")).expect("written");
        let log = File::create(folder.join("log")).expect("a log");
        let program = super::built::slotmux();
        let mut command = match config.descriptors {
            None => Command::new(program),
            Some(most) => {
                // `prlimit` execs the program, so the process id is that of slotmux.
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={most}:{most}")).arg(program);
                command
            }
        };
        let child = command
            .args(["run", "--config"])
            .arg(&file)
            .args(&config.arguments)
            .env_remove("REDIS_URL")
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("slotmux");
        let pid = child.id();
        fs::write(folder.join("pid"), pid.to_string()).expect("noted");
        Proxy {
            child: Mutex::new(child),
            pid,
            folder,
            port,
            admin,
            may_panic: config.may_panic,
            _guard: guard,
        }
    }

    /// The port for clients.
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// The port of the admin page.
    pub fn admin_port(&self) -> u16 {
        self.admin.port()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A new client in RESP2.
    #[track_caller]
    pub fn client(&self) -> RawClient {
        RawClient::connect(self.port())
    }

    /// A new client in RESP3.
    #[track_caller]
    pub fn client_resp3(&self) -> RawClient {
        RawClient::connect_resp3(self.port())
    }

    /// All log lines and output so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Requests an orderly end (SIGTERM).
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends any signal by name.
    pub fn signal(&self, name: &str) {
        send_signal(self.pid, name).expect("a running process");
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait_exit(&self) -> ExitStatus {
        super::poll_for(PATIENCE, "slotmux to end", || {
            self.child().try_wait().expect("its state")
        })
    }

    /// Whether the process is still running.
    pub fn is_running(&self) -> bool {
        self.child().try_wait().expect("its state").is_none()
    }

    /// Status and body of a page of the admin address; `None` while it does not answer.
    pub fn admin_get(&self, path: &str) -> Option<(u16, String)> {
        self.admin_get_as(path, "*/*")
    }

    /// The same, in a form that this `Accept` permits.
    pub fn admin_get_as(&self, path: &str, accept: &str) -> Option<(u16, String)> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.admin_port()));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// A metric's value, summed over its labels; `None` if there is no such line.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, page) = self.admin_get("/metrics")?;
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let labels_end = if rest.starts_with('{') {
                rest.find('}')? + 1
            } else {
                0
            };
            rest[labels_end..]
                .strip_prefix(' ')?
                .split(' ')
                .next()?
                .parse::<f64>()
                .ok()
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The maximum of [`Proxy::rss`] so far.
    pub fn peak_rss(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a running process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("its memory");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("a number")
            * 1024
    }

    /// User and system time used so far.
    pub fn cpu_time(&self) -> Duration {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("a running process");
        // The name in parentheses may contain spaces; the fields behind it begin with the third.
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .expect("fields")
            .split(' ')
            .collect();
        let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
        // Linux reports these in hundredths of a second on every supported architecture.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid))
            .expect("a running process")
            .count()
    }

    /// Established TCP connections from slotmux to these ports: its upstream connections.
    pub fn connections_to(&self, ports: &[u16]) -> usize {
        self.sockets_to(ports, |state| state == ESTABLISHED)
    }

    /// TCP sockets of slotmux to these ports, in any state, including those that the peer has closed.
    pub fn all_sockets_to(&self, ports: &[u16]) -> usize {
        self.sockets_to(ports, |_| true)
    }

    fn sockets_to(&self, ports: &[u16], has_state: impl Fn(&str) -> bool) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("a running process");
        let sockets: HashSet<String> = folder
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|link| {
                Some(
                    link.to_str()?
                        .strip_prefix("socket:[")?
                        .strip_suffix(']')?
                        .to_owned(),
                )
            })
            .collect();
        let tables = ["tcp", "tcp6"]
            .map(|name| fs::read_to_string(format!("/proc/{}/net/{name}", self.pid)));
        tables
            .iter()
            .flatten()
            .flat_map(|table| table.lines().skip(1))
            .filter(|line| leads_to(line, ports, &sockets, &has_state))
            .count()
    }

    /// Established connections from slotmux to all nodes of a cluster.
    pub fn upstream_connections(&self, cluster: &LocalCluster) -> usize {
        self.connections_to(
            &cluster
                .nodes()
                .iter()
                .map(|node| node.port)
                .collect::<Vec<_>>(),
        )
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        let _ = fs::remove_file(self.folder.join("pid"));
        let log = self.log();
        if !std::thread::panicking() {
            let has_panicked = log.contains("panicked at");
            assert!(self.may_panic || !has_panicked, "slotmux panicked:\n{log}");
        } else {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the last output of slotmux:\n{}",
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
    }
}

/// TCP_ESTABLISHED in the kernel's numbering.
const ESTABLISHED: &str = "01";

/// Whether a line of `/proc/net/tcp` is one of the sockets, leads to one of the ports and has a wanted state.
fn leads_to(
    line: &str,
    ports: &[u16],
    sockets: &HashSet<String>,
    has_state: impl Fn(&str) -> bool,
) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, _, remote, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
        return false;
    };
    let port = remote
        .rsplit(':')
        .next()
        .and_then(|port| u16::from_str_radix(port, 16).ok());
    has_state(state) && port.is_some_and(|port| ports.contains(&port)) && sockets.contains(*inode)
}
