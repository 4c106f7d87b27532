//! `cargo xtask fences`: each crate pulls in only what its layer may have.

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

const PUBLISHED: &[&str] = &[
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
        forbidden: &["redis", "redb", "http*", "hyper*", "rustls*", "axum*"],
        ours: &[],
    },
    Fence {
        package: "upload-server",
        forbidden: &[
            "openssl*",
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
        let tree = output_of(&mut cargo([
            "tree",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--package",
            fence.package,
        ]))?;
        let trespassers = trespassers(fence, &tree);
        for name in &trespassers {
            println!(
                "{}: {name} is over the fence: cargo tree -e normal -p {} -i {name}",
                fence.package, fence.package
            );
        }
        tally.count(trespassers.is_empty());
    }
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
}
