//! `cargo xtask faults`: brings faults back that were mended, one after the other, and sees the test of each fail.
//!
//! The faults are listed in `xtask/faults/*.toml`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;

use crate::{
    plant::{Change, Copy},
    run::{metadata, root},
    services,
    stages::Tally,
};

/// Where the lists are, below the workspace's folder.
pub(crate) const FOLDER: &str = "xtask/faults";
/// How long one test command may take, in seconds; a fault that hangs its test is found by that.
const TIMEOUT: &str = "900";

/// Which faults to plant.
#[derive(Args)]
pub(crate) struct Faults {
    /// Only those whose name, file or list contains one of these
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// One fault that was mended.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// What was wrong.
    pub(crate) name: String,
    /// The file in which it is brought back, from the workspace's folder.
    pub(crate) file: String,
    /// Text that occurs exactly once in that file.
    pub(crate) find: String,
    /// The text that brings the fault back.
    pub(crate) replace: String,
    /// One command without a shell, run in the workspace's folder, that fails with the fault only.
    pub(crate) test: String,
}

impl Fault {
    /// Returns the change that brings it back.
    pub(crate) fn change(&self) -> Change<'_> {
        Change {
            name: &self.name,
            find: &self.find,
            replace: &self.replace,
        }
    }

    /// Returns the words of its test command.
    ///
    /// # Errors
    ///
    /// A quote does not end, or there is no word.
    pub(crate) fn words(&self) -> Result<Vec<String>> {
        let words = shlex::split(&self.test).filter(|words| !words.is_empty());
        words.with_context(|| format!("`{}` is no command", self.test))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    fault: Vec<Fault>,
}

/// Reads one list.
///
/// # Errors
///
/// It is not TOML, or not a list of faults.
pub(crate) fn parse(text: &str) -> Result<Vec<Fault>> {
    Ok(toml::from_str::<List>(text)?.fault)
}

/// How planting one fault went.
enum Outcome {
    /// Its test fails with it, and passes without.
    Found,
    /// Its test passes with it.
    Missed,
    /// The test says nothing, for this reason.
    Broken(String),
}

/// Plants each fault and prints the table.
///
/// # Errors
///
/// A list cannot be read, an entry does not fit, or no entry is chosen.
pub(crate) fn run(faults: &Faults) -> Result<Tally> {
    let home = root();
    let chosen = read(&home, &faults.only)?;
    ensure!(!chosen.is_empty(), "no fault is listed by such a name");
    let copy = Copy {
        root: home.join("target/faults"),
    };
    copy.follow(&home, "")?;
    link_node_modules(&home, &copy)?;
    for (_, fault) in &chosen {
        copy.check(&fault.file, &fault.change())?;
    }
    let bench = Bench {
        copy: &copy,
        // Dependencies are the same, so those that are built already serve the copy too.
        target: metadata()?.target_directory,
        redis: if chosen.iter().any(|(_, fault)| wants_redis(fault)) {
            Some(services::redis()?)
        } else {
            None
        },
    };
    let mut without = BTreeMap::new();
    let mut tally = Tally::default();
    println!("| fault | list | test | result | seconds |\n|---|---|---|---|---|");
    for (list, fault) in &chosen {
        let start = Instant::now();
        if !without.contains_key(&fault.test) {
            without.insert(fault.test.clone(), bench.passes(&fault.words()?)?);
        }
        let outcome = match without.get(&fault.test) {
            Some(Some(trouble)) => Outcome::Broken(format!("without the fault: {trouble}")),
            _ => copy.with(&fault.file, &fault.change(), || {
                bench.outcome(&fault.words()?)
            })?,
        };
        let result = match &outcome {
            Outcome::Found => "found".to_owned(),
            Outcome::Missed => "**missed**".to_owned(),
            Outcome::Broken(trouble) => format!("**broken**: {}", trouble.replace('|', "/")),
        };
        println!(
            "| {} | {list} | `{}` | {result} | {} |",
            fault.name,
            fault.test,
            start.elapsed().as_secs()
        );
        tally.count(matches!(outcome, Outcome::Found));
    }
    println!("{} of {} found", tally.passed, tally.passed + tally.failed);
    Ok(tally)
}

