//! The programs of the workspace's other packages, which cargo does not build for these tests by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where `slotmux-bench` or `slotmux-ledger` is, built as these tests are and from the same sources.
pub fn load_tool(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "slotmux-load"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(
            status.expect("cargo").success(),
            "slotmux-load does not build"
        );
    });
    // Both are in the folder of the profile.
    Path::new(env!("CARGO_BIN_EXE_slotmux")).with_file_name(name)
}
