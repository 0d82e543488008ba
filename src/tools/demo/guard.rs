//! Cleans up however this process ends: a shell waits until this process' end of a pipe is closed, then ends the Redis
//! processes whose pid files are in the folder, and removes the folder.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// `cat` returns when the write end of its pipe is closed: by [`Guard`]'s drop, or by the kernel when this process
/// ended without one (SIGKILL, a `static` in a test binary).
const SCRIPT: &str = r#"
cat >/dev/null
for file in "$1"/*/pid; do
    [ -s "$file" ] && kill -9 "$(cat "$file")"
done
# A server may have written its configuration once more before it was ended: try again.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1"
    [ -e "$1" ] || exit 0
done
"#;

/// Owns the temporary folder of some local servers and the process that removes both.
#[derive(Debug)]
pub struct Guard {
    folder: TempDir,
    watcher: Child,
}

impl Guard {
    /// Makes the folder and starts the watcher.
    pub fn new() -> io::Result<Guard> {
        let folder = tempfile::Builder::new().prefix("slotmux-").tempdir()?;
        let watcher = Command::new("sh")
            .args(["-c", SCRIPT, "slotmux-guard"])
            .arg(folder.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A process group of its own: Ctrl-C in the terminal must not end it before the cleanup.
            .process_group(0)
            .spawn()?;
        Ok(Guard { folder, watcher })
    }

    /// The temporary folder; every server has a folder of its own in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}
