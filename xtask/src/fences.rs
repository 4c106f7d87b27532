//! `cargo xtask fences`: each crate pulls in only what its layer may have.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::{
    run::{cargo, output_of, root},
    stages::Tally,
};

/// What a crate, built alone with its default features, must not pull in.
struct Fence {
    package: &'static str,
    /// Names, or beginnings of names where they end in `*`.
    forbidden: &'static [&'static str],
    /// Crates of ours it may use, besides itself.
    ours: &'static [&'static str],
}

/// The crates that are published.
pub(crate) const PUBLISHED: &[&str] = &[
    "upload-proto",
    "upload-core",
    "upload-validate",
    "upload-writers",
    "upload-stores",
    "upload-server",
];

const FENCES: &[Fence] = &[
    Fence {
        package: "upload-proto",
        forbidden: &[
            "tokio*",
            "futures*",
            "async-*",
            "mio",
            "getrandom",
            "rand*",
            "proptest",
        ],
        ours: &[],
    },
    Fence {
        package: "upload-core",
        forbidden: &[
            "tokio*",
            "futures*",
            "async-*",
            "mio",
            "getrandom",
            "rand*",
            "fastrand",
            "log",
            "tracing*",
        ],
        ours: &["upload-proto"],
    },
    Fence {
        package: "upload-validate",
        forbidden: &["tokio*", "futures*", "async-*", "mio"],
        ours: &[],
    },
    Fence {
        package: "upload-writers",
        forbidden: &[
            "http*",
            "hyper*",
            "reqwest",
            "rustls*",
            "aws-*",
            "object_store",
            "axum*",
        ],
        ours: &[],
    },
    Fence {
        package: "upload-stores",
        forbidden: &[
            "redis", "redb", "sqlx*", "http*", "hyper*", "rustls*", "axum*",
        ],
        ours: &[],
    },
    Fence {
        package: "upload-server",
        forbidden: &[
            // Not openssl-probe, which only knows where systems keep their certificates.
            "openssl",
            "openssl-sys",
            "native-tls",
            "tungstenite",
            "aws-*",
            "object_store",
        ],
        ours: &[
            "upload-proto",
            "upload-core",
            "upload-validate",
            "upload-writers",
            "upload-stores",
        ],
    },
    Fence {
        package: "xtask",
        forbidden: &["tokio*"],
        ours: &["upload-conformance"],
    },
    // It runs on anyone's server, so it knows nothing of ours.
    Fence {
        package: "upload-conformance",
        forbidden: &["tokio*"],
        ours: &[],
    },
    // It counts what codec, core and the whole server allocate, which only works from within a process.
    Fence {
        package: "upload-bench",
        forbidden: &[],
        ours: PUBLISHED,
    },
    // It feeds what peers, stores and buckets wrote to every crate that reads it.
    Fence {
        package: "upload-fuzz",
        forbidden: &[],
        ours: PUBLISHED,
    },
];

/// Crates that an application with the library alone builds at most, that itself included.
const LIGHT_MAX: usize = 130;

/// What only the ready server needs.
const NOT_LIGHT: &[&str] = &[
    "anyhow",
    "aws-*",
    "clap*",
    "dirs*",
    "figment",
    "indicatif",
    "metrics-exporter-prometheus",
    "redis",
    "sqlx*",
    "toml*",
    "tracing-subscriber",
];

/// What `upload-core/clippy.toml` must ban, so that the core stays free of clocks and chance.
const BANNED_IN_CORE: &[&str] = &["std::time::Instant::now", "std::time::SystemTime::now"];

/// Checks every fence.
///
/// # Errors
///
/// Cargo cannot tell the dependencies, or a member of the workspace has no fence.
pub(crate) fn check() -> Result<Tally> {
    let mut tally = Tally::default();
    for package in crate::run::metadata()?.packages {
        let Some(fence) = FENCES.iter().find(|fence| fence.package == package.name) else {
            bail!("{} has no row in the table of fences", package.name);
        };
        let tree = dependencies(fence.package, &[])?;
        let trespassers = trespassers(fence, &tree);
        for name in &trespassers {
            println!(
                "{}: {name} is over the fence: cargo tree -e normal -p {} -i {name}",
                fence.package, fence.package
            );
        }
        tally.count(trespassers.is_empty());
    }
    tally.count(is_light()?);
    let path = root().join("upload-core/clippy.toml");
    let bans = std::fs::read_to_string(&path).unwrap_or_default();
    for ban in BANNED_IN_CORE {
        if !bans.contains(ban) {
            println!("upload-core/clippy.toml does not ban {ban}");
        }
        tally.count(bans.contains(ban));
    }
    Ok(tally)
}

/// Returns what `cargo tree` says that a crate pulls in, a crate and its version a line.
fn dependencies(package: &str, more: &[&str]) -> Result<String> {
    let arguments = ["tree", "--edges", "normal", "--prefix", "none"];
    let format = ["--format", "{p}", "--package", package];
    output_of(cargo(arguments).args(format).args(more))
}

/// Prints how many crates the library alone is, and tells whether those are few enough, and the right ones.
fn is_light() -> Result<bool> {
    let tree = dependencies("upload-server", &["--no-default-features"])?;
    let (count, heavy) = weight(&tree);
    println!("upload-server as a library, --no-default-features: {count} of {LIGHT_MAX} crates");
    for name in &heavy {
        println!("upload-server --no-default-features pulls in {name}");
    }
    Ok(count <= LIGHT_MAX && heavy.is_empty())
}

/// Counts the crates in `cargo tree`'s output, and finds those that only the ready server needs.
fn weight(tree: &str) -> (usize, Vec<&str>) {
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    let crates: BTreeSet<_> = crates.collect();
    let names: BTreeSet<_> = crates.iter().map(|(name, _)| *name).collect();
    let is_heavy = |name: &&str| NOT_LIGHT.iter().any(|pattern| matches(pattern, name));
    (crates.len(), names.into_iter().filter(is_heavy).collect())
}

/// Returns the names in `cargo tree`'s output that the fence keeps out.
fn trespassers<'a>(fence: &Fence, tree: &'a str) -> Vec<&'a str> {
    let mut names: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| {
        let is_ours = name.starts_with("upload-") && *name != fence.package;
        let is_forbidden = fence.forbidden.iter().any(|pattern| matches(pattern, name));
        is_forbidden || (is_ours && !fence.ours.contains(name))
    });
    names
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_sees_who_climbs_it() {
        let fence = Fence {
            package: "upload-a",
            forbidden: &["tokio*", "log"],
            ours: &["upload-b"],
        };
        let tree = "upload-a v0.1.0 (/x)\nbytes v1.0.0\nlogos v1\nupload-b v0.1.0\n";
        assert!(trespassers(&fence, tree).is_empty());
        let tree = "upload-a v0.1.0 (/x)\ntokio-util v1 (*)\nlog v0.4\nupload-c v0.1.0\nlog v0.4\n";
        assert_eq!(trespassers(&fence, tree), ["log", "tokio-util", "upload-c"]);
    }

    #[test]
    fn versions_count_and_heavy_crates_are_named() {
        let tree = "upload-server v0.1.0 (/x)\nsyn v2.0.0 (proc-macro)\nsyn v1.0.0\nsyn v2.0.0 (*)\nclap_derive v4\n";
        assert_eq!(weight(tree), (4, vec!["clap_derive"]));
    }
}
