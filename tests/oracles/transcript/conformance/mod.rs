//! docs/conformance.md: the replies to each command of the installed Redis through slotmux, in RESP2, in RESP3, inside
//! MULTI and with keys of several slots. Every command of that server's COMMAND has a row, or the test fails.

mod differs;
mod page;
mod programs;
mod sample;
mod server;

use crate::transcript::intended::{NOT_YET, OF_A_CLUSTER, REFUSED};
use crate::transcript::lines::{single, words};
use crate::transcript::run::Entry;
use crate::transcript::{pair, speaks_7_0};
use page::Outcomes;
use sample::{Sampler, Setting};
use slotmux_testing::RawClient;
use slotmux_testing::alike::known;

/// Sends the samples of one setting over connections of their own, and records the results.
fn send(sampler: &Sampler, setting: Setting, outcomes: &mut Outcomes) {
    let listed = [NOT_YET, REFUSED, OF_A_CLUSTER].into_iter().flatten();
    // Keys of several slots have samples of their own.
    let listed = listed.filter(|(_, text)| *text != slotmux_core::route::CROSS_SLOT);
    let listed = listed.map(|(line, text)| Entry::listed(line, text));
    let entries: Vec<Entry> = single().into_iter().map(Entry::new).chain(listed).collect();
    for protocol in setting.protocols() {
        sampler.renew();
        let mut connections = sampler.connect(protocol);
        for entry in &entries {
            if let Some(command) = known(entry.words()) {
                let outcome = connections.send(entry, setting);
                outcomes.note(command.full_name, setting, entry.words(), outcome);
            } else if entry.reply_of_slotmux().is_none() {
                // Lines that belong to no command may still change the state for the next lines.
                connections.send(entry, setting);
            }
        }
        for program in programs::ALONE {
            if setting == Setting::Multi && programs::ENDS_TRANSACTIONS.contains(program) {
                continue;
            }
            let mut connections = sampler.connect(protocol);
            for line in program.split('|') {
                let entry = Entry::new(words(line));
                let command = known(entry.words()).expect("a command");
                let outcome = connections.send(&entry, setting);
                outcomes.note(command.full_name, setting, entry.words(), outcome);
            }
        }
        for words in server::of_clusters() {
            let entry = Entry::new(words);
            let command = known(entry.words()).expect("a command");
            let outcome = connections.send(&entry, setting);
            outcomes.note(command.full_name, setting, entry.words(), outcome);
        }
    }
}

/// The last line of each program, on keys of several slots.
fn send_over_slots(sampler: &Sampler, outcomes: &mut Outcomes) {
    for protocol in Setting::Several.protocols() {
        for program in programs::OVER_SLOTS {
            sampler.renew();
            let mut connections = sampler.connect(protocol);
            let (setup, last) = program.rsplit_once('|').unwrap_or(("", program));
            for line in setup.split('|').filter(|line| !line.is_empty()) {
                let outcome = connections.send(&Entry::new(words(line)), Setting::Resp2);
                assert!(!outcome.differs(), "{line} of {program}: {outcome:?}");
            }
            let entry = Entry::new(words(last));
            let command = known(entry.words()).unwrap_or_else(|| panic!("{last}: no command"));
            let outcome = connections.send(&entry, Setting::Several);
            outcomes.note(command.full_name, Setting::Several, entry.words(), outcome);
        }
    }
}

#[test]
fn the_page_is_generated_from_the_replies() {
    if !speaks_7_0() {
        return;
    }
    let pair = pair();
    let sampler = Sampler::new(&pair);
    let mut outcomes = Outcomes::default();
    for setting in [Setting::Resp2, Setting::Resp3, Setting::Multi] {
        send(&sampler, setting, &mut outcomes);
    }
    send_over_slots(&sampler, &mut outcomes);
    let commands = server::commands(&mut RawClient::connect(pair.redis.port()));
    assert_eq!(
        programs::without_one(&commands),
        [""; 0],
        "commands of several keys without a program over several slots"
    );
    page::compare(&outcomes.table(&commands));
}
