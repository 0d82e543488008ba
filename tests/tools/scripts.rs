//! The setup scripts: the packages that they install by each package manager, and their messages where they can't.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A script of this project with only the contents of `path` on PATH.
fn script(name: &str, args: &[&str], path: &Path) -> Output {
    // By its own path, because `env` would not find it.
    Command::new("/bin/bash")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("scripts")
                .join(name),
        )
        .args(args)
        .env_clear()
        .env("PATH", path)
        .output()
        .expect("bash")
}

fn program(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("made a program");
}

/// A machine with root rights and this package manager, which records its arguments and "installs" empty programs.
fn machine(manager: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    program(&folder, "id", "echo 0");
    let here = folder.path().display();
    let install = format!(
        r#"echo "{manager} $*" >>{here}/told
case "$*" in *redis*) name=redis-server ;; *build* | *gcc*) name=cc ;; *) exit ;; esac
echo >{here}/$name
/bin/chmod +x {here}/$name"#
    );
    program(&folder, manager, &install);
    folder
}

#[test]
fn missing_programs_are_installed_by_the_package_manager() {
    for (manager, told) in [
        (
            "apt-get",
            "apt-get update -qq\napt-get install -y -qq redis-server\n\
             apt-get update -qq\napt-get install -y -qq build-essential\n",
        ),
        ("dnf", "dnf install -y -q redis\ndnf install -y -q gcc\n"),
        ("apk", "apk add -q redis\napk add -q build-base\n"),
    ] {
        let machine = machine(manager);
        let output = script("need", &["redis-server", "cc"], machine.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{manager}: {said}");
        assert_eq!(said, "installing redis-server\ninstalling cc\n");
        let noted = || fs::read_to_string(machine.path().join("told")).expect("its notes");
        assert_eq!(noted(), told);
        // Existing programs are not installed again.
        let again = script("need", &["redis-server", "cc"], machine.path());
        assert!(again.status.success() && again.stderr.is_empty());
        assert_eq!(noted(), told);
    }
}

#[test]
fn where_installation_is_impossible_the_needed_package_is_named() {
    let bare = tempfile::tempdir().expect("a folder");
    for (wanted, what) in [
        ("redis-server", "Redis 7.0 or newer"),
        ("redis-cli", "Redis 7.0 or newer"),
        ("python3", "Python 3.11 or newer with pip"),
        ("node", "Node.js 20 or newer with npm"),
        ("c++", "a C and C++ compiler"),
    ] {
        let output = script("need", &[wanted], bare.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last =
            format!("cannot install {wanted} here: install {what} so that '{wanted}' is on PATH");
        assert_eq!(said.lines().last(), Some(&last[..]));
    }
}

#[test]
fn unknown_arguments_are_refused() {
    let path = std::env::var_os("PATH").expect("a PATH");
    for (name, args) in [
        ("test", &["--ful"][..]),
        ("fuzz", &["0"]),
        ("fuzz", &["5s"]),
    ] {
        let output = script(name, args, Path::new(&path));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name} {args:?}");
        assert!(
            said.starts_with(&format!("usage: scripts/{name} ")),
            "{said}"
        );
    }
}
