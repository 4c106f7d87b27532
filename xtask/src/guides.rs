//! Follows the guides: the blocks of each are run in their order, in an empty folder, against the release binary.
//!
//! A block `toml` becomes the configuration, a block `sh` is run by a shell, with the server in the background, and a
//! block `python` has to be Python. Rust is compiled by the crates' documentation tests, manifests are compared by the
//! test `guides` of `upload-server`, examples are run by the stage `examples`, and pages by the stage `browser`.
//!
//! A block behind a line `<!-- not run: REASON -->` is left out; before one behind `<!-- run without the server -->` the
//! server of the guide is stopped.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    run::{metadata, root, server_binary},
    stages::Tally,
};

/// Blocks that may be left out, in all guides together.
const LEFT_OUT_MAX: usize = 10;
/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(60);

/// What a guide's commands are on the machine of a test: nothing is fetched, built or installed again.
const SHELL: &str = r#"
set -euo pipefail
git() { [ "$1" = clone ] && ln -sfn "$WORKSPACE" upload; }
cargo() {
  case "$*" in
    "run --release -p upload-server"*) shift 4; [ "${1:-}" != -- ] || shift; upload-server "$@" ;;
    "install --locked --path upload-server"*) command -v upload-server > /dev/null ;;
    "run "*"--example "*) [ -f "$WORKSPACE"/*/examples/"${@: -1}".rs ] ;;
    "new "*) mkdir "$2" ;;
    *) echo "no such command of cargo: $*"; return 1 ;;
  esac
}
curl() { command curl --silent --show-error "$@"; echo; }
cd() { [ "$1" = upload ] || builtin cd "$@"; }
"#;

/// Follows each guide.
///
/// # Errors
///
/// The server does not build, or too many blocks are left out.
pub(crate) fn run() -> Result<Tally> {
    let server = server_binary()?;
    let scratch = metadata()?.target_directory.join("guides");
    let (mut tally, mut left_out) = (Tally::default(), 0);
    for guide in all()? {
        let text = fs::read_to_string(root().join(&guide))?;
        let blocks = blocks(&text);
        for block in &blocks {
            if let Some(reason) = &block.left_out {
                println!("{guide}:{}: not run: {reason}", block.line);
                left_out += 1;
            }
        }
        let folder = scratch.join(guide.replace('/', "-"));
        let followed = follow(&server, &folder, &blocks);
        match &followed {
            Ok(0) => {}
            Ok(steps) => println!("guide {guide} ... ok ({steps} blocks)"),
            Err(error) => println!("guide {guide} ... FAILED: {error:#}"),
        }
        if !matches!(followed, Ok(0)) {
            tally.count(followed.is_ok());
        }
    }
    ensure!(
        left_out <= LEFT_OUT_MAX,
        "{left_out} blocks of guides are not run, more than {LEFT_OUT_MAX}"
    );
    Ok(tally.of_run(true))
}

/// Returns the paths of all guides, from the workspace's folder.
///
/// # Errors
///
/// A folder cannot be read.
pub(crate) fn all() -> Result<Vec<String>> {
    let mut all = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/deploy"] {
        for entry in fs::read_dir(root().join(folder))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                all.push(format!("{folder}/{name}"));
            }
        }
    }
    all.sort();
    Ok(all)
}

/// One block of a guide.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    mark: String,
    text: String,
    /// Why it is not run.
    left_out: Option<String>,
    /// Whether the server of the guide is stopped before it.
    alone: bool,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut reason, mut alone) = (None, false);
    let mut lines = (1..).zip(document.lines());
    while let Some((line, text)) = lines.next() {
        if let Some(mark) = text.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|(_, text)| *text != "```");
            blocks.push(Block {
                line,
                mark: mark.to_owned(),
                text: inside.map(|(_, text)| format!("{text}\n")).collect(),
                left_out: reason.take(),
                alone: std::mem::take(&mut alone),
            });
        } else if !text.is_empty() {
            let not_run = text.strip_prefix("<!-- not run: ");
            let not_run = not_run.and_then(|rest| rest.strip_suffix(" -->"));
            reason = not_run.map(str::to_owned);
            alone = text == "<!-- run without the server -->";
        }
    }
    blocks
}

/// Runs a guide's blocks; returns how many.
fn follow(server: &Path, folder: &Path, blocks: &[Block]) -> Result<usize> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let place = Place::new(server, folder)?;
    let mut running = None;
    let mut steps = 0;
    for block in blocks.iter().filter(|block| block.left_out.is_none()) {
        if block.alone {
            drop(running.take());
        }
        let text = place.here(&block.text);
        let step = match block.mark.as_str() {
            "toml" => fs::write(folder.join("uploads.toml"), text).map_err(Into::into),
            "sh" => place.shell(&text, &mut running),
            "python" => place.python(&text),
            _ => continue,
        };
        step.with_context(|| format!("line {}", block.line))?;
        steps += 1;
    }
    Ok(steps)
}

/// Where a guide is followed.
struct Place<'a> {
    server: &'a Path,
    folder: &'a Path,
    /// What guides name, and what it is here.
    names: Vec<(&'static str, String)>,
}

impl<'a> Place<'a> {
    fn new(server: &'a Path, folder: &'a Path) -> Result<Self> {
        let listen = free_address()?;
        let names = vec![
            ("https://uploads.example.org", format!("http://{listen}")),
            ("127.0.0.1:8080", listen),
            ("127.0.0.1:9090", free_address()?),
            ("/srv/uploads", "./uploads".to_owned()),
            ("/etc/uploads.toml", "uploads.toml".to_owned()),
        ];
        Ok(Self {
            server,
            folder,
            names,
        })
    }

    fn here(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (there, here)| {
                text.replace(there, here)
            })
    }

    /// Runs the lines of a block; those that serve stay in the background.
    fn shell(&self, text: &str, running: &mut Option<Running>) -> Result<()> {
        let mut lines = String::new();
        for line in text.lines() {
            match serves(line) {
                None => lines += &format!("{line}\n"),
                Some(arguments) => {
                    self.bash(&std::mem::take(&mut lines))?;
                    // The port is that of the one before.
                    drop(running.take());
                    *running = Some(self.serve(arguments)?);
                }
            }
        }
        self.bash(&lines)
    }

    fn bash(&self, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = self.server.parent().context("the server's folder")?;
        let status = Command::new("bash")
            .arg("-c")
            .arg(format!("{SHELL}{lines}"))
            .current_dir(self.folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("HOME", self.folder)
            .env("WORKSPACE", root())
            .stdin(Stdio::null())
            .status()
            .context("bash")?;
        ensure!(status.success(), "{status}:\n{lines}");
        Ok(())
    }

    fn serve(&self, arguments: &str) -> Result<Running> {
        let log = self.folder.join("server.txt");
        let output = fs::File::create(&log)?;
        let mut child = Command::new(self.server)
            .args(arguments.split_whitespace())
            .current_dir(self.folder)
            .env("UPLOAD_LISTEN", &self.names[1].1)
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let begun = Instant::now();
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("listening on") {
                return Ok(Running(child));
            }
            if child.try_wait()?.is_some() || begun.elapsed() > START_MAX {
                let _ = child.kill();
                let _ = child.wait();
                bail!("upload-server {arguments} does not listen:\n{said}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn python(&self, text: &str) -> Result<()> {
        let file = self.folder.join("block.py");
        fs::write(&file, text)?;
        let mut command = Command::new("python3");
        let status = command.args(["-m", "py_compile"]).arg(file).status();
        ensure!(status.context("python3")?.success(), "it is no Python");
        Ok(())
    }
}

/// A server that ends with its guide.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the arguments of a line that starts a server.
fn serves(line: &str) -> Option<&str> {
    let by_cargo = line.strip_prefix("cargo run --release -p upload-server");
    let arguments = by_cargo.map(|rest| rest.trim_start_matches(" --"));
    let arguments = arguments.or(line.strip_prefix("upload-server"))?.trim();
    let words: Vec<_> = arguments.split_whitespace().collect();
    matches!(words.as_slice(), [] | ["demo"] | ["--config", _]).then_some(arguments)
}

fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
    Ok(listener.local_addr()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_know_why_they_are_left_out() {
        let document = "<!-- not run: it is dear -->\n\n```sh\na\n```\n<!-- not run: b -->\ntext\n```toml\nb\n```\n";
        let found = blocks(document);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].left_out.as_deref(), Some("it is dear"));
        assert_eq!((found[1].line, found[1].left_out.as_ref()), (8, None));
        assert_eq!(found[1].text, "b\n");
    }

    #[test]
    fn servers_are_told_from_commands() {
        assert_eq!(
            serves("upload-server --config a.toml"),
            Some("--config a.toml")
        );
        assert_eq!(serves("cargo run --release -p upload-server"), Some(""));
        assert_eq!(serves("upload-server --config a.toml check-config"), None);
        assert_eq!(serves("upload-server send a"), None);
        assert_eq!(serves("curl x"), None);
    }

    /// The guides of this workspace leave out no more than they may.
    #[test]
    fn few_blocks_are_left_out() {
        let left_out = all().unwrap().into_iter().map(|guide| {
            let text = fs::read_to_string(root().join(guide)).unwrap();
            blocks(&text)
                .iter()
                .filter(|block| block.left_out.is_some())
                .count()
        });
        assert!(left_out.sum::<usize>() <= LEFT_OUT_MAX);
    }
}
