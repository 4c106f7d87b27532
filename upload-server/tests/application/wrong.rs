//! Handlers that do not compile, and how the compiler says so.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::SystemTime,
};

/// Compiles a file of `wrong/` against a build of this crate.
fn compile(file: &str, library: &Path, out: &Path) -> Output {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/application/wrong");
    let deps = library.parent().expect("a directory");
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .arg("--out-dir")
        .arg(out)
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--extern")
        .arg(format!("upload_server={}", library.display()))
        .arg(source.join(file))
        .output()
        .expect("rustc runs")
}

/// Returns the newest build of this crate that has what the cases name.
fn library(out: &Path) -> PathBuf {
    let exe = env::current_exe().expect("this test");
    let deps = fs::read_dir(exe.parent().expect("a directory")).expect("read");
    let mut builds: Vec<(SystemTime, PathBuf)> = deps
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_ours = name.starts_with("libupload_server-") && name.ends_with(".rlib");
            let modified = entry.metadata().ok()?.modified().ok()?;
            is_ours.then(|| (modified, entry.path()))
        })
        .collect();
    builds.sort();
    let mut failed = String::new();
    for (_, build) in builds.into_iter().rev() {
        let right = compile("right.rs", &build, out);
        if right.status.success() {
            return build;
        }
        failed = String::from_utf8_lossy(&right.stderr).into_owned();
    }
    panic!("no build takes a handler that is right: {failed}");
}

/// Each error names what is wrong, and says what it may be.
#[test]
fn wrong_handlers_are_named_by_what_is_wrong() {
    let out = tempfile::tempdir().expect("a directory");
    let library = library(out.path());
    let mut missed = String::new();
    for (file, wanted) in [
        (
            "argument.rs",
            &[
                "`bool` cannot be an argument of this handler",
                "an argument is `Owner`, or anything that implements axum's `FromRequestParts`",
                "`Params<T>` where `T: DeserializeOwned`",
            ][..],
        ),
        (
            "state.rs",
            &[
                "State<Other>` cannot be an argument of this handler",
                "`State<T>` needs the state: call `with_state` before",
            ],
        ),
        (
            "params.rs",
            &[
                "Params<Profile>` cannot be an argument of this handler",
                "of an event's handler also `Params<T>` where `T: DeserializeOwned`",
            ],
        ),
        (
            "reply.rs",
            &[
                "`String` cannot be returned by an event's handler",
                "return `Result<T, E>` where `T: Serialize`",
            ],
        ),
        (
            "error.rs",
            &[
                "AppError` cannot be the error of an event's handler",
                "implement `IntoHandlerError` for",
            ],
        ),
        ("not_async.rs", &["is not a future"]),
        (
            "closure.rs",
            &["Mutex<Vec<String>>: Clone` is not satisfied"],
        ),
    ] {
        let output = compile(file, &library, out.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{file} compiles");
        for text in wanted {
            if !said.contains(text) {
                missed += &format!("{file} does not say {text:?}:\n{said}\n");
            }
        }
    }
    assert!(missed.is_empty(), "{missed}");
}