/// Reads all lists, and returns the chosen faults with the name of their list.
fn read(home: &Path, only: &[String]) -> Result<Vec<(String, Fault)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(home.join(FOLDER)).context(FOLDER)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.sort();
    let mut chosen = Vec::new();
    for path in paths {
        let list = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&path)?;
        for fault in parse(&text).with_context(|| path.display().to_string())? {
            let names = [&*fault.name, &*fault.file, &*list];
            let fits = |part: &String| names.iter().any(|name| name.contains(&**part));
            if only.is_empty() || only.iter().any(fits) {
                chosen.push((list.to_string(), fault));
            }
        }
    }
    Ok(chosen)
}

/// Lends the copy what npm has installed.
fn link_node_modules(home: &Path, copy: &Copy) -> Result<()> {
    let place = "upload-server/client/test/node_modules";
    let (from, to) = (home.join(place), copy.root.join(place));
    if from.is_dir() && !to.exists() {
        std::os::unix::fs::symlink(from, to)?;
    }
    Ok(())
}

/// Runs test commands in the copy.
struct Bench<'a> {
    copy: &'a Copy,
    target: PathBuf,
    redis: Option<PathBuf>,
}

impl Bench<'_> {
    /// Returns why a command does not pass without a fault.
    fn passes(&self, words: &[String]) -> Result<Option<String>> {
        let output = self.run(words)?;
        Ok(if !output.status.success() {
            Some(format!("it fails: {}", last_error(&output)))
        } else if ran(&output) == 0 {
            Some("it runs no test".to_owned())
        } else {
            None
        })
    }

    /// Builds and runs a command while its fault is planted.
    fn outcome(&self, words: &[String]) -> Result<Outcome> {
        if let Some(build) = without_running(words) {
            let output = self.run(&build)?;
            if !output.status.success() {
                return Ok(Outcome::Broken(format!(
                    "does not compile: {}",
                    last_error(&output)
                )));
            }
        }
        let output = self.run(words)?;
        Ok(match output.status.code() {
            Some(0) => Outcome::Missed,
            Some(126 | 127) | None => bail!("{words:?} does not start"),
            Some(_) => Outcome::Found,
        })
    }

    fn run(&self, words: &[String]) -> Result<Output> {
        let mut command = Command::new("timeout");
        command.arg(TIMEOUT).args(words);
        command
            .current_dir(&self.copy.root)
            .env("CARGO_TARGET_DIR", &self.target)
            // A binary that was built elsewhere has no fault planted.
            .env_remove("UPLOAD_SERVER_BINARY")
            .envs(self.redis.as_ref().map(|redis| ("REDIS_SERVER", redis)))
            .env_remove("CARGO_MANIFEST_DIR");
        command
            .output()
            .with_context(|| format!("cannot start {words:?}"))
    }
}

/// Tells whether the test of a fault may start a Redis.
fn wants_redis(fault: &Fault) -> bool {
    ["redis", "integration"]
        .iter()
        .any(|word| fault.test.contains(word))
}

/// Returns the command that only builds what `cargo test` would run.
fn without_running(words: &[String]) -> Option<Vec<String>> {
    let is_test = matches!(words, [cargo, test, ..] if cargo == "cargo" && test == "test");
    let options = words.iter().take_while(|word| *word != "--");
    is_test.then(|| options.cloned().chain(["--no-run".to_owned()]).collect())
}

/// Counts the tests that a command says it ran.
fn ran(output: &Output) -> usize {
    let mut tally = Tally::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        tally.add_line(line);
    }
    tally.passed + tally.failed
}

/// Returns the line that says most about a failure.
fn last_error(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let is_error = |line: &&str| {
        line.starts_with("error") || line.contains("... FAILED") || line.contains("panicked at")
    };
    let lines = err.lines().chain(out.lines());
    let found = lines.clone().find(is_error).or(lines.last());
    found.unwrap_or("it says nothing").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_strictly() {
        let good = "[[fault]]\nname = \"a\"\nfile = \"b\"\nfind = '''c\nd'''\nreplace = \"\"\ntest = \"cargo test -- 'e f'\"\n";
        let faults = parse(good).unwrap();
        assert_eq!(faults[0].find, "c\nd");
        assert_eq!(faults[0].words().unwrap(), ["cargo", "test", "--", "e f"]);
        assert!(parse(&good.replace("find", "fnd")).is_err());
        assert!(parse("[[faults]]\n").is_err());
    }

    #[test]
    fn only_cargo_test_is_built_before_it_runs() {
        let words = |text: &str| shlex::split(text).unwrap();
        assert_eq!(
            without_running(&words("cargo test -p a b -- --exact")),
            Some(words("cargo test -p a b --no-run"))
        );
        assert_eq!(without_running(&words("node --test x.mjs")), None);
    }
}
