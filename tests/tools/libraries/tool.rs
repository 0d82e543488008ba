//! Runs one program against one server: checks its exit status, and shows its whole output on a failure.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::server::Server;

/// Time limit of a program: many times its duration on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Requirements for running the test at all.
pub const HOW: &str = "run scripts/test once, with --full if this is, it installs them";

/// The wanted versions; the installed ones are recorded in the same form.
const WANTED: [&str; 2] = [
    include_str!("requirements.txt"),
    include_str!("package.json"),
];

/// A program with its arguments.
pub struct Tool {
    name: String,
    command: Command,
    input: Vec<u8>,
}

/// How a program ended.
pub struct Ended {
    pub name: String,
    pub status: ExitStatus,
    /// Its output, both streams in order.
    pub output: String,
}

impl Tool {
    /// A script of this folder, in the environment with the Python libraries.
    pub fn python(script: &str) -> Tool {
        Tool::python_in("python", script)
    }

    /// The same in another environment.
    pub fn python_in(environment: &str, script: &str) -> Tool {
        let python = installed(environment).join("bin/python");
        Tool::new(script, python, &[&source(script)])
    }

    /// A script of this folder, run from the folder that has the Node libraries.
    pub fn node(script: &str) -> Tool {
        let mut tool = Tool::new(script, "node", &[&source(script)]);
        tool.command.current_dir(installed("node"));
        tool
    }

    /// A program on PATH.
    pub fn on_path(program: &str) -> Tool {
        Tool::new(program, program, &[])
    }

    pub fn new(name: &str, program: impl AsRef<Path>, arguments: &[&Path]) -> Tool {
        let mut command = Command::new(program.as_ref());
        command
            .args(arguments)
            // Otherwise imported scripts leave files in this folder.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("REDISCLI_AUTH")
            .env_remove("REDIS_URL");
        Tool {
            name: name.to_owned(),
            command,
            input: Vec::new(),
        }
    }

    /// Adds one argument.
    pub fn arg(self, argument: impl Into<String>) -> Tool {
        self.args([argument])
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Tool {
        self.command.args(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Tool {
        self.command.env(name, value);
        self
    }

    /// Its standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Tool {
        self.input = input.into();
        self
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn run(mut self, server: Server) -> Ended {
        let name = format!("{} against {}", self.name, server.title);
        // Files instead of pipes, which would have to be read while the program runs.
        let mut input = tempfile::tempfile().expect("a file");
        input.write_all(&self.input).expect("written");
        input.seek(SeekFrom::Start(0)).expect("its start");
        let output = tempfile::NamedTempFile::new().expect("a file");
        let printed = || fs::read(output.path()).unwrap_or_default();
        let printed = || String::from_utf8_lossy(&printed()).into_owned();
        let writer = || {
            Stdio::from(
                File::options()
                    .append(true)
                    .open(output.path())
                    .expect("it"),
            )
        };
        let mut child = self
            .command
            .stdin(input)
            .stdout(writer())
            .stderr(writer())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; {HOW}"));
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().expect("its state") {
                break status;
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{name} did not end:\n{}", printed());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended {
            name,
            status,
            output: printed(),
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a script of checks, whose last line counts passes and failures: at least one pass, and no failure. Returns that
    /// line.
    #[track_caller]
    pub fn checks(self, server: Server) -> String {
        let ended = self.run(server);
        let last = ended.output.lines().last().unwrap_or_default();
        let passed = last
            .strip_suffix(" passed, 0 failed")
            .and_then(|start| start.rsplit(' ').next()?.parse::<usize>().ok());
        assert!(
            ended.status.success() && passed.is_some_and(|passed| passed > 0),
            "{} ({}):\n{}",
            ended.name,
            ended.status,
            ended.output
        );
        println!("{}: {}", ended.name, last);
        last.to_owned()
    }
}

/// A file of this folder.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tools/libraries")
        .join(name)
}

/// The folder that scripts/test-tools fills.
pub fn tools() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("the target folder").join("test-tools")
}

/// A package that scripts/test-tools has installed, in the versions of this test.
#[track_caller]
pub fn installed(name: &str) -> PathBuf {
    let tools = tools();
    let stamp = fs::read_to_string(tools.join("stamp")).unwrap_or_default();
    assert!(
        stamp.trim_end() == WANTED.concat().trim_end(),
        "the client libraries of tests/tools/libraries are not installed in {}, or not in these versions: {HOW}",
        tools.display()
    );
    tools.join(name)
}
