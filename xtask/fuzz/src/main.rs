//! Runs one target: under libFuzzer where `cargo xtask fuzz` builds it, else over files.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod libfuzzer {
    use std::sync::LazyLock;

    use upload_fuzz::{Target, target};

    /// One program for all targets, so that it is linked once; the variable says which one runs.
    static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET is set by xtask");
        target(&name).expect("xtask takes names from the list")
    });

    libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
}

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    use std::{env, fs, path::Path};

    use anyhow::Context;
    use upload_fuzz::{TARGETS, pack, target, unpack};

    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let find = |name: &str| target(name).with_context(|| format!("no target is called {name}"));
    match words[..] {
        ["list"] => {
            for target in TARGETS {
                let sources = target.sources.join(",");
                println!("{} {} {sources}", target.name, target.input_bytes_max);
            }
        }
        ["unpack", name, folder] => unpack(find(name)?, Path::new(folder))?,
        ["pack", name, folder] => println!("{}", pack(find(name)?, Path::new(folder))?),
        ["replay", name, folder] => {
            for entry in fs::read_dir(folder)? {
                (find(name)?.run)(&fs::read(entry?.path())?);
            }
        }
        _ => anyhow::bail!("list | unpack TARGET DIR | pack TARGET DIR | replay TARGET DIR"),
    }
    Ok(())
}
