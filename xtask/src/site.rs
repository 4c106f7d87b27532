//! `cargo xtask site`: the documents as a site in `target/site`, made by MkDocs with the theme Material.
//!
//! The theme is supported until May 2027; Zensical, its successor, reads the same configuration.
//! MkDocs checks every link and anchor, and here a warning is an error. The documents are written for GitHub, so they
//! are copied first: links that leave the guides lead to the repository, and the guides' order comes from
//! `docs/SUMMARY.md`.

mod rules;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    ci, client,
    fences::PUBLISHED,
    run::{metadata, must_succeed, program, root},
    services,
    stages::Tally,
};

use rules::Rules;

/// Where links lead that leave the guides.
const REPOSITORY: &str = "https://github.com/upload-rs/upload/blob/main";
/// Documents of the workspace's folder that the site has too, with their names there.
const AT_THE_TOP: &[(&str, &str)] = &[
    ("README.md", "index.md"),
    ("ARCHITECTURE.md", "ARCHITECTURE.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("CONTRIBUTING.md", "CONTRIBUTING.md"),
    ("SECURITY.md", "SECURITY-POLICY.md"),
];
/// Scripts that pages need, by package, the file in it, and its name on the site.
///
/// The first draws the diagrams; the theme's styles are for version 11.
/// The second lets the search work where a page is opened from a folder.
const SCRIPTS: [(&str, &str, &str); 2] = [
    ("mermaid@11.6.0", "dist/mermaid.min.js", "mermaid.min.js"),
    ("iframe-worker@1.0.4", "shim/index.js", "iframe-worker.js"),
];
/// The list of guides, which becomes the site's menu.
const SUMMARY: &str = "SUMMARY.md";

/// Builds the site.
///
/// The documentation of the crates comes along, in `api`.
///
/// # Errors
///
/// MkDocs cannot be installed, a link leads nowhere, or the crates' documentation has a warning.
pub(crate) fn build() -> Result<Tally> {
    let target = metadata()?.target_directory;
    let tools = target.join("site-tools");
    fs::create_dir_all(&tools)?;
    let own = root().join("xtask/site");
    fs::copy(own.join("requirements.txt"), tools.join("requirements.txt"))?;
    services::python_packages(&tools)?;

    let source = target.join("site-source");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    let guides = root().join("docs");
    let rules = Rules::of(&fs::read_to_string(guides.join("PROTOCOL.md"))?);
    copy_folder(&guides, &source, "docs", &rules)?;
    for (from, to) in AT_THE_TOP {
        let text = fs::read_to_string(root().join(from))?;
        fs::write(source.join(to), on_the_site(&text, "", &rules))?;
    }
    fs::copy(own.join("site.css"), source.join("site.css"))?;
    fs::copy(own.join("hooks.py"), tools.join("hooks.py"))?;
    scripts(&tools, &source)?;
    fs::write(source.join("rust-api.md"), crates())?;
    let summary = fs::read_to_string(guides.join(SUMMARY))?;
    let config = fs::read_to_string(own.join("mkdocs.yml"))?;
    let file = tools.join("mkdocs.yml");
    fs::write(&file, format!("{config}\n{}", menu(&summary)?))?;
    let mkdocs = tools.join("venv/bin/mkdocs");
    let mut command = program(mkdocs, ["build", "--quiet", "--strict", "--config-file"]);
    must_succeed(command.arg(&file).env("NO_MKDOCS_2_WARNING", "1"))?;
    let site = target.join("site");
    ci::docs()?;
    let api = site.join("api");
    must_succeed(program("cp", ["-r"]).args([&target.join("doc"), &api]))?;
    let links = rules.link_pages(&api, "../")?;
    ensure!(links > 0, "no page of the crates names a rule");
    let page_of = |name: &&str| format!("api/{}/index.html", name.replace('-', "_"));
    let pages = ["index.html", "errors.html", "PROTOCOL.html"].map(str::to_owned);
    for page in pages.into_iter().chain(PUBLISHED.iter().map(page_of)) {
        ensure!(site.join(&page).is_file(), "the site has no {page}");
    }
    no_fence_is_left(&site)?;
    look(&site)?;
    println!("{}", site.join("index.html").display());
    Ok(Tally::ONE)
}

/// Opens the pages in a browser, which also takes pictures of some.
fn look(site: &Path) -> Result<()> {
    let packages = client::test_folder();
    services::npm_packages(&packages)?;
    let mut command = program("node", []);
    command
        .arg(root().join("xtask/site/look.mjs"))
        .args([site, &packages, &site.with_file_name("site-pictures")])
        .env("CHROMIUM", services::chromium()?);
    must_succeed(&mut command)
}

/// Makes sure that every block of code became one: MkDocs takes a fence that it does not know for text.
fn no_fence_is_left(site: &Path) -> Result<()> {
    for entry in fs::read_dir(site)? {
        let path = entry?.path();
        if path.extension() == Some("html".as_ref()) {
            let page = fs::read_to_string(&path)?;
            let is_left = page.contains("<p>```");
            ensure!(!is_left, "{}: a block of code is text", path.display());
        }
    }
    Ok(())
}

/// Returns the page that leads to the documentation of each crate.
fn crates() -> String {
    let mut text = String::from("# Rust API\n\n");
    for name in PUBLISHED {
        let path = name.replace('-', "_");
        let _ = writeln!(text, "- <a href=\"api/{path}/index.html\">{name}</a>");
    }
    text
}

/// Brings the scripts that pages need, so that a page loads nothing from elsewhere.
fn scripts(tools: &Path, source: &Path) -> Result<()> {
    for (package, file, name) in SCRIPTS {
        let folder = tools.join(name);
        let script = folder.join("package").join(file);
        if !script.is_file() {
            services::npm()?;
            fs::create_dir_all(&folder)?;
            must_succeed(program("npm", ["pack", "--silent", package]).current_dir(&folder))?;
            let archive = format!("{}.tgz", package.replace('@', "-"));
            must_succeed(program("tar", ["-xzf", &archive]).current_dir(&folder))?;
        }
        fs::copy(&script, source.join(name)).context(name)?;
    }
    Ok(())
}

/// Copies a folder of documents and what they show; `from` is its path in the workspace.
fn copy_folder(folder: &Path, to: &Path, from: &str, rules: &Rules) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            let inner = format!("{from}/{}", name.to_string_lossy());
            copy_folder(&path, &to.join(&name), &inner, rules)?;
        } else if name == SUMMARY {
            // It is the menu.
        } else if path.extension() == Some("md".as_ref()) {
            let text = fs::read_to_string(&path)?;
            fs::write(to.join(&name), on_the_site(&text, from, rules))?;
        } else {
            fs::copy(&path, to.join(&name))?;
        }
    }
    Ok(())
}

