//! Replays the inputs of a fuzz target.

use std::fs;
use std::path::Path;

/// Feeds every file of the target's corpus and of its regressions to its property.
pub fn replay(target: &str, check: fn(&[u8])) {
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(crate::built::ROOT)
            .join("fuzz")
            .join(folder)
            .join(target);
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut replayed = 0;
        for entry in entries {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            // Named here, because the property's own message does not contain the file.
            println!("{}", path.display());
            check(&input);
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}
