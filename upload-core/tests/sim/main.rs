//! Many histories of owners, tabs, nodes and storage, on the real core, with faults.
//!
//! What fails names a rule of the protocol or one of these invariants:
//!
//! 1. only the file's own bytes are written and stored, and complete means all of them;
//! 2. what a record promises is durable and can be reopened;
//! 3. a writer receives only orders that fit what it was asked before;
//! 4. of several holders of an upload, only the newest continues it;
//! 5. bytes in memory are bounded;
//! 7. everything ends, and an honest upload ends well;
//! 8. what a writer took becomes durable although its client sends nothing;
//! 9. what is counted, for each owner and in all, is what there is.
//!
//! `cargo test -p upload-core --test sim -- --histories 50000 --seed 1`: the
//! seeds run from `--seed` on. A failing seed is shrunk and its trace printed;
//! `--replay SEED` runs it again, `--faults 0,3` with these faults only.

mod core;
mod driver;
mod due;
mod expiring;
mod host;
mod plan;
mod records;
mod rng;
mod storage;
mod tab;
mod taking;
mod tallies;
mod told;
mod truth;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use plan::Plan;
use world::{Ending, World};

/// Histories of a run that is told no other number. `cargo xtask test` runs the
/// optimised build; the other one only shows that it still works.
const HISTORIES: u64 = if cfg!(debug_assertions) { 500 } else { 50_000 };

struct Args {
    histories: u64,
    seed: u64,
    replay: Option<u64>,
    faults: Option<Vec<usize>>,
    threads: usize,
    is_quick: bool,
}

#[derive(Default)]
struct Totals {
    histories: AtomicU64,
    steps: AtomicU64,
    faults: AtomicU64,
    completed: AtomicU64,
    trace: AtomicU64,
    failed: AtomicBool,
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(seed) = args.replay {
        return replay(seed, args.faults.as_deref());
    }
    match run_all(&args) {
        None => ExitCode::SUCCESS,
        Some((seed, ending)) => {
            report(seed, &ending, args.is_quick);
            ExitCode::FAILURE
        }
    }
}

fn parse(words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let mut args = Args {
        histories: HISTORIES,
        seed: 1,
        replay: None,
        faults: None,
        threads: std::thread::available_parallelism().map_or(2, usize::from),
        is_quick: false,
    };
    let mut words = words;
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let value = words.next().unwrap_or_default();
            value
                .parse()
                .map_err(|_| format!("{word} wants a number, not {value:?}"))
        };
        match &*word {
            "--histories" => args.histories = number()?,
            "--seed" => args.seed = number()?,
            "--replay" => args.replay = Some(number()?),
            "--threads" => args.threads = number()?.max(1) as usize,
            "--quick" => args.is_quick = true,
            "--faults" => {
                let list = words.next().unwrap_or_default();
                let numbers = list.split(',').filter(|part| !part.is_empty());
                let numbers: Result<_, _> = numbers.map(str::parse).collect();
                args.faults = Some(numbers.map_err(|_| "--faults wants numbers".to_owned())?);
            }
            "--list" => {
                println!("histories: test");
                return Ok(None);
            }
            // What the test runner is told besides; a filter for other tests is not for us.
            filter if !filter.starts_with('-') && !"histories".contains(filter) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(args))
}

/// Runs seeds until all are run or one fails; returns the lowest that failed.
fn run_all(args: &Args) -> Option<(u64, Ending)> {
    std::panic::set_hook(Box::new(|_| {}));
    let totals = Totals::default();
    let next = AtomicU64::new(0);
    let first: Mutex<Option<(u64, Ending)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..args.threads {
            scope.spawn(|| {
                while !totals.failed.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= args.histories {
                        return;
                    }
                    let seed = args.seed.wrapping_add(number);
                    let ending = run(Plan::new(seed), false);
                    totals.add(&ending);
                    if ending.wrong.is_some() {
                        totals.failed.store(true, Ordering::Relaxed);
                        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                        if first.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                            *first = Some((seed, ending));
                        }
                    }
                }
            });
        }
    });
    totals.print(args.seed);
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one history, of uploads, of taking one and of one that expires; a panic is a finding like any other.
fn run(plan: Plan, is_loud: bool) -> Ending {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let seed = plan.seed;
        let ending = World::new(plan, is_loud).run();
        if ending.wrong.is_some() {
            return ending;
        }
        let (taken, wrong) = taking::run(seed, is_loud);
        let (expired, wrong) = match wrong {
            None => expiring::run(seed, is_loud),
            Some(wrong) => (0, Some(wrong)),
        };
        Ending {
            steps: ending.steps + taken + expired,
            wrong,
            ..ending
        }
    }));
    ran.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Ending {
            trace: 0,
            steps: 0,
            faults: 0,
            completed: 0,
            wrong: Some(format!("panic: {}", text.unwrap_or_default())),
        }
    })
}

