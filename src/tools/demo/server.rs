//! One real `redis-server` child process on a leased loopback port: started, stopped, killed and started again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{
    Client, Connection, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
};

use super::guard::Guard;
use super::ports::PortLease;

/// Time limit of a server's first reply to PING, and of every command.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two checks of a condition.
const POLL: Duration = Duration::from_millis(10);

/// Fresh ports tried when a server cannot bind its own because another process was faster.
const START_ATTEMPTS: usize = 5;

/// The environment variable that names the server program to run instead of the one on PATH.
pub const TEST_SERVER: &str = "SLOTMUX_TEST_SERVER";

/// Errors of local Redis processes.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Neither `redis-server` nor `valkey-server` is installed.
    #[error(
        "redis-server is not on PATH; install it (Debian: apt-get install redis-server) and try again"
    )]
    NoServer,
    /// [`TEST_SERVER`] does not name a file.
    #[error("{TEST_SERVER}={}: there is no such file", .0.display())]
    NoSuchServer(PathBuf),
    /// Every port that was tried is taken.
    #[error("no free loopback port was found")]
    NoPort,
    /// The process ended, or never answered.
    #[error("redis-server on port {port} did not start: {reason}")]
    Start {
        /// Its data port.
        port: u16,
        /// The last line of its log, or what was awaited.
        reason: String,
    },
    /// A condition did not come true in time.
    #[error("gave up waiting: {0}")]
    Deadline(String),
    /// A command was refused or its connection failed.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// A file, folder or process could not be made.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Polls `ready` every few milliseconds until it returns true; an error names `what` was awaited and its last error.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut ready: impl FnMut() -> Result<bool, LocalError>,
) -> Result<(), LocalError> {
    let deadline = Instant::now() + limit;
    loop {
        let outcome = ready();
        if matches!(outcome, Ok(true)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let detail = outcome
                .err()
                .map(|error| format!(" ({error})"))
                .unwrap_or_default();
            return Err(LocalError::Deadline(format!("{what}{detail}")));
        }
        std::thread::sleep(POLL);
    }
}

/// A `redis-server` process with a folder, a configuration file and a port that stay the same over restarts.
#[derive(Debug)]
pub struct ServerProcess {
    lease: PortLease,
    folder: PathBuf,
    password: Option<String>,
    program: Option<PathBuf>,
    child: Mutex<Option<Child>>,
}

impl ServerProcess {
    /// Starts servers in their own folders below the guard's, all at once, and waits for their first answers.
    ///
    /// The configuration lines of `options` are added to the ones that make them small, quiet and local.
    pub fn start_many(
        guard: &Guard,
        count: usize,
        options: &ServerOptions,
    ) -> Result<Vec<ServerProcess>, LocalError> {
        let launch = || ServerProcess::launch(guard, options);
        let mut servers = (0..count)
            .map(|_| launch())
            .collect::<Result<Vec<_>, _>>()?;
        for server in &mut servers {
            let mut ready = server.wait_ready();
            for _ in 1..START_ATTEMPTS {
                if ready.is_ok() {
                    break;
                }
                *server = launch()?;
                ready = server.wait_ready();
            }
            ready?;
        }
        Ok(servers)
    }

    /// Starts the process without waiting for it.
    fn launch(guard: &Guard, options: &ServerOptions) -> Result<ServerProcess, LocalError> {
        let password = options.password.as_deref();
        let lease = PortLease::any().ok_or(LocalError::NoPort)?;
        let folder = guard.folder().join(lease.port().to_string());
        fs::create_dir_all(&folder)?;
        write_config(&folder, lease.port(), password, &options.extra)?;
        let server = ServerProcess {
            lease,
            folder,
            password: password.map(str::to_owned),
            program: options.program.clone(),
            child: Mutex::new(None),
        };
        server.spawn()?;
        Ok(server)
    }

    fn spawn(&self) -> Result<(), LocalError> {
        let program = self.program.clone().map_or_else(server_program, Ok)?;
        let child = Command::new(program)
            .arg(self.folder.join("redis.conf"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(File::create(self.folder.join("stdout"))?)
            .stderr(File::create(self.folder.join("stderr"))?)
            // A process group of its own: Ctrl-C in a terminal is for this process, which then ends it in order.
            .process_group(0)
            .spawn()?;
        let noted = fs::write(self.folder.join("pid"), child.id().to_string());
        *self.child() = Some(child);
        Ok(noted?)
    }

    /// Waits until the server answers; an error says why it ended.
    fn wait_ready(&self) -> Result<(), LocalError> {
        let port = self.port();
        let mut ended = None;
        wait_until(PATIENCE, "the first answer of redis-server", || {
            if let Some(status) = self
                .child()
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten())
            {
                ended = Some(status);
                return Ok(true);
            }
            Ok(self.query::<String>(&["PING"])? == "PONG")
        })
        .map_err(|error| LocalError::Start {
            port,
            reason: error.to_string(),
        })?;
        match ended {
            Some(status) => Err(LocalError::Start {
                port,
                reason: format!("{status}: {}", self.last_words()),
            }),
            None => Ok(()),
        }
    }

    /// Its data port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// Its address, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The password that it requires.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Opens a connection with a generous deadline on every step.
    pub fn connect(&self) -> Result<Connection, LocalError> {
        self.connect_within(PATIENCE)
    }

    /// Opens a connection on which every step may take this long.
    pub fn connect_within(&self, limit: Duration) -> Result<Connection, LocalError> {
        let address = ConnectionAddr::Tcp("127.0.0.1".to_owned(), self.port());
        let info: ConnectionInfo = address.into_connection_info()?;
        // The shortest handshake: a frozen server does not answer it, and no deadline is set yet.
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let connection =
            Client::open(info.set_redis_settings(settings))?.get_connection_with_timeout(limit)?;
        connection.set_read_timeout(Some(limit))?;
        connection.set_write_timeout(Some(limit))?;
        Ok(connection)
    }

    /// Sends one command on a connection of its own and converts the reply.
    pub fn query<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, LocalError> {
        self.query_within(PATIENCE, words)
    }

    /// Sends one command with the caller's time limit, for servers that may not answer.
    pub fn query_within<T: FromRedisValue>(
        &self,
        limit: Duration,
        words: &[&str],
    ) -> Result<T, LocalError> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        Ok(command.query(&mut self.connect_within(limit)?)?)
    }