/// Returns a document as the site has it: with links that lead there, also to rules, and its generated tables set apart.
fn on_the_site(document: &str, folder: &str, rules: &Rules) -> String {
    let up = "../".repeat(folder.matches('/').count());
    let mut text = String::new();
    let mut in_code = false;
    for line in document.lines() {
        let is_fence = line.trim_start().starts_with("```");
        in_code = in_code != is_fence;
        if is_fence {
            // What follows the language is for the tests, and MkDocs knows no fence with it.
            text = text + line.split(',').next().unwrap_or(line) + "\n";
        } else if !in_code && (line.starts_with("<!-- begin ") || line.starts_with("<!-- end ")) {
            text.push('\n');
        } else if in_code {
            text = text + line + "\n";
        } else {
            text = text + &rules.line(&relinked(line, folder), &up) + "\n";
        }
    }
    text
}

fn relinked(line: &str, folder: &str) -> String {
    let mut parts = line.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (target, rest) = part.split_once(')').unwrap_or((part, ""));
        text = text + "](" + &place(target, folder) + ")" + rest;
    }
    text
}

/// Returns where a link leads on the site.
fn place(target: &str, folder: &str) -> String {
    if target.contains("://") || target.starts_with('#') {
        return target.to_owned();
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, format!("#{anchor}")),
        None => (target, String::new()),
    };
    let path = resolved(folder, path);
    let up = "../".repeat(folder.matches('/').count());
    let at_the_top = AT_THE_TOP.iter().find(|(from, _)| path == *from);
    match (at_the_top, path.strip_prefix("docs/")) {
        (Some((_, to)), _) => format!("{up}{to}{anchor}"),
        (None, Some(SUMMARY)) => format!("{up}index.md"),
        (None, Some(inner)) if root().join(&path).is_file() => format!("{up}{inner}{anchor}"),
        (None, _) => format!("{REPOSITORY}/{path}{anchor}"),
    }
}

