//! One file for each program that ran or was skipped, for the line that scripts/test prints at its end.

use std::fs;

use super::tool::tools;

/// A program passed against all of its servers.
pub fn passed(program: &str, outcome: &str) {
    note(program, &format!("ran: {outcome}"));
}

/// A program that cannot be run on this machine.
pub fn skipped(program: &str, reason: &str) {
    println!("{program}: skipped, {reason}");
    note(program, &format!("skipped: {reason}"));
}

fn note(program: &str, outcome: &str) {
    let folder = tools().join("report");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(program), format!("{outcome}\n")).expect("written");
}