    /// Ends the process at once (SIGKILL), as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The id may soon belong to another process: the guard must not find it.
        let _ = fs::remove_file(self.folder.join("pid"));
    }

    /// Freezes the process (SIGSTOP): its connections stay open and nothing answers.
    pub fn stop(&self) -> Result<(), LocalError> {
        self.signal("STOP")
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&self) -> Result<(), LocalError> {
        self.signal("CONT")
    }

    /// Starts the process again (after ending it if need be) with its folder, port and configuration.
    pub fn restart(&self) -> Result<(), LocalError> {
        self.kill();
        self.spawn()?;
        self.wait_ready()
    }

    fn signal(&self, name: &str) -> Result<(), LocalError> {
        let Some(pid) = self.pid() else {
            return Err(LocalError::Start {
                port: self.port(),
                reason: "it is not running".to_owned(),
            });
        };
        send_signal(pid, name)?;
        Ok(())
    }

    /// The last lines that the server wrote, for error texts.
    fn last_words(&self) -> String {
        let text: String = ["stderr", "log", "stdout"]
            .iter()
            .filter_map(|name| fs::read_to_string(self.folder.join(name)).ok())
            .collect();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal by name (`TERM`, `STOP`...) to a process that we started.
///
/// The shell's own `kill` does it: std has no signals, and this crate has no unsafe code.
pub fn send_signal(pid: u32, name: &str) -> io::Result<()> {
    let status = Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("cannot send SIG{name} to {pid}")))
    }
}

/// The server program: the one that [`TEST_SERVER`] names, else the first on PATH.
pub fn server_program() -> Result<PathBuf, LocalError> {
    match std::env::var_os(TEST_SERVER) {
        Some(given) => given_program(PathBuf::from(given)),
        None => program_on_path(),
    }
}

fn given_program(given: PathBuf) -> Result<PathBuf, LocalError> {
    if !given.is_file() {
        return Err(LocalError::NoSuchServer(given));
    }
    // A server runs in a folder of its own. Links stay: Debian's server tells its role from the name it is called by.
    Ok(std::path::absolute(given)?)
}

fn program_on_path() -> Result<PathBuf, LocalError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
        .ok_or(LocalError::NoServer)
}

fn write_config(
    folder: &Path,
    port: u16,
    password: Option<&str>,
    settings: &[(String, String)],
) -> Result<(), LocalError> {
    let mut file = File::create(folder.join("redis.conf"))?;
    // Nothing is written to disk, and a replica is served at once.
    write!(
        file,
        "port {port}\nbind 127.0.0.1\ndaemonize no\nlogfile log\nsave \"\"\nappendonly no\n\
         repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"
    )?;
    if let Some(password) = password {
        writeln!(file, "requirepass {password}\nmasterauth {password}")?;
    }
    for (name, value) in settings {
        writeln!(file, "{name} {value}")?;
    }
    Ok(())
}

/// The options of a [`LocalServer`].
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// `requirepass`.
    pub password: Option<String>,
    /// Further configuration lines: name, value.
    pub extra: Vec<(String, String)>,
    /// The server program, if it is not to be the usual one.
    pub program: Option<PathBuf>,
}

/// One plain Redis (no cluster) for standalone upstreams and transcripts; ends when dropped.
#[derive(Debug)]
pub struct LocalServer {
    // Before the guard: the process ends first, then its folder goes.
    process: ServerProcess,
    _guard: Guard,
}

impl LocalServer {
    /// Starts the server and waits until it answers.
    pub fn start(options: &ServerOptions) -> Result<LocalServer, LocalError> {
        let guard = Guard::new()?;
        let mut started = ServerProcess::start_many(&guard, 1, options)?;
        let process = started.pop().ok_or(LocalError::NoPort)?;
        Ok(LocalServer {
            process,
            _guard: guard,
        })
    }
}

impl std::ops::Deref for LocalServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}