/// Returns a path that is relative to a folder as one from the workspace's folder.
fn resolved(folder: &str, path: &str) -> String {
    let mut whole = PathBuf::from(folder);
    for part in path.split('/') {
        match part {
            ".." => drop(whole.pop()),
            "." | "" => {}
            part => whole.push(part),
        }
    }
    whole.to_string_lossy().into_owned()
}

/// Makes the menu of the list of guides.
fn menu(summary: &str) -> Result<String> {
    let mut text = String::from("nav:\n  - Introduction: index.md\n");
    for line in summary.lines().skip(1) {
        if let Some(section) = line.strip_prefix("# ") {
            let _ = writeln!(text, "  - {section}:");
        } else if let Some(item) = line.strip_prefix("- [") {
            let (title, rest) = item.split_once("](").context("a link")?;
            let path = rest.trim_end_matches(')');
            let _ = writeln!(text, "    - \"{title}\": {path}");
        }
    }
    let _ = writeln!(text, "    - Rust API: rust-api.md\n  - Project:");
    for (from, to) in AT_THE_TOP.iter().skip(1) {
        let lower = from.trim_end_matches(".md").to_lowercase();
        let title = lower[..1].to_uppercase() + &lower[1..];
        let _ = writeln!(text, "    - {title}: {to}");
    }
    let home = REPOSITORY.trim_end_matches("/blob/main");
    let _ = writeln!(text, "    - Repository: {home}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_site_or_the_repository() {
        let docs = |target| place(target, "docs");
        assert_eq!(docs("operating.md#metrics"), "operating.md#metrics");
        assert_eq!(docs("../README.md"), "index.md");
        // A folder is no page.
        let folder = format!("{REPOSITORY}/docs/deploy/examples");
        assert_eq!(docs("deploy/examples"), folder);
        assert_eq!(docs("../xtask/a.rs"), format!("{REPOSITORY}/xtask/a.rs"));
        assert_eq!(docs("https://a.example/b"), "https://a.example/b");
        assert_eq!(place("docs/errors.md", ""), "errors.md");
        assert_eq!(
            place("upload-core", ""),
            format!("{REPOSITORY}/upload-core")
        );
        assert_eq!(
            place("../operating.md#a", "docs/deploy"),
            "../operating.md#a"
        );
        assert_eq!(place("nginx.conf", "docs/deploy"), "../deploy/nginx.conf");
        assert_eq!(
            relinked("a [b](errors.md), [d](../README.md).", "docs"),
            "a [b](errors.md), [d](index.md)."
        );
    }

    #[test]
    fn blocks_keep_their_language_only() {
        let document = "```rust,no_run\n[a](b.md), c\n```\n<!-- begin x -->\n```sh\nd, e\n```\n";
        let expected = "```rust\n[a](b.md), c\n```\n\n```sh\nd, e\n```\n";
        assert_eq!(on_the_site(document, "docs", &Rules::of("")), expected);
    }

    #[test]
    fn the_menu_has_the_sections_of_the_summary() {
        let menu = menu("# Guides\n\n# Begin\n\n- [One](one.md)\n").unwrap();
        assert!(
            menu.contains(
                "  - Begin:\n    - \"One\": one.md\n    - Rust API: rust-api.md\n  - Project:\n"
            ),
            "{menu}"
        );
    }
}
