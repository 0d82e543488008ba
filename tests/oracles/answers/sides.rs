//! A real Redis behind a Unix socket, and slotmux' answers as one client would get them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slotmux::engine::stats::usage::usage;
use slotmux::engine::worker::clock::unix_time;
use slotmux::tools::demo::server::server_program;
use slotmux_core::answer::session::{ReplyMode, Session};
use slotmux_core::answer::tracking::Tracking;
use slotmux_core::answer::{
    self, AnswerHost, AnswerOutcome, AskingClient, BufferFigures, ClientAddress, ClientLine,
    InfoFacts, ProcessFigures,
};
use slotmux_core::cluster::mode::ServerHello;
use slotmux_core::cluster::server::ServerIdentity;
use slotmux_core::cluster::view::{ServerInfo, text};
use slotmux_core::command;
use slotmux_core::config::{Config, Secret, User};
use slotmux_core::resp::{Limits, Protocol, ReplyScanner, scan_request, write};
use tempfile::TempDir;

/// The command and its arguments.
pub type Request = Vec<Vec<u8>>;

/// The version whose answers slotmux gives.
const VERSION: &str = "7.0.";

/// Deadline for a server to start and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One plain server, ended when dropped.
pub struct Redis {
    child: Child,
    folder: TempDir,
    password: Option<&'static str>,
    identity: ServerIdentity,
}

impl Redis {
    /// Starts one with settings as close to those of slotmux as possible. `None`, with a message: the installed server
    /// has another version, whose texts may differ.
    pub fn start(password: Option<&'static str>, arguments: &[&str]) -> Option<Redis> {
        let redis = Redis::start_any(password, arguments);
        let version = &redis.identity.version;
        if !version.starts_with(VERSION) {
            eprintln!(
                "SKIPPED: redis-server is {version}, and these answers are those of {VERSION}x"
            );
            return None;
        }
        Some(redis)
    }

    /// As [`Redis::start`], of any version.
    pub fn start_any(password: Option<&'static str>, arguments: &[&str]) -> Redis {
        let program = server_program().expect("a server");
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(&program)
            .args(["--port", "0", "--save", "", "--databases", "1"])
            .args(["--tcp-keepalive", "60", "--unixsocket", "socket", "--dir"])
            .arg(folder.path())
            .args(
                password
                    .map(|password| ["--requirepass", password])
                    .iter()
                    .flatten(),
            )
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut redis = Redis {
            child,
            folder,
            password,
            identity: ServerIdentity::default(),
        };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(redis.folder.path().join("socket")).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis.identity = redis.ask_identity();
        redis
    }

