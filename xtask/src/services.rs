//! Programs the tests need from the system: found, or installed where that is possible.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, must_succeed, must_succeed_within, output_of, program, root};

/// How long npm or pip may take.
const INSTALL_MAX: Duration = Duration::from_secs(10 * 60);

/// How long a program of another project may take to build.
const BUILD_MAX: Duration = Duration::from_secs(45 * 60);

/// Returns a Redis server, to be started by the test that wants one.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn redis() -> Result<PathBuf> {
    find_or_install(
        "REDIS_SERVER",
        &["redis-server", "valkey-server"],
        "redis-server",
    )
}

/// Returns a Postgres server; the program that makes its clusters is next to it.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn postgres() -> Result<PathBuf> {
    let newest = || {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let programs =
            versions.filter_map(|version| Some(version.ok()?.path().join("bin/postgres")));
        programs.filter(|program| program.is_file()).max()
    };
    if let Some(named) = named("POSTGRES")? {
        return Ok(named);
    }
    // Debian keeps its servers off the path.
    if let Some(found) = newest() {
        return Ok(found);
    }
    if let Some(found) = find(&["postgres"]) {
        return Ok(found);
    }
    install("postgresql")?;
    newest().context("postgresql was installed but is not in /usr/lib/postgresql")
}

/// Returns a Chromium.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn chromium() -> Result<PathBuf> {
    find_or_install(
        "CHROMIUM",
        &["chromium", "chromium-browser", "google-chrome"],
        "chromium",
    )
}

/// Makes sure that `Xvfb` is on the path; a browser with windows draws on it.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn xvfb() -> Result<()> {
    find_or_install("XVFB", &["Xvfb"], "xvfb").map(drop)
}

/// Makes sure that the other browsers are there that the client supports: Firefox, and WebKitGTK with its driver.
///
/// # Errors
///
/// One is missing, and cannot be installed.
pub(crate) fn other_browsers() -> Result<()> {
    find_or_install("FIREFOX", &["firefox-esr"], "firefox-esr")?;
    find_or_install("WEBKIT_DRIVER", &["WebKitWebDriver"], "webkit2gtk-driver").map(drop)
}

/// Makes sure that `strace` is on the path; tests kill the server through it.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn strace() -> Result<()> {
    find_or_install("STRACE", &["strace"], "strace").map(drop)
}

/// Makes sure that `rsync` is on the path; `send` is compared with it.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn rsync() -> Result<()> {
    find_or_install("RSYNC", &["rsync"], "rsync").map(drop)
}

/// Makes sure that `script` is on the path; it gives a program a terminal to draw on.
///
/// # Errors
///
/// There is none, and it cannot be installed.
pub(crate) fn script() -> Result<()> {
    find_or_install("SCRIPT", &["script"], "bsdutils").map(drop)
}

/// Makes sure that Node.js and npm are on the path.
///
/// # Errors
///
/// They are missing.
pub(crate) fn npm() -> Result<()> {
    if find(&["node"]).is_none() || find(&["npm"]).is_none() {
        bail!("Node.js 20 or later and npm are missing: apt-get install -y nodejs npm");
    }
    Ok(())
}

/// Makes sure that the proxies are on the path that tests put before the server.
///
/// # Errors
///
/// One is missing, and cannot be installed.
pub(crate) fn proxies() -> Result<()> {
    find_or_install("NGINX", &["nginx"], "nginx-light")?;
    find_or_install("CADDY", &["caddy"], "caddy").map(drop)
}

/// Installs what the client's tests need, as their lock file says, unless that is done.
///
/// # Errors
///
/// There is no Node.js, or npm fails.
pub(crate) fn npm_packages(folder: &Path) -> Result<()> {
    npm()?;
    let installed = folder.join("node_modules/.package-lock.json");
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let is_current = match (
        changed(&installed),
        changed(&folder.join("package-lock.json")),
    ) {
        (Some(installed), Some(wanted)) => installed >= wanted,
        _ => false,
    };
    if is_current {
        return Ok(());
    }
    let mut install = program("npm", ["ci", "--no-audit", "--no-fund"]);
    must_succeed_within(INSTALL_MAX, install.current_dir(folder))
}

/// Installs what a folder's `requirements.txt` says into its `venv`, unless that is done.
///
/// # Errors
///
/// There is no Python, or pip fails.
pub(crate) fn python_packages(folder: &Path) -> Result<()> {
    let (wanted, installed) = (
        folder.join("requirements.txt"),
        folder.join("venv/installed"),
    );
    let text = fs::read_to_string(&wanted)?;
    if fs::read_to_string(&installed).is_ok_and(|done| done == text) {
        return Ok(());
    }
    find_or_install("PYTHON", &["python3"], "python3-venv")?;
    let venv = folder.join("venv");
    must_succeed_within(INSTALL_MAX, program("python3", ["-m", "venv"]).arg(&venv))?;
    let mut install = program(venv.join("bin/pip"), ["install", "--quiet"]);
    must_succeed_within(INSTALL_MAX, install.arg("--requirement").arg(&wanted))?;
    fs::write(&installed, text).context("a mark that the packages are installed")
}