fn replay(seed: u64, faults: Option<&[usize]>) -> ExitCode {
    let mut plan = Plan::new(seed);
    if let Some(kept) = faults {
        plan = with_faults(&plan, kept);
    }
    println!("{plan:#?}");
    let ending = run(plan.clone(), true);
    let again = run(plan, false);
    println!("{ending:#?}");
    if ending.trace != again.trace {
        println!("the same seed ran otherwise: {:016x}", again.trace);
        return ExitCode::FAILURE;
    }
    match ending.wrong {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    }
}

fn report(seed: u64, ending: &Ending, is_quick: bool) {
    let wrong = ending.wrong.as_deref().unwrap_or_default();
    println!("FAILED seed {seed}, trace {:016x}: {wrong}", ending.trace);
    if is_quick {
        return;
    }
    let (kept, smallest) = shrink(seed);
    let list: Vec<_> = kept.iter().map(ToString::to_string).collect();
    let list = list.join(",");
    println!("shrunk to {} faults:", kept.len());
    for fault in &with_faults(&Plan::new(seed), &kept).faults {
        println!("    {fault:?}");
    }
    println!("    {}", smallest.wrong.unwrap_or_default());
    println!(
        "replay: cargo test -p upload-core --test sim -- --replay {seed} --faults {list} \
         (trace {:016x})",
        smallest.trace
    );
}

/// Leaves out faults as long as something still goes wrong.
fn shrink(seed: u64) -> (Vec<usize>, Ending) {
    let plan = Plan::new(seed);
    let mut kept: Vec<usize> = (0..plan.faults.len()).collect();
    let mut smallest = run(plan.clone(), false);
    let mut at = 0;
    while at < kept.len() {
        let mut fewer = kept.clone();
        fewer.remove(at);
        let ending = run(with_faults(&plan, &fewer), false);
        if kind(&ending).is_some_and(|it| Some(it) == kind(&smallest)) {
            (kept, smallest) = (fewer, ending);
        } else {
            at += 1;
        }
    }
    (kept, smallest)
}

/// Returns what kind of thing went wrong: the word before the first colon.
fn kind(ending: &Ending) -> Option<&str> {
    ending.wrong.as_deref()?.split(": ").nth(1)
}

fn with_faults(plan: &Plan, kept: &[usize]) -> Plan {
    let faults = kept.iter().filter_map(|at| plan.faults.get(*at)).cloned();
    Plan {
        faults: faults.collect(),
        ..plan.clone()
    }
}

impl Totals {
    fn add(&self, ending: &Ending) {
        self.histories.fetch_add(1, Ordering::Relaxed);
        self.steps.fetch_add(ending.steps, Ordering::Relaxed);
        let faults = u64::from(ending.faults);
        self.faults.fetch_add(faults, Ordering::Relaxed);
        let completed = u64::from(ending.completed);
        self.completed.fetch_add(completed, Ordering::Relaxed);
        self.trace.fetch_xor(ending.trace, Ordering::Relaxed);
    }

    fn print(&self, seed: u64) {
        let histories = self.histories.load(Ordering::Relaxed);
        let each =
            |total: &AtomicU64| total.load(Ordering::Relaxed) as f64 / (histories.max(1)) as f64;
        let faults = self.faults.load(Ordering::Relaxed);
        let violations = u8::from(self.failed.load(Ordering::Relaxed));
        println!(
            "{histories} histories from seed {seed}, {faults} faults, {violations} violations: \
             {:.1} faults, {:.1} completed uploads and {:.0} steps each, traces {:016x}",
            each(&self.faults),
            each(&self.completed),
            each(&self.steps),
            self.trace.load(Ordering::Relaxed)
        );
    }
}