    /// Its statements about itself, as discovery reads them.
    fn ask_identity(&self) -> ServerIdentity {
        let mut peer = self.connect();
        if let Some(password) = self.password {
            peer.ask(&request(&["AUTH", password]));
        }
        let mut value = |words: &[&str]| {
            let reply = peer.ask(&request(words));
            redis::parse_redis_value(&reply).expect("a reply")
        };
        let info = value(&["INFO", "server"]);
        let mut server = ServerInfo::from_info(text(&info).unwrap_or_default());
        server.add(ServerHello::read(&value(&["HELLO"])));
        peer.converse(&[]);
        server.identity
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A new client of it, the only one.
    pub fn connect(&self) -> Peer {
        // Ids count up, so the next connection has the id after this one.
        let mut before = Peer {
            stream: self.stream(),
            id: 0,
        };
        if let Some(password) = self.password {
            before.ask(&request(&["AUTH", password]));
        }
        let id = before.ask(&request(&["CLIENT", "ID"]));
        let id = String::from_utf8(id).unwrap();
        before.converse(&[]);
        Peer {
            stream: self.stream(),
            id: id[1..].trim().parse::<u64>().unwrap() + 1,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the real server.
pub struct Peer {
    stream: UnixStream,
    id: u64,
}

impl Peer {
    /// The reply to one request.
    pub fn ask(&mut self, request: &Request) -> Vec<u8> {
        self.stream.write_all(&encode(request)).unwrap();
        let (mut reply, mut scanned) = (Vec::new(), 0);
        let mut scanner = ReplyScanner::default();
        let mut chunk = [0; 4096];
        loop {
            let length = self.stream.read(&mut chunk).unwrap();
            assert!(length > 0, "closed instead of a reply to {request:?}");
            reply.extend_from_slice(&chunk[..length]);
            let progress = scanner.advance(&reply[scanned..]).unwrap();
            scanned += progress.consumed;
            if progress.done {
                return reply;
            }
        }
    }

    /// Sends all of these and `QUIT` at once. Returns all bytes until the server closes.
    pub fn converse(mut self, requests: &[Request]) -> Vec<u8> {
        let mut bytes: Vec<u8> = requests.iter().flat_map(encode).collect();
        bytes.extend(encode(&request(&["QUIT"])));
        // The server may close before it has read everything.
        let _ = self.stream.write_all(&bytes);
        let mut replies = Vec::new();
        self.stream.read_to_end(&mut replies).unwrap();
        replies
    }
}

/// One client of slotmux, without everything between its socket and its answers.
pub struct Ours {
    id: u64,
    address: ClientAddress,
    server: ServerIdentity,
    config: Config,
    protocol: Protocol,
    authenticated: bool,
    replies: ReplyMode,
    tracking: Tracking,
    session: Option<Box<Session>>,
    closed: bool,
}

struct Quiet;

impl ProcessFigures for Quiet {
    fn facts(&self) -> InfoFacts {
        InfoFacts {
            now: unix_time(),
            usage: usage(),
            // Without an upstream slotmux answers that it is loading.
            topology: "cluster",
            ..InfoFacts::default()
        }
    }

    fn now(&self) -> std::time::Duration {
        unix_time()
    }
}

impl Ours {
    /// With the id, the address and the version of the real server's client. Users are names and passwords.
    pub fn like(peer: &Peer, redis: &Redis, users: &[(&str, &str)]) -> Ours {
        let users = users.iter().map(|(name, password)| User {
            name: (*name).to_owned(),
            passwords: vec![Secret::plain(password)],
        });
        let config = Config {
            users: users.collect(),
            ..Config::default()
        };
        Ours {
            id: peer.id,
            address: ClientAddress::Unix("socket".into()),
            server: redis.identity.clone(),
            protocol: Protocol::default(),
            authenticated: config.is_open(),
            replies: ReplyMode::default(),
            tracking: Tracking::default(),
            session: None,
            closed: false,
            config,
        }
    }

    /// The bytes that the client reads after these requests and `QUIT`.
    pub fn converse(mut self, requests: &[Request]) -> Vec<u8> {
        let mut replies: Vec<u8> = requests
            .iter()
            .flat_map(|request| self.ask(request))
            .collect();
        replies.extend(self.ask(&request(&["QUIT"])));
        replies
    }

    /// The reply to one request, if it has one.
    pub fn ask(&mut self, request: &Request) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.closed {
            self.replies = self.replies.begin();
            self.run(&encode(request), &mut out);
            if !self.replies.wanted() {
                out.clear();
            }
        }
        out
    }

    fn run(&mut self, buf: &[u8], out: &mut Vec<u8>) {
        let mut args = Vec::new();
        scan_request(buf, &Limits::default(), &mut args).unwrap();
        let command = match command::resolve(buf, &args) {
            Ok(command) => command,
            Err(unresolved) => {
                out.push(b'-');
                out.extend(unresolved.error(buf, &args));
                return out.extend(b"\r\n");
            }
        };
        let Some(what) = command.route.own_answer() else {
            panic!("slotmux does not answer {} itself", command.full_name);
        };
        if !self.authenticated && !answer::allowed_before_login(what) {
            return write::error(out, "NOAUTH Authentication required.");
        }
        let host = AnswerHost {
            config: &self.config,
            listener: &self.config.listeners[0],
            local: None,
            server: &self.server,
            process: &Quiet,
        };
        let mut subject = AskingClient {
            id: self.id,
            protocol: self.protocol,
            authenticated: self.authenticated,
            replies: self.replies,
            tracking: self.tracking,
            is_subscriber: false,
            session: &mut self.session,
        };
        let outcome = answer::answer(what, command, buf, &args, &mut subject, &host, out);
        self.protocol = subject.protocol;
        self.authenticated = subject.authenticated;
        self.replies = subject.replies;
        self.tracking = subject.tracking;
        let line = ClientLine {
            id: self.id,
            addr: &self.address,
            laddr: &self.address,
            fd: 8,
            age: 0,
            idle: 0,
            session: self.session.as_deref(),
            default_user: &host.listener.default_user,
            closing: false,
            held: false,
            multi: None,
            blocked: false,
            watched: 0,
            multi_bytes: 0,
            input: BufferFigures::default(),
            output: BufferFigures::default(),
            reading: true,
            writing: false,
            command: command.full_name,
            protocol: self.protocol,
            tracking: self.tracking,
            subscriptions: [0; 3],
            traffic: [0; 2],
            requests: 0,
            server: host.server.number(),
        };
        match outcome {
            AnswerOutcome::Answered | AnswerOutcome::Reset => {}
            AnswerOutcome::Close => self.closed = true,
            AnswerOutcome::OwnLine => line.reply(out),
            AnswerOutcome::List(selection) => {
                let mut found = Vec::new();
                if selection.admits(&line) {
                    found.push((line.id, format!("{line}\n")));
                }
                selection.reply(found, self.protocol, out);
            }
            AnswerOutcome::Pause(_) | AnswerOutcome::Monitor => out.extend_from_slice(b"+OK\r\n"),
            // No client of these is blocked.
            AnswerOutcome::Unblock(_) => write::integer(out, 0),
            AnswerOutcome::Ask(_) => panic!("no node gets this request"),
            AnswerOutcome::Track(_) => panic!("no other client and no node is asked"),
            AnswerOutcome::Kill(kill) => {
                self.closed = kill.admits(&line);
                kill.reply(self.closed.into(), out);
            }
        }
    }
}

pub fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn encode(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    write::request(&mut bytes, &words);
    bytes
}
