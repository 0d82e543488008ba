//! Replays what the fuzz targets start from and what they once found, through the same properties.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

/// Feeds every file of the target's corpus and of its regressions to its property.
fn replay(target: &str, check: fn(&[u8])) {
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(folder)
            .join(target);
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut replayed = 0;
        for entry in entries {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            // Named here, for the property's own message does not know the file.
            println!("{}", path.display());
            check(&input);
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}

#[test]
fn request() {
    replay("request", fuzz::request::check);
}

#[test]
fn reply() {
    replay("reply", fuzz::reply::check);
}

#[test]
fn split_points() {
    replay("split_points", fuzz::split_points::check);
}

#[test]
fn differential() {
    replay("differential", fuzz::differential::check);
}

#[test]
fn ttl_plan() {
    replay("ttl_plan", fuzz::ttl_plan::check);
}

/// Without a fuzzer at hand, a fixed sample of what it would try.
#[test]
fn ttl_plan_of_random_choices() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..100_000 {
        let choices: Vec<u8> = (0..random.usize(24..96)).map(|_| random.u8(..)).collect();
        fuzz::ttl_plan::check(&choices);
    }
}