/// Returns a Garage, an S3 server in one program; the first time it is built, which takes a quarter of an
/// hour.
///
/// # Errors
///
/// It does not build.
pub(crate) fn garage() -> Result<PathBuf> {
    if let Some(named) = named("GARAGE")? {
        return Ok(named);
    }
    let folder = cache()?.join("garage");
    let program = folder.join("bin/garage");
    if !program.is_file() {
        let mut install = cargo(["install", "garage", "--locked", "--version", "^2", "--root"]);
        // Next to what is built here, not among it.
        install.arg(&folder).env_remove("CARGO_TARGET_DIR");
        must_succeed(&mut install)?;
    }
    Ok(program)
}

/// Returns rustus, a server of tus in Rust; built the first time, which takes some minutes.
///
/// # Errors
///
/// It does not build.
pub(crate) fn rustus() -> Result<PathBuf> {
    if let Some(named) = named("RUSTUS")? {
        return Ok(named);
    }
    let folder = cache()?.join("rustus");
    let program = folder.join("bin/rustus");
    if !program.is_file() {
        let mut install = cargo([
            "install",
            "rustus",
            "--locked",
            "--version",
            "0.5.10",
            "--root",
        ]);
        install.arg(&folder).env_remove("CARGO_TARGET_DIR");
        must_succeed_within(BUILD_MAX, &mut install)?;
    }
    Ok(program)
}

/// Returns the script of Azurite, which speaks as Azure's blob storage does; installed the first time.
///
/// # Errors
///
/// There is no Node.js, or npm fails.
pub(crate) fn azurite() -> Result<PathBuf> {
    if let Some(named) = named("AZURITE")? {
        return Ok(named);
    }
    npm()?;
    let folder = cache()?.join("azurite");
    let script = folder.join("node_modules/azurite/dist/src/blob/main.js");
    if !script.is_file() {
        fs::create_dir_all(&folder)?;
        let install = ["install", "--no-audit", "--no-fund", "azurite@3.35"];
        must_succeed(program("npm", install).current_dir(&folder))?;
    }
    Ok(script)
}

/// Returns the folder for what is installed here, outside of the workspace.
fn cache() -> Result<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::home_dir().map(|home| home.join(".cache"));
    let user = user.filter(|path| path.is_absolute()).or_else(home);
    let folder = user.context("no home folder, and no XDG_CACHE_HOME")?;
    let folder = folder.join("upload-xtask");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Returns `cargo deny`; where there is none it is built the first time, which takes some minutes.
///
/// # Errors
///
/// It does not build.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) = find(&["cargo-deny"]) {
        return Ok(found);
    }
    let folder = cache()?.join("cargo-deny");
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        let mut install = cargo(["install", "cargo-deny", "--locked", "--root"]);
        install.arg(&folder).env_remove("CARGO_TARGET_DIR");
        must_succeed(&mut install)?;
    }
    Ok(program)
}

/// Looks where the variable says, then along the path, then asks the system's packages.
fn find_or_install(variable: &str, names: &[&str], package: &str) -> Result<PathBuf> {
    if let Some(named) = named(variable)? {
        return Ok(named);
    }
    if let Some(found) = find(names) {
        return Ok(found);
    }
    install(package)?;
    find(names).with_context(|| format!("{package} was installed but is not on the path"))
}

/// Installs a package of the system.
fn install(package: &str) -> Result<()> {
    let by_hand = format!("apt-get update && apt-get install -y {package}");
    let is_root = output_of(&mut program("id", ["-u"])).is_ok_and(|id| id.trim() == "0");
    if !is_root || find(&["apt-get"]).is_none() {
        bail!("{package} is missing and this user cannot install it: {by_hand}");
    }
    must_succeed(&mut program("apt-get", ["update"]))?;
    must_succeed(
        program(
            "apt-get",
            ["install", "-y", "--no-install-recommends", package],
        )
        .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Returns what a variable names, if it is set.
fn named(variable: &str) -> Result<Option<PathBuf>> {
    match env::var_os(variable).map(PathBuf::from) {
        Some(named) if !named.is_file() => {
            bail!("{variable} names {}, which is no file", named.display())
        }
        named => Ok(named),
    }
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<_> = env::split_paths(&path).collect();
    let places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places
        .into_iter()
        .find(|place| place.is_file())
        .map(|place| root().join(place))
}
